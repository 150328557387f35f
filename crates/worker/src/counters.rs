use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hermod_providers::Key;
use hermod_queue::Ended;
use hermod_types::{JobStatus, Target};
use metrics::{Counter, Gauge, Histogram};

use crate::models::Models;

/// How a call to a provider ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    Success,
    Error,
    Cancelled,
}

impl CallOutcome {
    pub(crate) const ALL: [Self; 3] = [Self::Success, Self::Error, Self::Cancelled];

    /// Of what came back; none of a call that was cancelled.
    pub(crate) fn of<T, E>(outcome: Option<&Result<T, E>>) -> Self {
        match outcome {
            Some(Ok(_)) => Self::Success,
            Some(Err(_)) => Self::Error,
            None => Self::Cancelled,
        }
    }

    /// The label of metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The metrics of every job: looking them up by name each time costs more than counting.
pub(crate) struct Counters {
    pub(crate) started: Counter,
    pub(crate) running: Gauge,
    /// From a job's start by this worker to its end.
    pub(crate) seconds: Histogram,
    /// What a job waited before a start that its limits admitted.
    pub(crate) wait: Histogram,
    completed: Counter,
    failed: Counter,
    cancelled: Counter,
    /// Of each configured provider, as [`CallOutcome::ALL`].
    calls: BTreeMap<String, [Counter; 3]>,
    models: Arc<Models>,
}

impl Counters {
    pub(crate) fn new<'a>(providers: impl Iterator<Item = &'a str>, models: Arc<Models>) -> Self {
        let ended =
            |status: JobStatus| metrics::counter!("hermod_jobs_ended_total", "status" => status.as_str());
        let calls = |provider: &str, outcome: CallOutcome| metrics::counter!("hermod_provider_calls_total", "provider" => provider.to_owned(), "outcome" => outcome.as_str());
        let three = |provider: &str| CallOutcome::ALL.map(|outcome| calls(provider, outcome));
        Self {
            started: metrics::counter!("hermod_jobs_started_total"),
            running: metrics::gauge!("hermod_jobs_running"),
            seconds: metrics::histogram!("hermod_job_duration_seconds"),
            wait: metrics::histogram!("hermod_job_wait_seconds"),
            completed: ended(JobStatus::Completed),
            failed: ended(JobStatus::Failed),
            cancelled: metrics::counter!("hermod_jobs_cancelled_total"),
            calls: providers.map(|provider| (provider.to_owned(), three(provider))).collect(),
            models,
        }
    }

    /// Counts a job that has ended.
    pub(crate) fn ended(&self, ended: &Ended) {
        let counter = if ended.code == 200 { &self.completed } else { &self.failed };
        counter.increment(1);
        if ended.cancelled {
            self.cancelled.increment(1);
        }
    }

    /// Counts a call to `target` with `key`, which took so long.
    pub(crate) fn call(&self, target: &Target, key: &Key, outcome: CallOutcome, elapsed: Duration) {
        let Some([success, error, cancelled]) = self.calls.get(target.provider()) else { return };
        match outcome {
            CallOutcome::Success => success.increment(1),
            CallOutcome::Error => error.increment(1),
            CallOutcome::Cancelled => cancelled.increment(1),
        }
        let is_known = outcome == CallOutcome::Success || key.names(target.model());
        self.models.with(target, is_known, |model| model.call(outcome, elapsed));
    }
}
