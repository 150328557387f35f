use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// An exporter whose outages are told, each of them once.
#[derive(Debug)]
pub(super) struct Watched<E> {
    exporter: E,
    /// Spans that were lost since somebody last took some.
    lost: AtomicU64,
}

impl<E> Watched<E> {
    pub(super) const fn new(exporter: E) -> Self {
        Self { exporter, lost: AtomicU64::new(0) }
    }

    fn note(&self, outcome: &OTelSdkResult, spans: u64) {
        match outcome {
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::info!(lost_spans = lost, "traces are taken again");
                }
            }
            Err(error) => {
                if self.lost.fetch_add(spans, Ordering::Relaxed) == 0 {
                    // Its words name neither the address nor a header.
                    tracing::warn!(%error, "nobody takes the traces; they are lost until somebody does");
                }
            }
        }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let outcome = self.exporter.export(batch).await;
        self.note(&outcome, spans);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
