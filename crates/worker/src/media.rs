use std::io;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hermod_providers::MediaSource;
use hermod_queue::MediaReader;

/// The media of a job's request, read from Redis while a provider is sent them.
pub(crate) struct JobMedia(pub(crate) MediaReader);

impl MediaSource for JobMedia {
    fn read(&self, start: u64, most: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        async move { self.0.read(start, most).await.map_err(io::Error::other) }.boxed()
    }
}
