use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::ApiError;

/// How much a body may be, and all bodies together that are in memory at one time.
#[derive(Clone, Debug)]
pub(crate) struct BodyLimits {
    one: usize,
    all: Arc<Semaphore>,
}

impl BodyLimits {
    /// Both in bytes; at least one body of the largest size always fits.
    pub(crate) fn new(one: usize, all: usize) -> Self {
        Self { one, all: Arc::new(Semaphore::new(blocks(all.max(one)) as usize)) }
    }

    /// Makes `room` large enough for a body of `bytes`. Room is taken as bytes arrive, so that a client that only
    /// announces a body takes none.
    async fn make_room(&self, room: &mut OwnedSemaphorePermit, bytes: usize) -> Result<(), ApiError> {
        let needed = (blocks(bytes) as usize).saturating_sub(room.num_permits());
        if needed == 0 {
            return Ok(());
        }
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        if let Ok(more) = Arc::clone(&self.all).try_acquire_many_owned(needed) {
            room.merge(more);
            return Ok(());
        }
        match timeout(ROOM_TIME, Arc::clone(&self.all).acquire_many_owned(needed)).await {
            Ok(Ok(more)) => room.merge(more),
            Ok(Err(_)) | Err(_) => return Err(ApiError::Overloaded),
        }
        Ok(())
    }
}

/// Bytes in the unit of the semaphore, which counts in 32 bits: blocks of 1 KiB.
fn blocks(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(1 << 28)
}

/// The longest that a body waits for room.
const ROOM_TIME: Duration = Duration::from_secs(5);

/// The longest that a body may take to arrive, however slowly it drips.
const DEADLINE: Duration = Duration::from_secs(45);
/// What is read and thrown away of a body that is too large. A client that sends all of it before it reads
/// would otherwise see a reset connection instead of our answer.
const DRAINED_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Reads a whole body. The permit is its room in memory.
///
/// # Errors
/// If it is over the limit, stalls, breaks off, or finds no room.
pub(crate) async fn read(
    mut payload: web::Payload,
    limits: &BodyLimits,
) -> Result<(Bytes, OwnedSemaphorePermit), ApiError> {
    let deadline = Instant::now() + DEADLINE;
    let nothing = Arc::clone(&limits.all).try_acquire_many_owned(0);
    let mut room = nothing.map_err(|_| ApiError::Overloaded)?;
    let mut body = BytesMut::new();
    loop {
        match timeout_at(deadline, payload.next()).await {
            Err(_) => return Err(ApiError::BodyTimeout { seconds: DEADLINE.as_secs() }),
            Ok(None) => return Ok((body.freeze(), room)),
            Ok(Some(Err(_))) => return Err(ApiError::BodyBroken),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() > limits.one => {
                drop((body, room));
                drain(payload).await;
                return Err(ApiError::BodyTooLarge { limit: limits.one });
            }
            Ok(Some(Ok(chunk))) => {
                limits.make_room(&mut room, body.len() + chunk.len()).await?;
                body.extend_from_slice(&chunk);
            }
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
