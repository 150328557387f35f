//! What every request leaves behind: its id, a count, its duration.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use hermod_service::describe;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Methods are the client's words, so only these are a label.
const LABELLED_METHODS: [&str; 5] = ["GET", "POST", "DELETE", "HEAD", "OPTIONS"];
/// A longer id is not echoed: it would stand in our logs.
const LONGEST_REQUEST_ID: usize = 200;

pub(crate) fn describe_metrics() {
    describe("hermod_jobs_accepted_total", "Jobs that Redis has taken.");
    describe("hermod_jobs_cancelled_total", "Jobs cancelled by this process while they waited.");
    describe(
        "hermod_submits_replayed_total",
        "Submits that repeat an earlier one, whose answer they were given again.",
    );
    metrics::describe_counter!(
        "hermod_submits_refused_total",
        "Submits that limits could not admit in time, by type."
    );
    metrics::describe_counter!(
        "hermod_http_requests_total",
        "Requests answered, by route, method and status."
    );
    metrics::describe_histogram!("hermod_http_request_duration_seconds", "From head to answer, by route.");
}

/// Answers with the request's id, and counts.
pub(crate) async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let method = request.method().clone();
    let id = request_id(request.headers());
    // Handlers see it, too.
    request.headers_mut().insert(REQUEST_ID, id.clone());

    let mut response = next.call(request).await?;
    response.headers_mut().insert(REQUEST_ID, id);
    let (status, elapsed) = (response.status(), started.elapsed());
    let route = response.request().match_pattern().unwrap_or_else(|| "(none)".to_owned());
    tracing::debug!(%method, route, status = status.as_u16(), duration_us = elapsed.as_micros(), "request");
    let method = LABELLED_METHODS.iter().find(|labelled| **labelled == method.as_str());
    count(&route, method.unwrap_or(&"other"), status);
    metrics::histogram!("hermod_http_request_duration_seconds", "route" => route).record(elapsed);
    Ok(response)
}

/// Counts a request that was answered.
pub(crate) fn count(route: &str, method: &'static str, status: StatusCode) {
    let (route, status) = (route.to_owned(), status.as_str().to_owned());
    metrics::counter!("hermod_http_requests_total", "route" => route, "method" => method, "status" => status)
        .increment(1);
}

/// The client's own id for a request, or a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(&REQUEST_ID);
    let given = given.filter(|id| !id.is_empty() && id.len() <= LONGEST_REQUEST_ID && id.to_str().is_ok());
    let new = || HeaderValue::from_str(&uuid::Uuid::now_v7().to_string());
    given.cloned().or_else(|| new().ok()).unwrap_or(HeaderValue::from_static("none"))
}
