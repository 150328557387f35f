use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::Method;
use actix_web::http::header::{ContentType, HeaderMap, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::{JobJson, JobRecord, Position};
use hermod_types::{JobId, Operation, Timestamp};

use crate::caller;
use crate::error::{ApiError, Failure};
use crate::result_stream::ResultParts;
use crate::state::State;
use crate::wait::{self, Existence, Wait};

/// How many jobs wait before this one.
const POSITION: &str = "x-hermod-queue-position";
/// The type of the refusal that keeps the job waiting.
const WAITING_FOR: &str = "x-hermod-waiting-for";
const LONGEST_WAIT_MS: u64 = 59_000;

/// `GET /v1/async/{path}/{id}`: 202 while the job waits or runs, 200 once it has ended.
pub(crate) async fn poll(
    http: HttpRequest,
    id: web::Path<String>,
    operation: web::Data<Operation>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let operation = **operation;
    let (headers, wait) = (http.headers(), Wait::preferred(http.headers()));
    // Boxed: of what a request needs, this alone is kept while it waits.
    let record = Box::pin(find_or_wait(&id, headers, &state, operation, wait)).await;
    let record = record.map_err(|error| error.of(operation))?;
    let answer = Box::pin(answer(record, http.method() == Method::HEAD, &state)).await;
    let mut response = answer.map_err(|error| error.of(operation))?;
    if let Some(wait) = wait {
        wait.applied(&mut response);
    }
    Ok(response)
}

/// The job as it is, or as it is once it has ended or the wait is over.
async fn find_or_wait(
    id: &str,
    headers: &HeaderMap,
    state: &State,
    operation: Operation,
    wait: Option<Wait>,
) -> Result<JobRecord, ApiError> {
    let is_here = |its: Operation| its.polled_as() == operation;
    let Some(wait) = wait else { return find(id, headers, state, is_here).await };
    let id = id.parse().map_err(|_| ApiError::JobNotFound)?;
    let look = async || look(id, headers, state, is_here).await;
    wait::for_end(id, wait.length(), Existence::ToBeSeen, state, look).await
}

/// The job with this id, if this caller may see it, and if jobs of its kind are here.
///
/// # Errors
/// The same for every reason why not: nobody learns that another's job exists.
pub(crate) async fn find(
    id: &str,
    headers: &HeaderMap,
    state: &State,
    is_here: impl FnOnce(Operation) -> bool,
) -> Result<JobRecord, ApiError> {
    look(id.parse().map_err(|_| ApiError::JobNotFound)?, headers, state, is_here).await
}

/// The same for an id that is one.
///
/// # Errors
/// As [`find`].
pub(crate) async fn look(
    id: JobId,
    headers: &HeaderMap,
    state: &State,
    is_here: impl FnOnce(Operation) -> bool,
) -> Result<JobRecord, ApiError> {
    let record = state.queue.find(id).await.map_err(ApiError::from_find)?.ok_or(ApiError::JobNotFound)?;
    // Before anything large is read: another client's job must cost as little time as one that does not exist.
    if record.owner.is_some() {
        caller::learn(headers, state).await?;
    }
    let is_seen = is_here(record.operation) && caller::may_see(headers, state, record.owner.as_deref());
    if is_seen { Ok(record) } else { Err(ApiError::JobNotFound) }
}

/// What a poll is told: 202 while the job waits or runs, 200 once it has ended.
///
/// # Errors
/// If a large result cannot be read.
pub(crate) async fn answer(
    record: JobRecord,
    is_head: bool,
    state: &State,
) -> Result<HttpResponse, ApiError> {
    let mut response = if record.status.is_ended() { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    if !record.status.is_ended() {
        let waiting = record.waiting_for.as_ref();
        let wait_ms = waiting.map_or_else(|| poll_after_ms(record.id), |waiting| until_ms(waiting.until));
        if let Some(waiting) = waiting {
            response.insert_header((WAITING_FOR, waiting.kind.as_str()));
        }
        response
            .insert_header((RETRY_AFTER, wait_ms.div_ceil(1000)))
            .insert_header(("openai-poll-after-ms", wait_ms));
        match state.positions.of(&record).await {
            Some(Position::Exactly(jobs)) => drop(response.insert_header((POSITION, jobs))),
            Some(Position::MoreThan(jobs)) => drop(response.insert_header((POSITION, format!(">{jobs}")))),
            None => {}
        }
    }
    response.content_type(ContentType::json());
    Ok(match record.into_json() {
        JobJson::Whole(json) => response.body(json),
        JobJson::Around { head, outcome, tail } => {
            let parts = ResultParts { head, outcome, tail };
            if is_head {
                response.body(parts.size_only())
            } else {
                response.body(parts.stream(state.outcomes.clone(), &state.memory).await?)
            }
        }
    })
}

/// Until a job is asked again that waits for a limit: well under the 60 s beyond which OpenAI's SDKs ignore it.
fn until_ms(until: Timestamp) -> u64 {
    until.as_millis().saturating_sub(Timestamp::now().as_millis()).clamp(200, LONGEST_WAIT_MS)
}

/// When it is worth asking again: after a tenth of the time that the job has taken so far, between 0.2 s
/// and 5 s. So a result is seen at most a tenth late, and a long job costs few polls.
pub(crate) fn poll_after_ms(id: JobId) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let age = u64::try_from(now).unwrap_or_default().saturating_sub(id.created_at().as_millis());
    (age / 10).clamp(200, 5000)
}
