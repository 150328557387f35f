use std::collections::BTreeMap;

use hermod_queue::Ended;
use hermod_types::JobStatus;
use metrics::{Counter, Gauge, Histogram};

/// The metrics of every job: looking them up by name each time costs more than counting.
pub(crate) struct Counters {
    pub(crate) started: Counter,
    pub(crate) running: Gauge,
    pub(crate) seconds: Histogram,
    completed: Counter,
    failed: Counter,
    cancelled: Counter,
    /// Of each configured provider: calls that succeeded, that failed, and that were cancelled.
    calls: BTreeMap<String, [Counter; 3]>,
}

impl Counters {
    pub(crate) fn new<'a>(providers: impl Iterator<Item = &'a str>) -> Self {
        let ended =
            |status: JobStatus| metrics::counter!("hermod_jobs_ended_total", "status" => status.as_str());
        let calls = |provider: &str, outcome: &'static str| metrics::counter!("hermod_provider_calls_total", "provider" => provider.to_owned(), "outcome" => outcome);
        let three =
            |provider: &str| ["success", "error", "cancelled"].map(|outcome| calls(provider, outcome));
        Self {
            started: metrics::counter!("hermod_jobs_started_total"),
            running: metrics::gauge!("hermod_jobs_running"),
            seconds: metrics::histogram!("hermod_job_duration_seconds"),
            completed: ended(JobStatus::Completed),
            failed: ended(JobStatus::Failed),
            cancelled: metrics::counter!("hermod_jobs_cancelled_total"),
            calls: providers.map(|provider| (provider.to_owned(), three(provider))).collect(),
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

    /// Counts a call to `provider`, which succeeded or not; none for one that was cancelled.
    pub(crate) fn call(&self, provider: &str, succeeded: Option<bool>) {
        let Some([success, error, cancelled]) = self.calls.get(provider) else { return };
        match succeeded {
            Some(true) => success.increment(1),
            Some(false) => error.increment(1),
            None => cancelled.increment(1),
        }
    }
}
