use hermod_types::webhook::Outcome;
use metrics::{Counter, Gauge, Histogram};

/// The metrics of every attempt.
pub(super) struct Counters {
    running: Gauge,
    pub(super) seconds: Histogram,
    delivered: Counter,
    retryable: Counter,
    permanent: Counter,
    exhausted: Counter,
}

/// One delivery that runs, until it is dropped.
pub(super) struct Running<'a>(&'a Gauge);

impl Counters {
    pub(super) fn new() -> Self {
        let counter = |outcome: &'static str| {
            let counter = metrics::counter!("hermod_deliveries_total", "outcome" => outcome);
            counter.absolute(0);
            counter
        };
        Self {
            running: metrics::gauge!("hermod_deliveries_running"),
            seconds: metrics::histogram!("hermod_delivery_duration_seconds"),
            delivered: counter("delivered"),
            retryable: counter("retryable_failure"),
            permanent: counter("permanent_failure"),
            exhausted: counter("exhausted"),
        }
    }

    /// Counts an attempt that has ended.
    pub(super) fn ended(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Delivered => &self.delivered,
            Outcome::RetryableFailure => &self.retryable,
            Outcome::PermanentFailure => &self.permanent,
            Outcome::Exhausted => &self.exhausted,
        };
        counter.increment(1);
    }

    pub(super) fn runs(&self) -> Running<'_> {
        self.running.increment(1);
        Running(&self.running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
