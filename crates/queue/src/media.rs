use bytes::Bytes;
use hermod_types::JobId;

use crate::{QueueError, Store, keys};

/// Reads the media of a job's request piece by piece. Cheap to clone.
#[derive(Clone)]
pub struct MediaReader {
    store: Store,
    id: JobId,
    bytes: u64,
}

impl MediaReader {
    pub(crate) fn new(store: &Store, id: JobId, bytes: u64) -> Self {
        Self { store: store.clone(), id, bytes }
    }

    /// How many bytes there are.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes from `start` on: 1 to `most` of them, up to the end of the piece that they are in; an empty text at the end.
    /// Each call reads a whole piece of [`crate::PIECE_BYTES`], so `most` is best that or more.
    ///
    /// # Errors
    /// If Redis does not answer, or the media is gone.
    pub async fn read(&self, start: u64, most: usize) -> Result<Bytes, QueueError> {
        if start >= self.bytes {
            return Ok(Bytes::new());
        }
        let (shard, key) = (self.id.shard(), keys::media(self.id));
        let found = self.store.pieces().read_on(shard, &key, start).await?;
        let gone = || QueueError::Unexpected(format!("the media of job {} is gone", self.id));
        let mut found = found.ok_or_else(gone)?;
        found.truncate(most);
        Ok(found)
    }
}
