use hermod_queue::Delivery;
use hermod_service::{TraceKind, TracePropagation, TraceSpan, Tracing};
use hermod_types::TraceContext;
use hermod_types::webhook::Outcome;
use hermod_webhooks::Message;

/// The span of one attempt of a webhook, linked to the job's submit. One that is dropped before its outcome was told was broken off.
pub(crate) struct DeliverySpan {
    span: TraceSpan,
    is_told: bool,
}

impl DeliverySpan {
    /// Begins it; nothing where the submit is not recorded. `attempt`: from 1.
    pub(crate) fn begin(tracing: &Tracing, delivery: &Delivery, message: &Message<'_>, attempt: u32) -> Self {
        let span = tracing.linked(delivery.hook.trace.as_deref(), TraceKind::Client, || "POST".to_owned());
        let is_told = !span.is_recorded();
        if !is_told {
            span.set("http.request.method", "POST");
            // No more of the address: it may hold a secret.
            if let Some(host) = message.url.url().host_str() {
                span.set("server.address", host.to_owned());
            }
            if let Some(port) = message.url.url().port_or_known_default() {
                span.set("server.port", i64::from(port));
            }
            if attempt > 1 {
                span.set("http.request.resend_count", i64::from(attempt) - 1);
            }
            span.set("messaging.message.id", delivery.job.to_string());
            span.set("hermod.webhook.id", message.id.to_owned());
            span.set("hermod.webhook.event", message.event.to_owned());
            span.set("hermod.webhook.endpoint", delivery.hook.receiver.endpoint_id().to_string());
        }
        Self { span, is_told }
    }

    /// Where it stands, if the receiver is to be told.
    pub(crate) fn told(&self) -> Option<Box<TraceContext>> {
        self.span.told_to(TracePropagation::Webhooks)
    }

    /// Ends it.
    pub(crate) fn end(mut self, outcome: Outcome, status: Option<u16>) {
        self.is_told = true;
        let span = &self.span;
        if !span.is_recorded() {
            return;
        }
        span.set("hermod.webhook.outcome", outcome.as_str());
        if let Some(status) = status {
            span.set("http.response.status_code", i64::from(status));
        }
        if outcome != Outcome::Delivered {
            // What went wrong may quote the answer.
            span.fail(&status.map_or_else(|| "no_answer".to_owned(), |status| status.to_string()));
        }
    }
}

impl Drop for DeliverySpan {
    fn drop(&mut self) {
        if !self.is_told {
            self.span.fail("aborted");
        }
    }
}
