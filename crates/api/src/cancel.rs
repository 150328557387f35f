//! Jobs are ended early, and removed once they have ended.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::{Cancelled, JobRecord, Queue};
use hermod_types::{JobStatus, Operation, Timestamp};

use crate::body::Body;
use crate::error::{ApiError, Failure};
use crate::poll;
use crate::state::State;

/// `POST /v1/async/{path}/{id}/cancel`: 200 once the job has ended so, 202 while its worker has yet to end it.
pub(crate) async fn cancel(
    http: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
    operation: web::Data<Operation>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let operation = **operation;
    let answer = async {
        let record = find(&http, payload, &id, operation, &state).await?;
        let record = cancel_job(record, &state.queue).await?;
        poll::answer(record, false, &state).await
    };
    answer.await.map_err(|error| error.of(operation))
}

/// `DELETE /v1/async/{path}/{id}`: 204 once all of a job that has ended is gone. One that waits or runs is cancelled.
pub(crate) async fn delete(
    http: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
    operation: web::Data<Operation>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let operation = **operation;
    let answer = async {
        let record = find(&http, payload, &id, operation, &state).await?;
        match delete_job(record, &state).await? {
            Some(record) => poll::answer(record, false, &state).await,
            None => Ok(HttpResponse::NoContent().finish()),
        }
    };
    answer.await.map_err(|error| error.of(operation))
}

/// The job, once the request's body is out of the way.
async fn find(
    http: &HttpRequest,
    payload: web::Payload,
    id: &str,
    operation: Operation,
    state: &State,
) -> Result<JobRecord, ApiError> {
    Body::new(http.headers(), payload, state.limits.of(operation))?.pass_over().await?;
    poll::find(id, http.headers(), state, |its| its.polled_as() == operation).await
}

/// Cancels a job that the caller may see. As it is then: it has ended as cancelled, or runs and is about to.
///
/// # Errors
/// If it has ended by itself, is gone, or Redis does not answer: then it is safe to ask again.
pub(crate) async fn cancel_job(mut record: JobRecord, queue: &Queue) -> Result<JobRecord, ApiError> {
    let id = record.id;
    match queue.cancel(id, record.operation).await.map_err(ApiError::from_find)? {
        Cancelled::Unknown => return Err(ApiError::JobNotFound),
        Cancelled::Ended => return Err(ApiError::JobEnded),
        Cancelled::Cancelled => metrics::counter!("hermod_jobs_cancelled_total").increment(1),
        Cancelled::AlreadyCancelled => {}
        Cancelled::Requested { since_ms } => {
            record.status = JobStatus::Processing;
            record.cancel_requested = Some(Timestamp::from_millis(since_ms));
            return Ok(record);
        }
    }
    queue.find(id).await.map_err(ApiError::from_find)?.ok_or(ApiError::JobNotFound)
}

/// Removes a job that has ended, and that the caller may see. One that waits or runs is cancelled, and given as it is then.
///
/// # Errors
/// As [`cancel_job`].
pub(crate) async fn delete_job(record: JobRecord, state: &State) -> Result<Option<JobRecord>, ApiError> {
    let id = record.id;
    let forget = async || state.queue.forget(id).await.map_err(ApiError::from_find);
    if record.status.is_ended() && forget().await? {
        return Ok(None);
    }
    match cancel_job(record, &state.queue).await {
        Ok(record) => Ok(Some(record)),
        // Just now.
        Err(ApiError::JobEnded) if forget().await? => Ok(None),
        Err(error) => Err(error),
    }
}
