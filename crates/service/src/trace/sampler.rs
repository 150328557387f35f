use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// Decides on the first span of a trace that is linked to another as if it stood below that one: a job's run is recorded if its
/// submit is, and never by a chance of its own.
#[derive(Clone, Debug)]
pub(super) struct FollowsLink(pub(super) Sampler);

impl ShouldSample for FollowsLink {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_first = parent.is_none_or(|parent| !parent.span().span_context().is_valid());
        let Some(link) = links.first().filter(|_| is_first) else {
            return self.0.should_sample(parent, trace, name, kind, attributes, links);
        };
        let cause = &link.span_context;
        let parent = Context::new().with_remote_span_context(cause.clone());
        let decided = self.0.should_sample(Some(&parent), cause.trace_id(), name, kind, attributes, links);
        // It is another trace.
        SamplingResult { trace_state: TraceState::default(), ..decided }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    fn is_sampled(sampler: Sampler, cause: TraceId, flags: TraceFlags) -> bool {
        let cause = SpanContext::new(cause, SpanId::from(7), flags, true, TraceState::default());
        let links = [Link::with_context(cause)];
        let decided = FollowsLink(sampler).should_sample(
            Some(&Context::new()),
            TraceId::from(u128::MAX),
            "process",
            &SpanKind::Consumer,
            &[],
            &links,
        );
        decided.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn a_run_is_recorded_if_its_submit_is() {
        let by_parent = |root| Sampler::ParentBased(Box::new(root));
        let (sampled, id) = (TraceFlags::SAMPLED, TraceId::from(1));
        assert!(is_sampled(by_parent(Sampler::AlwaysOff), id, sampled));
        assert!(!is_sampled(by_parent(Sampler::AlwaysOn), id, TraceFlags::default()));
        assert!(!is_sampled(Sampler::AlwaysOff, id, sampled));
        // By the submit's trace, which both processes see, and not by the run's own.
        let half = Sampler::TraceIdRatioBased(0.5);
        assert!(is_sampled(half.clone(), id, sampled));
        assert!(!is_sampled(half, TraceId::from(u128::MAX), sampled));
    }
}
