use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::{HttpResponse, web};
use hermod_queue::JobRecord;
use hermod_types::{JobId, JobStatus, ResponseEcho};

use super::{OPERATION, answer};
use crate::error::ApiError;
use crate::integration;
use crate::state::State;
use crate::submit::Submit;
use crate::wait::{self, Existence, Wait};

/// `POST …/responses`: with `background` a Response that is queued; without it, the Response itself, should its job end in time.
///
/// # Errors
/// If the job is not accepted.
pub(crate) async fn create(
    headers: &HeaderMap,
    payload: web::Payload,
    default_provider: Option<&str>,
    state: &State,
) -> Result<HttpResponse, ApiError> {
    let submit = Submit::begin(OPERATION, headers, state).await?;
    let read = submit.response(payload, default_provider).await;
    let (submitted, echo) = read.map_err(integration::not_streamed)?;
    let id = submitted.id;
    let mut response = if echo.is_background() {
        answer::queued(id, &echo, &mut HttpResponse::Ok())
    } else {
        let preferred = Wait::preferred(headers);
        let length = preferred.map_or(state.longest_sync, |wait| wait.length().min(state.longest_sync));
        let may_repeat = submit.is_remembered();
        let mut response = Box::pin(waited(id, &echo, length, may_repeat, state)).await?;
        if let Some(wait) = preferred {
            wait.applied(&mut response);
        }
        response
    };
    submitted.tell(&mut response);
    Ok(response)
}

/// The Response, or the error of one that has failed; after `length`, or if it cannot be known, one that is not finished.
async fn waited(
    id: JobId,
    echo: &ResponseEcho,
    length: Duration,
    may_repeat: bool,
    state: &State,
) -> Result<HttpResponse, ApiError> {
    let look = async || state.queue.find(id).await.map_err(ApiError::from_find)?.ok_or(ApiError::JobNotFound);
    let record = match wait::for_end(id, length, Existence::Certain, state, look).await {
        Ok(record) if record.status.is_ended() => return ended(record, state).await,
        Ok(record) => Some(record),
        Err(error) if error.is_unavailable() => None,
        Err(error) => return Err(error),
    };
    // A client whose second try is known by us finds the same job by it.
    if may_repeat && (record.is_none() || state.draining.is_cancelled()) {
        return Err(ApiError::AskAgain);
    }
    let mut accepted = HttpResponse::Accepted();
    match record {
        Some(record) => answer::response(record, accepted, state).await,
        None => Ok(answer::queued(id, echo, &mut accepted)),
    }
}

async fn ended(record: JobRecord, state: &State) -> Result<HttpResponse, ApiError> {
    match record.status {
        JobStatus::Failed => integration::failure(&record, state).await,
        JobStatus::Completed | JobStatus::Pending | JobStatus::Processing => {
            answer::response(record, HttpResponse::Ok(), state).await
        }
    }
}
