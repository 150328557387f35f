use std::time::Duration;

use actix_web::HttpResponse;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of the buckets of every duration, in seconds: from a queue operation to a long LLM call.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];

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
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
        Ok(Self(builder.install_recorder()?))
    }

    /// Folds samples into their buckets now and then, so that they do not pile up where nobody asks for metrics.
    /// Runs until `stop`.
    pub async fn keep_small(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(UPKEEP_INTERVAL)).await.is_some() {
            self.0.run_upkeep();
        }
    }

    /// All metrics, in Prometheus's text format.
    pub fn response(&self) -> HttpResponse {
        HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(self.0.render())
    }
}

/// Gives a counter its help text, and a first value: an operator's rate starts at zero, not at the first
/// event.
pub fn describe(counter: &'static str, help: &'static str) {
    metrics::describe_counter!(counter, help);
    metrics::counter!(counter).absolute(0);
}
