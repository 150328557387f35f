use std::collections::BTreeMap;

use hermod_types::JobStatus;
use metrics::{Counter, Gauge, Histogram};

/// The metrics of every job: looking them up by name each time costs more than counting.
pub(crate) struct Counters {
    pub(crate) started: Counter,
    pub(crate) running: Gauge,
    pub(crate) seconds: Histogram,
    completed: Counter,
    failed: Counter,
    /// Of each configured provider: calls that succeeded, and that failed.
    calls: BTreeMap<String, [Counter; 2]>,
}

impl Counters {
    pub(crate) fn new<'a>(providers: impl Iterator<Item = &'a str>) -> Self {
        let ended =
            |status: JobStatus| metrics::counter!("hermod_jobs_ended_total", "status" => status.as_str());
        let calls = |provider: &str, outcome: &'static str| metrics::counter!("hermod_provider_calls_total", "provider" => provider.to_owned(), "outcome" => outcome);
        let pair = |provider: &str| [calls(provider, "success"), calls(provider, "error")];
        Self {
            started: metrics::counter!("hermod_jobs_started_total"),
            running: metrics::gauge!("hermod_jobs_running"),
            seconds: metrics::histogram!("hermod_job_duration_seconds"),
            completed: ended(JobStatus::Completed),
            failed: ended(JobStatus::Failed),
            calls: providers.map(|provider| (provider.to_owned(), pair(provider))).collect(),
        }
    }

    /// Counts a job that has ended with this HTTP status.
    pub(crate) fn ended(&self, code: u16) {
        let counter = if code == 200 { &self.completed } else { &self.failed };
        counter.increment(1);
    }

    /// Counts a call to `provider`.
    pub(crate) fn call(&self, provider: &str, succeeded: bool) {
        if let Some([success, error]) = self.calls.get(provider) {
            if succeeded { success.increment(1) } else { error.increment(1) }
        }
    }
}
