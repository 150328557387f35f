use std::sync::Arc;

use hermod_types::TraceContext;
pub use opentelemetry::Value as TraceValue;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TraceFlags,
};
use opentelemetry::{Context, StringValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::Span;

use super::{Recorder, TracePropagation, attribute};

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceKind {
    /// Something is queued.
    Producer,
    /// Something is taken from a queue, and worked on.
    Consumer,
    /// Another is asked.
    Client,
}

impl From<TraceKind> for SpanKind {
    fn from(kind: TraceKind) -> Self {
        match kind {
            TraceKind::Producer => Self::Producer,
            TraceKind::Consumer => Self::Consumer,
            TraceKind::Client => Self::Client,
        }
    }
}

/// A span that is recorded, or nothing. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct TraceSpan(Option<Box<Recorded>>);

#[derive(Debug)]
struct Recorded {
    /// Holds the span.
    context: Context,
    recorder: Arc<Recorder>,
}

impl TraceSpan {
    pub(super) fn new(span: Span, recorder: &Arc<Recorder>) -> Self {
        let recorded = span.is_recording().then(|| {
            Box::new(Recorded { context: Context::new().with_span(span), recorder: Arc::clone(recorder) })
        });
        Self(recorded)
    }

    /// Whether it is one. What costs something to say is said only then.
    pub const fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it may hold what a model is asked and answers.
    pub fn has_content(&self) -> bool {
        self.0.as_ref().is_some_and(|recorded| recorded.recorder.settings.trace_content)
    }

    pub fn set(&self, name: &'static str, value: impl Into<TraceValue>) {
        if let Some(recorded) = &self.0 {
            recorded.context.span().set_attribute(attribute(name, value));
        }
    }

    /// The same with a count. One that no attribute can hold is not said.
    pub fn count(&self, name: &'static str, value: u64) {
        if let Ok(value) = i64::try_from(value) {
            self.set(name, value);
        }
    }

    /// The same with several texts.
    pub fn list(&self, name: &'static str, values: Vec<String>) {
        let values: Vec<StringValue> = values.into_iter().map(Into::into).collect();
        self.set(name, TraceValue::Array(values.into()));
    }

    /// Notes that something has happened now.
    pub fn event<const N: usize>(
        &self,
        name: &'static str,
        attributes: impl FnOnce() -> [(&'static str, TraceValue); N],
    ) {
        if let Some(recorded) = &self.0 {
            let attributes = attributes().into_iter().map(|(name, value)| attribute(name, value));
            recorded.context.span().add_event(name, attributes.collect());
        }
    }

    /// Marks it as failed. `error`: a word of a small set, never a text.
    pub fn fail(&self, error: &str) {
        if let Some(recorded) = &self.0 {
            let span = recorded.context.span();
            span.set_attribute(attribute("error.type", error.to_owned()));
            span.set_status(Status::error(""));
        }
    }

    /// Ends it before it is dropped. What is said of it later is lost.
    pub fn end(&self) {
        if let Some(recorded) = &self.0 {
            recorded.context.span().end();
        }
    }

    /// A span below it.
    pub fn child(&self, kind: TraceKind, name: impl FnOnce() -> String) -> Self {
        let Some(recorded) = &self.0 else { return Self::default() };
        let builder = SpanBuilder::from_name(name()).with_kind(kind.into());
        recorded.recorder.begin(builder, &recorded.context)
    }

    /// Where it stands, for what follows from it.
    pub fn context(&self) -> Option<Box<TraceContext>> {
        let span = self.0.as_ref()?.context.span();
        let context = span.span_context();
        context.is_sampled().then(|| Box::new(write(context)))
    }

    /// The same, if `whom` may be told.
    pub fn told_to(&self, whom: TracePropagation) -> Option<Box<TraceContext>> {
        let is_told = |recorded: &Recorded| recorded.recorder.settings.trace_propagate.contains(&whom);
        self.0.as_ref().filter(|recorded| is_told(recorded)).and_then(|_| self.context())
    }
}

/// The headers of a [`TraceContext`].
struct Headers<'a>(&'a TraceContext);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.headers().map(|(name, _)| name).collect()
    }
}

/// What a context stands for; none for what is none.
pub(super) fn read(context: &TraceContext) -> Option<Context> {
    let read = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(context));
    read.has_active_span().then_some(read)
}

pub(super) fn context_of(context: &Context) -> SpanContext {
    context.span().span_context().clone()
}

fn write(context: &SpanContext) -> TraceContext {
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    TraceContext {
        parent: format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()),
        state: context.trace_state().header(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn context(parent: &str, state: &str) -> TraceContext {
        TraceContext { parent: parent.to_owned(), state: state.to_owned() }
    }

    #[test]
    fn a_context_comes_back_as_it_went_in() {
        for state in ["", "vendor=1,other=x"] {
            let context = context(PARENT, state);
            assert_eq!(write(&context_of(&read(&context).unwrap())), context);
        }
        // Flags that are not known yet are no reason to lose the trace.
        let random = context(&PARENT.replace("-01", "-03"), "");
        assert_eq!(write(&context_of(&read(&random).unwrap())), context(PARENT, ""));
    }

    #[test]
    fn what_is_no_context_is_none() {
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for parent in
            ["", "x", zero, &PARENT.to_uppercase(), "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]
        {
            assert!(read(&context(parent, "")).is_none(), "{parent}");
        }
    }
}
