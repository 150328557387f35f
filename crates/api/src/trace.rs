//! The span of a submit: from when its caller is known until Redis has the job, or it is refused.

use actix_web::http::header::HeaderMap;
use hermod_queue::JobRequest;
use hermod_service::{TraceKind, TraceSpan, Tracing};
use hermod_types::{Operation, TraceContext};

use crate::error::ApiError;
use crate::observe;
use crate::submit::Submitted;

/// A longer `tracestate` is not passed on: it would stand in the job's record.
const LONGEST_STATE: usize = 512;

/// Begins it, below the client's own span if the client names one.
pub(crate) fn begin(tracing: &Tracing, operation: Operation, headers: &HeaderMap) -> TraceSpan {
    if !tracing.is_on() {
        return TraceSpan::default();
    }
    let span = tracing.below(parent_of(headers).as_ref(), TraceKind::Producer, || "send hermod".to_owned());
    if span.is_recorded() {
        span.set("messaging.system", "hermod");
        span.set("messaging.operation.name", "send");
        span.set("messaging.operation.type", "send");
        span.set("messaging.destination.name", "hermod");
        span.set("hermod.endpoint", operation.record_type());
        if let Ok(id) = observe::request_id(headers).to_str() {
            span.set("hermod.request_id", id.to_owned());
        }
    }
    span
}

/// Says what is submitted.
pub(crate) fn of_job(span: &TraceSpan, job: &JobRequest) {
    if !span.is_recorded() {
        return;
    }
    if let Some(primary) = job.targets.first() {
        span.set("hermod.model", primary.to_string());
    }
    span.count("hermod.fallbacks", u64::try_from(job.targets.len()).unwrap_or_default().saturating_sub(1));
    span.count("messaging.message.body.size", u64::try_from(job.body.len()).unwrap_or_default());
}

/// Says what became of it.
pub(crate) fn accepted(span: &TraceSpan, submitted: Submitted) {
    if span.is_recorded() {
        span.set("messaging.message.id", submitted.id.to_string());
        if submitted.is_replayed {
            span.set("hermod.replayed", true);
        }
        // Its client may wait for the job's end.
        span.end();
    }
}

/// Says why there is no job.
pub(crate) fn refused(span: &TraceSpan, error: &ApiError) {
    span.fail(error.code().as_str());
    span.end();
}

/// Where the client stands in a trace; none where it does not say so, or says it twice.
fn parent_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent");
    let parent = parents.next().filter(|_| parents.next().is_none())?.to_str().ok()?.to_owned();
    let states: Vec<&str> = headers.get_all("tracestate").filter_map(|value| value.to_str().ok()).collect();
    let state = states.join(",");
    Some(TraceContext { parent, state: if state.len() > LONGEST_STATE { String::new() } else { state } })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parent(headers: &[(&'static str, &str)]) -> Option<TraceContext> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        parent_of(&map)
    }

    #[test]
    fn a_client_says_once_where_it_stands() {
        let read = parent(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]).unwrap();
        assert_eq!((read.parent.as_str(), read.state.as_str()), (PARENT, "a=1,b=2"));
        let long = format!("a={}", "x".repeat(LONGEST_STATE));
        assert_eq!(parent(&[("traceparent", PARENT), ("tracestate", &long)]).unwrap().state, "");
        assert_eq!(parent(&[("tracestate", "a=1")]), None);
        assert_eq!(parent(&[("traceparent", PARENT), ("traceparent", PARENT)]), None);
    }
}
