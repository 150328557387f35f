use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::{JobRecord, Queue};
use hermod_types::{ApiConfig, JobId};

use crate::caller;
use crate::error::ApiError;

/// `GET /v1/async/completions/{id}`: 202 while the job waits or runs, 200 once it has ended.
pub(crate) async fn poll(
    request: HttpRequest,
    id: web::Path<String>,
    config: web::Data<ApiConfig>,
    queue: web::Data<Queue>,
) -> Result<HttpResponse, ApiError> {
    let id: JobId = id.parse().map_err(|_| ApiError::JobNotFound)?;
    let record = queue.find(id).await.map_err(ApiError::from_find)?.ok_or(ApiError::JobNotFound)?;
    if !caller::may_see(request.headers(), &config, record.owner.as_deref()) {
        return Err(ApiError::JobNotFound);
    }
    Ok(reply(&record))
}

fn reply(record: &JobRecord) -> HttpResponse {
    if record.status.is_ended() {
        return HttpResponse::Ok().content_type(ContentType::json()).body(record.to_json());
    }
    let wait_ms = poll_after_ms(record.id);
    HttpResponse::Accepted()
        .insert_header((RETRY_AFTER, wait_ms.div_ceil(1000)))
        .insert_header(("openai-poll-after-ms", wait_ms))
        .content_type(ContentType::json())
        .body(record.to_json())
}

/// When it is worth asking again: after a tenth of the time that the job has taken so far, between 0.2 s
/// and 5 s. So a result is seen at most a tenth late, and a long job costs few polls.
fn poll_after_ms(id: JobId) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let age = u64::try_from(now).unwrap_or_default().saturating_sub(id.created_at().as_millis());
    (age / 10).clamp(200, 5000)
}
