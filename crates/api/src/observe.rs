//! What every request leaves behind: its id, a count, its duration.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};
use hermod_queue::Queue;
use hermod_service::{Metrics, describe};
use metrics::{Counter, Histogram};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Methods are the client's words, so only these are a label.
const LABELLED_METHODS: [&str; 4] = ["GET", "POST", "HEAD", "OPTIONS"];
/// A longer id is not echoed: it would stand in our logs.
const LONGEST_REQUEST_ID: usize = 200;

pub(crate) fn describe_metrics() {
    describe("hermod_jobs_accepted_total", "Jobs that Redis has taken.");
    metrics::describe_counter!(
        "hermod_http_requests_total",
        "Requests answered, by route, method and status."
    );
    metrics::describe_histogram!("hermod_http_request_duration_seconds", "From head to answer, by route.");
    metrics::describe_gauge!("hermod_queue_waiting", "Jobs accepted and not yet given to a worker.");
    metrics::describe_gauge!("hermod_queue_delayed", "Jobs that sleep until a retry time.");
    metrics::describe_gauge!("hermod_queue_running", "Jobs given to a worker and not yet ended.");
    metrics::describe_gauge!("hermod_queue_dead", "Jobs given up on, kept for the operator.");
}

/// Answers with the request's id, and counts.
pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let method = request.method().clone();
    let given = request.headers().get(&REQUEST_ID);
    let id =
        given.filter(|id| !id.is_empty() && id.len() <= LONGEST_REQUEST_ID && id.to_str().is_ok()).cloned();
    let id = id.or_else(|| HeaderValue::from_str(&uuid::Uuid::now_v7().to_string()).ok());

    let mut response = next.call(request).await?;
    let route = response.request().match_pattern().unwrap_or_else(|| "(none)".to_owned());
    let status = response.status();
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let elapsed = started.elapsed();
    tracing::debug!(%method, route, status = status.as_u16(), duration_us = elapsed.as_micros(), "request");
    let method = LABELLED_METHODS.iter().find(|labelled| **labelled == method.as_str());
    count(Kind { route, method: method.unwrap_or(&"other"), status: status.as_u16() }, elapsed);
    Ok(response)
}

/// What requests are counted by.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    route: String,
    method: &'static str,
    status: u16,
}

thread_local! {
    /// The metrics of each kind: looking them up by their labels costs more than counting.
    static METRICS: RefCell<HashMap<Kind, (Counter, Histogram)>> = RefCell::default();
}

fn count(kind: Kind, elapsed: Duration) {
    METRICS.with_borrow_mut(|known| {
        let (requests, durations) = known.entry(kind).or_insert_with_key(|Kind { route, method, status }| {
            let durations = metrics::histogram!("hermod_http_request_duration_seconds", "route" => route.clone());
            let status = status.to_string();
            let requests = metrics::counter!("hermod_http_requests_total", "route" => route.clone(), "method" => *method, "status" => status);
            (requests, durations)
        });
        requests.increment(1);
        durations.record(elapsed);
    });
}

/// `GET /metrics`: this process's, and the queue's as Redis has it now.
pub(crate) async fn metrics(metrics: web::Data<Metrics>, queue: web::Data<Queue>) -> HttpResponse {
    if let Ok(stats) = queue.stats().await {
        let gauge = |name: &'static str, jobs: u64| {
            metrics::gauge!(name).set(f64::from(u32::try_from(jobs).unwrap_or(u32::MAX)));
        };
        gauge("hermod_queue_waiting", stats.waiting);
        gauge("hermod_queue_delayed", stats.delayed);
        gauge("hermod_queue_running", stats.running);
        gauge("hermod_queue_dead", stats.dead);
    }
    metrics.response()
}
