use std::rc::Rc;

use actix_http::body::BoxBody;
use actix_http::{HttpMessage, Request, Response};
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use actix_web::{ResponseError, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::connection::{Activity, Progress};
use crate::error::ApiError;
use crate::memory::{MemoryBudget, Room};
use crate::observe;

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// If it is over the limit, stalls, breaks off, or finds no room.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut payload: web::Payload,
    limit: usize,
    memory: &MemoryBudget,
) -> Result<(Bytes, Room), ApiError> {
    check_length(headers, limit)?;
    // Room is taken as bytes arrive, so that a client that only announces a body takes none.
    let mut room = memory.room(length(headers).unwrap_or(0));
    let mut body = BytesMut::new();
    let mut progress = Progress::default();
    loop {
        let deadline = progress.wait(Instant::now()).map_err(|_| ApiError::BodyTimeout)?;
        match timeout_at(deadline, payload.next()).await {
            // It is told at the next turn whether it was fast enough until now.
            Err(_) => {}
            Ok(None) => return Ok((body.freeze(), room)),
            Ok(Some(Err(_))) => return Err(ApiError::BodyBroken),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() > limit => {
                return Err(ApiError::BodyTooLarge { limit });
            }
            Ok(Some(Ok(chunk))) => {
                progress.moved(chunk.len(), Instant::now());
                room.grow_to(u64::try_from(body.len() + chunk.len()).unwrap_or(u64::MAX))?;
                body.extend_from_slice(&chunk);
            }
        }
    }
}

/// Refuses a body by its announced size, before any of it has come.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    match length(headers) {
        Some(length) if usize::try_from(length).is_ok_and(|length| length <= limit) => Ok(()),
        Some(_) => Err(ApiError::BodyTooLarge { limit }),
        None => Ok(()),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a client gets that waits for `100 Continue` before it sends its body: that, or at once why not.
pub(crate) fn expected(request: Request, limit: usize) -> Result<Request, Response<BoxBody>> {
    let Err(error) = check_length(request.headers(), limit) else { return Ok(request) };
    // It passes our middleware by.
    if let Some(activity) = request.conn_data::<Rc<Activity>>() {
        activity.answer();
    }
    let mut response = error.error_response();
    let id: HeaderValue = observe::request_id(request.headers());
    response.headers_mut().insert(observe::REQUEST_ID, id);
    observe::count("(none)", "other", response.status());
    Err(response.into())
}
