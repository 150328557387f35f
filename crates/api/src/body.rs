use std::time::Duration;

use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::error::ApiError;

/// The largest body of a submit, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// The longest that a body may take to arrive, however slowly it drips.
const DEADLINE: Duration = Duration::from_secs(45);
/// What is read and thrown away of a body that is too large. A client that sends all of it before it reads
/// would otherwise see a reset connection instead of our answer.
const DRAINED_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Reads a whole body.
///
/// # Errors
/// If it is over the limit, stalls, or breaks off.
pub(crate) async fn read(mut payload: web::Payload, BodyLimit(limit): BodyLimit) -> Result<Bytes, ApiError> {
    let deadline = Instant::now() + DEADLINE;
    let mut body = BytesMut::new();
    loop {
        match timeout_at(deadline, payload.next()).await {
            Err(_) => return Err(ApiError::BodyTimeout { seconds: DEADLINE.as_secs() }),
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(Err(_))) => return Err(ApiError::BodyBroken),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() > limit => {
                drop(body);
                drain(payload).await;
                return Err(ApiError::BodyTooLarge { limit });
            }
            Ok(Some(Ok(chunk))) => body.extend_from_slice(&chunk),
        }
    }
}

async fn drain(mut payload: web::Payload) {
    let deadline = Instant::now() + DRAIN_TIME;
    let mut drained = 0;
    while let Ok(Some(Ok(chunk))) = timeout_at(deadline, payload.next()).await {
        drained += chunk.len();
        if drained > DRAINED_BYTES {
            return;
        }
    }
}
