use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::Method;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::{JobJson, OutcomeReader, Queue};
use hermod_types::{ApiConfig, JobId};

use crate::caller;
use crate::error::ApiError;
use crate::memory::MemoryBudget;
use crate::result_stream::ResultParts;

/// `GET /v1/async/completions/{id}`: 202 while the job waits or runs, 200 once it has ended.
pub(crate) async fn poll(
    request: HttpRequest,
    id: web::Path<String>,
    config: web::Data<ApiConfig>,
    queue: web::Data<Queue>,
    outcomes: web::Data<OutcomeReader>,
    memory: web::Data<MemoryBudget>,
) -> Result<HttpResponse, ApiError> {
    let id: JobId = id.parse().map_err(|_| ApiError::JobNotFound)?;
    let record = queue.find(id).await.map_err(ApiError::from_find)?.ok_or(ApiError::JobNotFound)?;
    // Before anything large is read: another client's job must cost as little time as one that does not exist.
    if !caller::may_see(request.headers(), &config, record.owner.as_deref()) {
        return Err(ApiError::JobNotFound);
    }
    let mut response = if record.status.is_ended() { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    if !record.status.is_ended() {
        let wait_ms = poll_after_ms(id);
        response
            .insert_header((RETRY_AFTER, wait_ms.div_ceil(1000)))
            .insert_header(("openai-poll-after-ms", wait_ms));
    }
    response.content_type(ContentType::json());
    Ok(match record.into_json() {
        JobJson::Whole(json) => response.body(json),
        JobJson::Around { head, outcome, tail } => {
            let parts = ResultParts { head, outcome, tail };
            if request.method() == Method::HEAD {
                response.body(parts.size_only())
            } else {
                response.body(parts.stream(OutcomeReader::clone(&outcomes), &memory).await?)
            }
        }
    })
}

/// When it is worth asking again: after a tenth of the time that the job has taken so far, between 0.2 s
/// and 5 s. So a result is seen at most a tenth late, and a long job costs few polls.
fn poll_after_ms(id: JobId) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let age = u64::try_from(now).unwrap_or_default().saturating_sub(id.created_at().as_millis());
    (age / 10).clamp(200, 5000)
}
