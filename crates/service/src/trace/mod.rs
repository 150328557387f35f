//! Traces, sent by OpenTelemetry's protocol (OTLP) over HTTP.
//!
//! Without an address to send them to, nothing of this runs: no thread, no client, and each place that would begin a span asks one
//! pointer. Spans are made by OpenTelemetry's API itself and not by `tracing`: what is traced is a dozen places, a span lives across
//! tasks and ends with attributes that are known at its end only, and what is logged stays apart from it.
//!
//! | module | |
//! |---|---|
//! | `settings` | the standard environment variables |
//! | `sampler` | a run is recorded if its submit is |
//! | `exporter` | says once that nobody takes the spans, and once that somebody does |
//! | `span` | a span that is recorded, or nothing |

mod exporter;
mod sampler;
mod settings;
mod span;

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hermod_types::TraceContext;
use opentelemetry::trace::{Link, SpanBuilder, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span};

use exporter::Watched;
use sampler::FollowsLink;
use settings::Destination;
pub use span::{TraceKind, TraceSpan, TraceValue};

/// What traces hold and tell beyond the usual.
#[derive(Args, Clone, Debug, Default)]
pub struct TraceSettings {
    /// Put what models are asked and what they answer into traces. Where they are sent to is told by OpenTelemetry's own variables,
    /// such as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[arg(long, env = "HERMOD_TRACE_CONTENT")]
    trace_content: bool,
    /// Who is told of the trace by headers `traceparent` and `tracestate`; nobody unless set.
    #[arg(long, env = "HERMOD_TRACE_PROPAGATE", value_enum, value_delimiter = ',', value_name = "WHOM")]
    trace_propagate: Vec<TracePropagation>,
}

/// How long the last spans may take to be sent.
const SHORTEST_STOP: Duration = Duration::from_secs(1);
const LONGEST_STOP: Duration = Duration::from_secs(5);

/// Who may be told of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TracePropagation {
    /// LLM providers.
    Providers,
    /// Receivers of webhooks.
    Webhooks,
}

/// Makes spans, or nothing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracing(Option<Arc<Recorder>>);

#[derive(Debug)]
struct Recorder {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    settings: TraceSettings,
}

impl Tracing {
    /// Starts to send spans to where the environment says; makes none if it says nothing. `service`: the process, unless the
    /// environment names it; `instance`: this start of it. Not to be called within a runtime: the HTTP client has one of its own.
    ///
    /// # Errors
    /// For a variable that is not understood.
    pub fn start(service: &'static str, instance: &str, settings: TraceSettings) -> anyhow::Result<Self> {
        let Some(Destination { exporter, shown, sampler, resource }) = settings::read(service, instance)?
        else {
            return Ok(Self::default());
        };
        tracing::info!(endpoint = shown, content = settings.trace_content, "traces are sent");
        let processor = BatchSpanProcessor::builder(Watched::new(exporter)).build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(FollowsLink(sampler))
            .with_resource(resource)
            .with_span_processor(processor)
            .build();
        let tracer = provider.tracer("hermod");
        Ok(Self(Some(Arc::new(Recorder { provider, tracer, settings }))))
    }

    /// Whether spans are made at all.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A span below what another process has begun, or the first of a trace.
    pub fn below(
        &self,
        parent: Option<&TraceContext>,
        kind: TraceKind,
        name: impl FnOnce() -> String,
    ) -> TraceSpan {
        let Some(recorder) = &self.0 else { return TraceSpan::default() };
        let parent = parent.and_then(span::read).unwrap_or_default();
        recorder.begin(SpanBuilder::from_name(name()).with_kind(kind.into()), &parent)
    }

    /// The first span of a trace that is linked to `cause`; nothing where there is none, as that is not recorded.
    pub fn linked(
        &self,
        cause: Option<&TraceContext>,
        kind: TraceKind,
        name: impl FnOnce() -> String,
    ) -> TraceSpan {
        let Some((recorder, cause)) = self.0.as_ref().zip(cause) else { return TraceSpan::default() };
        let Some(cause) = span::read(cause) else { return TraceSpan::default() };
        let link = Link::with_context(span::context_of(&cause));
        let builder = SpanBuilder::from_name(name()).with_kind(kind.into()).with_links(vec![link]);
        recorder.begin(builder, &Context::new())
    }

    /// Sends what has ended, and takes no more. It blocks, for as long as the process has to end what is open, and some seconds at
    /// most.
    pub fn stop(&self, grace: Duration) {
        let Some(recorder) = &self.0 else { return };
        let patience = grace.clamp(SHORTEST_STOP, LONGEST_STOP);
        if let Err(error) = recorder.provider.shutdown_with_timeout(patience) {
            tracing::debug!(%error, "the last spans were not taken");
        }
    }
}

impl Recorder {
    /// Begins a span; nothing where it is not sampled.
    fn begin(self: &Arc<Self>, builder: SpanBuilder, parent: &Context) -> TraceSpan {
        let span: Span = self.tracer.build_with_context(builder, parent);
        TraceSpan::new(span, self)
    }
}

/// What tells this process from others of its kind.
pub fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

/// An attribute.
fn attribute(name: &'static str, value: impl Into<TraceValue>) -> KeyValue {
    KeyValue::new(name, value.into())
}
