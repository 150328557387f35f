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
    fn read(&self, start: u64, most: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        self.read_in_any_case(start, most).boxed()
    }
}

impl JobMedia {
    /// Waits for Redis where it is away: a provider is not to blame for that. The call that is being sent bounds the wait.
    async fn read_in_any_case(&self, start: u64, most: usize) -> io::Result<Bytes> {
        let mut failures = 0;
        loop {
            match self.0.read(start, most).await {
                Ok(bytes) => return Ok(bytes),
                Err(error @ QueueError::Unexpected(_)) => return Err(io::Error::other(error)),
                Err(error) => {
                    tracing::debug!(%error, "a piece of a job's media is not read yet");
                    sleep(BACKOFF.wait(failures)).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    }
}
