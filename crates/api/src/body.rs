use std::rc::Rc;

use actix_http::body::BoxBody;
use actix_http::{HttpMessage, Request, Response};
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use actix_web::{ResponseError, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hermod_types::Operation;
use tokio::time::{Instant, timeout_at};

use crate::connection::{Activity, Progress};
use crate::error::ApiError;
use crate::memory::{MemoryBudget, Room};
use crate::{observe, routes};

/// The largest bodies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Of calls with text alone, in bytes.
    pub(crate) text: usize,
    /// Of calls that carry media, in bytes.
    pub(crate) media: usize,
}

/// The one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyLimit {
    pub(crate) bytes: usize,
    /// The variable that sets it.
    pub(crate) setting: &'static str,
}

impl BodyLimits {
    pub(crate) const fn of(self, operation: Operation) -> BodyLimit {
        if operation.carries_media() {
            BodyLimit { bytes: self.media, setting: "HERMOD_MAX_UPLOAD_BYTES" }
        } else {
            BodyLimit { bytes: self.text, setting: "HERMOD_MAX_BODY_BYTES" }
        }
    }
}

/// The body of a request, as it arrives.
pub(crate) struct Body {
    payload: web::Payload,
    limit: BodyLimit,
    received: usize,
    progress: Progress,
}

impl Body {
    /// # Errors
    /// If it is announced to be over the limit: none of it is then read.
    pub(crate) fn new(
        headers: &HeaderMap,
        payload: web::Payload,
        limit: BodyLimit,
    ) -> Result<Self, ApiError> {
        check_length(headers, limit)?;
        Ok(Self { payload, limit, received: 0, progress: Progress::default() })
    }

    /// What has come; none at the end.
    ///
    /// # Errors
    /// If it is over the limit, stalls, or breaks off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let deadline = self.progress.wait(Instant::now()).map_err(|_| ApiError::BodyTimeout)?;
            match timeout_at(deadline, self.payload.next()).await {
                // It is told at the next turn whether it was fast enough until now.
                Err(_) => {}
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(ApiError::BodyBroken),
                Ok(Some(Ok(chunk))) => {
                    self.received += chunk.len();
                    if self.received > self.limit.bytes {
                        return Err(ApiError::BodyTooLarge(self.limit));
                    }
                    self.progress.moved(chunk.len(), Instant::now());
                    return Ok(Some(chunk));
                }
            }
        }
    }

    /// Reads all of it. `announced`: see [`length`].
    ///
    /// # Errors
    /// As [`Body::next`], and if it finds no room.
    pub(crate) async fn read(
        mut self,
        announced: Option<u64>,
        memory: &MemoryBudget,
    ) -> Result<(Bytes, Room), ApiError> {
        // Room is taken as bytes arrive, so that a client that only announces a body takes none.
        let mut room = memory.room(announced.unwrap_or(0));
        let mut body = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            room.grow_to(u64::try_from(self.received).unwrap_or(u64::MAX))?;
            body.extend_from_slice(&chunk);
        }
        Ok((body.freeze(), room))
    }

    /// Throws all of it away, so that another request can follow.
    ///
    /// # Errors
    /// As [`Body::next`].
    pub(crate) async fn pass_over(mut self) -> Result<(), ApiError> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

/// Refuses a body by its announced size, before any of it has come.
fn check_length(headers: &HeaderMap, limit: BodyLimit) -> Result<(), ApiError> {
    match length(headers) {
        Some(length) if usize::try_from(length).is_ok_and(|length| length <= limit.bytes) => Ok(()),
        Some(_) => Err(ApiError::BodyTooLarge(limit)),
        None => Ok(()),
    }
}

/// The size of a body that its client has announced.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a client gets that waits for `100 Continue` before it sends its body: that, or at once why not.
pub(crate) fn expected(request: Request, limits: BodyLimits) -> Result<Request, Response<BoxBody>> {
    // A path that is not there takes no body.
    let Some(operation) = routes::operation_of(request.path()) else { return Ok(request) };
    let Err(error) = check_length(request.headers(), limits.of(operation)) else { return Ok(request) };
    // It passes our middleware by.
    if let Some(activity) = request.conn_data::<Rc<Activity>>() {
        activity.answer();
    }
    let mut response = error.of(operation).error_response();
    let id: HeaderValue = observe::request_id(request.headers());
    response.headers_mut().insert(observe::REQUEST_ID, id);
    observe::count("(none)", "other", response.status());
    Err(response.into())
}
