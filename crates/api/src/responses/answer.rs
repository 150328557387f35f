//! A job as a Response.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::TryStreamExt;
use hermod_queue::{JobRecord, OutcomeRef};
use hermod_types::{
    ErrorBody, ErrorDetail, JobId, JobStatus, RawObject, ResponseEcho, ResponseId, ResponseSplice,
    ResponseStatus, ResponseView,
};

use crate::error::ApiError;
use crate::poll;
use crate::result_stream::ResultParts;
use crate::state::State;

/// An error of more bytes is not read into a Response.
const LARGEST_ERROR: u64 = 1 << 20;
const TOO_MANY: u16 = 429;

/// One that was just accepted.
pub(super) fn queued(id: JobId, echo: &ResponseEcho, to: &mut HttpResponseBuilder) -> HttpResponse {
    let view = ResponseView {
        id: ResponseId(id),
        status: ResponseStatus::Queued,
        echo,
        error: None,
        extra_fields: None,
    };
    shown(&view, to)
}

/// The Response that a job is now.
///
/// # Errors
/// If its result or error cannot be read.
pub(super) async fn response(
    mut record: JobRecord,
    mut to: HttpResponseBuilder,
    state: &State,
) -> Result<HttpResponse, ApiError> {
    let echo = record.echo.take();
    let echo = echo.unwrap_or_else(|| ResponseEcho::of_job(record.model.as_deref().unwrap_or_default()));
    let id = ResponseId(record.id);
    let Some(status) = status(&record) else {
        return completed(&record, ResponseSplice::new(id, &echo), to, state).await;
    };
    let view = ResponseView { id, status, echo: &echo, error: None, extra_fields: None };
    let Some(error) = error(&record, state).await? else { return Ok(shown(&view, &mut to)) };
    let stored: Option<RawObject<'_>> = serde_json::from_str(&error).ok();
    let extra_fields = stored.as_ref().and_then(|error| error.get("extra_fields")).map(|extra| extra.get());
    let view = ResponseView { extra_fields, ..view };
    if status == ResponseStatus::Cancelled {
        return Ok(shown(&view, &mut to));
    }
    let body: Option<ErrorBody> = serde_json::from_str(&error).ok();
    let detail = body.map(|body| body.error).unwrap_or_else(|| ErrorDetail {
        message: format!("the error cannot be shown here; see /v1/async/responses/{}", record.id),
        ..ErrorDetail::default()
    });
    let code = code(&detail, record.status_code());
    Ok(shown(&ResponseView { error: Some((code, &detail.message)), ..view }, &mut to))
}

/// None where the provider's Response says it.
fn status(record: &JobRecord) -> Option<ResponseStatus> {
    match record.status {
        JobStatus::Completed => None,
        JobStatus::Failed if record.is_cancelled() => Some(ResponseStatus::Cancelled),
        JobStatus::Failed => Some(ResponseStatus::Failed),
        // It will end so, whatever its provider answers by then.
        JobStatus::Pending | JobStatus::Processing if record.cancel_requested.is_some() => {
            Some(ResponseStatus::Cancelled)
        }
        // No transition yet.
        JobStatus::Pending if record.seq == 0 => Some(ResponseStatus::Queued),
        JobStatus::Pending | JobStatus::Processing => Some(ResponseStatus::InProgress),
    }
}

fn shown(view: &ResponseView<'_>, to: &mut HttpResponseBuilder) -> HttpResponse {
    if matches!(view.status, ResponseStatus::Queued | ResponseStatus::InProgress) {
        to.insert_header(("openai-poll-after-ms", poll::poll_after_ms(view.id.0)));
    }
    to.content_type(ContentType::json()).body(view.to_json())
}

/// The provider's Response, under our id.
async fn completed(
    record: &JobRecord,
    mut splice: ResponseSplice,
    mut to: HttpResponseBuilder,
    state: &State,
) -> Result<HttpResponse, ApiError> {
    to.content_type(ContentType::json());
    Ok(match record.outcome().ok_or(ApiError::JobNotFound)? {
        OutcomeRef::Inline(json) => to.body(splice.whole(json)),
        OutcomeRef::Stored(outcome) => {
            let parts = ResultParts { head: String::new(), outcome: outcome.clone(), tail: "" };
            let pieces = parts.pieces(state.outcomes.clone(), &state.memory).await?;
            // How long it becomes is known at its end only.
            to.streaming(Box::pin(pieces.map_ok(move |piece| Bytes::from(splice.piece(&piece)))))
        }
    })
}

/// The JSON of a failed job's error; none for a job that has none, and for what is too large to be one.
async fn error(record: &JobRecord, state: &State) -> Result<Option<String>, ApiError> {
    Ok(match record.outcome() {
        None => None,
        Some(OutcomeRef::Inline(json)) => Some(json.to_owned()),
        Some(OutcomeRef::Stored(outcome)) if outcome.bytes > LARGEST_ERROR => Some(String::new()),
        Some(OutcomeRef::Stored(outcome)) => {
            let mut room = state.memory.room(outcome.bytes);
            room.grow_to(outcome.bytes)?;
            let json = state.outcomes.read(outcome, 0, outcome.bytes).await.map_err(ApiError::from_find)?;
            String::from_utf8(json.ok_or(ApiError::JobNotFound)?).ok()
        }
    })
}

/// What `OpenAI` calls an error that its provider gave no code.
fn code(detail: &ErrorDetail, status_code: Option<u16>) -> &str {
    let unnamed = if status_code == Some(TOO_MANY) { "rate_limit_exceeded" } else { "server_error" };
    detail.code.as_deref().or(detail.kind.as_deref()).unwrap_or(unnamed)
}
