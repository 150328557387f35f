use std::time::Duration;

use actix_web::HttpResponse;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::Gauges;

/// Upper bounds of the buckets of most durations, in seconds: from a queue operation to a long job.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];
/// Those of the time in the queue: from a job that an idle worker takes at once to one that waits for its key's limits.
const WAIT_SECONDS: [f64; 16] = [
    0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0,
    86_400.0,
];
/// Those of a call: what `OpenTelemetry` advises for clients of models, and more for calls that are longer.
const CALL_SECONDS: [f64; 16] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 327.68, 1310.72];

/// How often samples are folded into their buckets.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What `GET /metrics` shows. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts to collect, for this whole process.
    ///
    /// # Errors
    /// If that was done before.
    pub fn install() -> anyhow::Result<Self> {
        // Histograms all: quantiles of a summary cannot be added up over processes. What is named in full comes first.
        let full = |name: &str| Matcher::Full(name.to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets(&SECONDS)?
            .set_buckets_for_metric(full("hermod_job_wait_seconds"), &WAIT_SECONDS)?
            .set_buckets_for_metric(full("hermod_provider_call_duration_seconds"), &CALL_SECONDS)?;
        let metrics = Self(builder.install_recorder()?);
        metrics::describe_gauge!("hermod_build_info", "1; the version of this process is a label.");
        metrics::gauge!("hermod_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(metrics)
    }

    /// Folds samples into their buckets now and then, so that they do not pile up where nobody asks for metrics.
    /// Runs until `stop`.
    pub async fn keep_small(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(UPKEEP_INTERVAL)).await.is_some() {
            self.0.run_upkeep();
        }
    }

    /// All metrics of this process, and `read`, in Prometheus's text format.
    pub fn response(&self, read: &Gauges) -> HttpResponse {
        let text = self.0.render() + read.as_str();
        HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
    }
}

/// Gives a counter its help text, and a first value: an operator's rate starts at zero, not at the first
/// event.
pub fn describe(counter: &'static str, help: &'static str) {
    metrics::describe_counter!(counter, help);
    metrics::counter!(counter).absolute(0);
}
