//! Server-sent events: a client hears of its jobs and asks nothing.

mod frame;
mod job_stream;
mod key_stream;

use std::time::Duration;

use actix_web::body::BodyStream;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use futures_util::{Stream, stream};
use hermod_types::{ErrorBody, ErrorCode, JobId, Operation};
use job_stream::JobStream;
use key_stream::KeyStream;

use crate::caller;
use crate::error::{ApiError, Failure};
use crate::poll;
use crate::state::State;

/// The last event that a client has had over an earlier connection.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Has nginx send each event at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long a stream is quiet at most: a fourth of the idle limit that is usual in proxies.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// After a look that failed, the next one comes within this time.
const RETRY_WITHIN: Duration = Duration::from_secs(2);

/// `GET /v1/async/{path}/{id}/events`: each change of a job, then its end. 204 to a client that has had the end.
///
/// What `Accept` says does not matter: there is one form.
pub(crate) async fn of_job(
    http: HttpRequest,
    id: web::Path<String>,
    operation: web::Data<Operation>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let operation = **operation;
    let answer = async {
        let id: JobId = id.parse().map_err(|_| ApiError::JobNotFound)?;
        let told = last_event_id(http.headers());
        let mut watch = state.events.watch(id);
        // A shutdown is noticed by the stream.
        state.draining.run_until_cancelled(watch.ready()).await;
        let is_here = |its: Operation| its.polled_as() == operation;
        let record = match poll::look(id, http.headers(), &state, is_here).await {
            Ok(record) if record.status.is_ended() && told == Some(record.seq) => {
                return Ok(headers(HttpResponse::NoContent()).finish());
            }
            Ok(record) => Some(record),
            // A browser never comes back after a status like 503: it keeps the stream that it had.
            Err(error) if error.is_unavailable() && told.is_some() => None,
            Err(error) => return Err(error),
        };
        if http.method() == Method::HEAD {
            return Ok(stream_of(stream::empty()));
        }
        let events = JobStream::new(http.clone(), (id, operation), state, watch, record, told);
        Ok(stream_of(stream::unfold(events, async |mut events| {
            let next = events.next().await?;
            Some((next, events))
        })))
    };
    answer.await.map_err(|error| error.of(operation))
}

/// `GET /v1/async/events`: the ends of all jobs of the caller's virtual key.
pub(crate) async fn of_key(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let owner = caller::authenticate(http.headers(), &state)
        .await
        .and_then(|caller| caller.owner.ok_or(ApiError::VirtualKeyRequired))
        .map_err(ApiError::of_no_operation)?;
    if http.method() == Method::HEAD {
        return Ok(stream_of(stream::empty()));
    }
    let events = KeyStream::new(http, &owner, state);
    Ok(stream_of(stream::unfold(events, async |mut events| {
        let next = events.next().await?;
        Some((Ok(next), events))
    })))
}

/// What cannot be read is as good as nothing.
fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.trim().parse().ok()
}

fn headers(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header((ACCEL_BUFFERING, "no"));
    response
}

fn stream_of(events: impl Stream<Item = std::io::Result<Bytes>> + 'static) -> HttpResponse {
    let mut response = headers(HttpResponse::Ok());
    response.insert_header((CONTENT_TYPE, "text/event-stream"));
    response.body(BodyStream::new(Box::pin(events)))
}

/// The event that says that Redis is away.
fn away(operation: Option<Operation>) -> Bytes {
    let mut body = ErrorBody::new(
        ErrorCode::QueueUnavailable,
        "the queue is not available; this stream goes on when it is back",
    );
    if let Some(operation) = operation {
        body = body.of(operation);
    }
    frame::event("error", None, body.to_json())
}
