use bytes::Bytes;
use hermod_types::JobId;
use tokio_util::task::TaskTracker;

use crate::pieces::PIECE_BYTES;
use crate::staged::Staged;
use crate::{QueueError, Store};

/// Media that come in before the job that they belong to; [`crate::Queue::submit_upload`] makes it one. One that is dropped
/// before leaves nothing behind.
pub struct Upload {
    staged: Staged,
    /// What is not written yet: less than a piece.
    piece: Vec<u8>,
    /// Pieces that may be in Redis.
    written: usize,
    bytes: u64,
}

impl Upload {
    pub(crate) fn new(store: &Store, id: JobId, tasks: &TaskTracker) -> Self {
        Self { staged: Staged::new(store, id, "media", tasks), piece: Vec::new(), written: 0, bytes: 0 }
    }

    /// Bytes that have come so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes what has come. Each piece of [`PIECE_BYTES`] is written as soon as it is full, and this returns once it is: so no
    /// more than a piece is held in memory.
    ///
    /// # Errors
    /// If Redis does not take a piece: the upload is then of no more use.
    pub async fn push(&mut self, mut bytes: Bytes) -> Result<(), QueueError> {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        while !bytes.is_empty() {
            if self.piece.is_empty() {
                self.piece.reserve_exact(PIECE_BYTES);
            }
            let part = bytes.split_to(bytes.len().min(PIECE_BYTES - self.piece.len()));
            self.piece.extend_from_slice(&part);
            if self.piece.len() == PIECE_BYTES {
                self.write().await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), QueueError> {
        let number = self.written;
        self.written += 1;
        self.staged.put(number, &self.piece).await?;
        self.piece.clear();
        Ok(())
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// If Redis does not answer: it then expires.
    pub async fn discard(self) -> Result<(), QueueError> {
        self.staged.discard().await
    }

    /// Of the job that it is for.
    pub const fn id(&self) -> JobId {
        self.staged.id
    }

    /// Writes the rest. What becomes of the pieces is up to the script, and to whoever holds what this returns until that is done.
    pub(crate) async fn stage(mut self) -> Result<Staged, QueueError> {
        if !self.piece.is_empty() {
            self.write().await?;
        }
        Ok(self.staged)
    }
}
