//! What a worker tells in traces: the run of a job, each call to a provider, the end, and each attempt of a webhook.
//!
//! Texts of errors are never told, as they may quote a request: an error is a word.
//!
//! | module | |
//! |---|---|
//! | `call` | one call to a provider, by OpenTelemetry's conventions for GenAI |
//! | `answer` | what an answer says of itself |
//! | `content` | what was asked and answered, where the operator wants it |
//! | `delivery` | one attempt of a webhook |

mod answer;
mod call;
mod content;
mod delivery;

use hermod_queue::{Ended, Started};
use hermod_service::{TraceKind, TraceSpan, Tracing};
use hermod_types::{JobId, Operation};
use serde::Deserialize;

pub(crate) use call::{CallSpan, Calling};
pub(crate) use delivery::DeliverySpan;

/// What becomes of a run that does not end its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It is a delayed job until a retry time.
    Delayed,
    /// It waits for its limits.
    Parked,
    /// It is another's by now.
    Lost,
    /// It was given back, as the worker stops.
    Released,
}

impl Left {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Parked => "parked",
            Self::Lost => "lost",
            Self::Released => "released",
        }
    }
}

/// A job's run, linked to its submit; nothing where the submit is not recorded.
pub(crate) fn run(tracing: &Tracing, started: &Started) -> TraceSpan {
    let Some(request) = started.request.as_ref().filter(|_| tracing.is_on()) else {
        return TraceSpan::default();
    };
    let span = tracing.linked(request.trace.as_deref(), TraceKind::Consumer, || "process hermod".to_owned());
    if span.is_recorded() {
        message(&span, "process", "process", started.held.id);
        span.set("messaging.consumer.group.name", "workers");
        span.set("hermod.endpoint", request.operation.record_type());
        if let Some(primary) = request.targets.first() {
            span.set("hermod.model", primary.to_string());
        }
        span.count("hermod.start", started.attempt);
        span.count("hermod.waited_ms", u64::try_from(started.waited.as_millis()).unwrap_or(u64::MAX));
    }
    span
}

/// Says that a run does not end its job.
pub(crate) fn leaves(run: &TraceSpan, left: Left) {
    run.set("hermod.outcome", left.as_str());
}

/// Says how a run ends its job, and begins the span of writing that.
pub(crate) fn ends(run: &TraceSpan, ended: &Ended) -> TraceSpan {
    if !run.is_recorded() {
        return TraceSpan::default();
    }
    run.count("hermod.status_code", ended.code.into());
    if ended.cancelled {
        run.set("hermod.outcome", "cancelled");
    } else if ended.code == 200 {
        run.set("hermod.outcome", "completed");
    } else {
        run.set("hermod.outcome", "failed");
        run.fail(&code_of(&ended.outcome).unwrap_or_else(|| ended.code.to_string()));
    }
    if let Some(reason) = ended.given_up {
        run.set("hermod.dead_letter", reason);
    }
    let span = run.child(TraceKind::Client, || "settle hermod".to_owned());
    message(&span, "settle", "settle", ended.held.id);
    span
}

fn message(span: &TraceSpan, name: &'static str, kind: &'static str, id: JobId) {
    if span.is_recorded() {
        span.set("messaging.system", "hermod");
        span.set("messaging.operation.name", name);
        span.set("messaging.operation.type", kind);
        span.set("messaging.destination.name", "hermod");
        span.set("messaging.message.id", id.to_string());
    }
}

/// The code of a job's error.
fn code_of(outcome: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Outcome {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: String,
    }
    let code = serde_json::from_str::<Outcome>(outcome).ok()?.error.code;
    word(&code)
}

/// What may stand for an error: a word that somebody has defined, and no text.
fn word(text: &str) -> Option<String> {
    let is_one = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    is_one.then(|| text.to_owned())
}

/// What a call is, in the words of the conventions, or in ours where they have none.
const fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::ChatCompletion | Operation::Responses | Operation::Messages => "chat",
        Operation::TextCompletion => "text_completion",
        Operation::Embedding => "embeddings",
        Operation::Speech => "speech",
        Operation::Transcription => "transcription",
        Operation::ImageGeneration => "image_generation",
        Operation::ImageEdit => "image_edit",
        Operation::ImageVariation => "image_variation",
        Operation::Rerank => "rerank",
        Operation::Ocr => "ocr",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_word() {
        assert_eq!(
            code_of(r#"{"error":{"message":"a b","code":"upstream_error"}}"#).unwrap(),
            "upstream_error"
        );
        for none in ["", "{}", r#"{"error":{"code":null}}"#, r#"{"error":{"code":"say: my secret"}}"#] {
            assert_eq!(code_of(none), None, "{none}");
        }
        assert_eq!(word(&"x".repeat(65)), None);
    }
}
