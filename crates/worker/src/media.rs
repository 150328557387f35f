use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hermod_providers::MediaSource;
use hermod_queue::{MediaReader, QueueError};
use hermod_types::Backoff;
use tokio::time::sleep;

/// The wait after a failure to read a piece, doubled up to the longest.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// The media of a job's request, read from Redis while a provider is sent them.
pub(crate) struct JobMedia(pub(crate) MediaReader);

impl MediaSource for JobMedia {
    /// While Redis is away the provider waits, up to the time that its call may take: breaking off would be blamed on it.
    fn read(&self, start: u64, most: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        let read = async move {
            let mut failures = 0;
            loop {
                match self.0.read(start, most).await {
                    Ok(piece) => return Ok(piece),
                    Err(error @ QueueError::Unexpected(_)) => return Err(io::Error::other(error)),
                    Err(_) => sleep(BACKOFF.wait(failures)).await,
                }
                failures = failures.saturating_add(1);
            }
        };
        read.boxed()
    }
}
