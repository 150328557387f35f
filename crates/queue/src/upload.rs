use bytes::Bytes;
use hermod_types::JobId;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::pieces::PIECE_BYTES;
use crate::{QueueError, Store, keys};

/// Media that come in before the job that they belong to; [`crate::Queue::submit_upload`] makes it one. One that is dropped
/// before leaves nothing behind.
pub struct Upload {
    id: JobId,
    store: Store,
    tasks: TaskTracker,
    /// What is not written yet: less than a piece.
    piece: Vec<u8>,
    /// Pieces that may be in Redis.
    written: usize,
    bytes: u64,
}

impl Upload {
    pub(crate) fn new(store: &Store, id: JobId, tasks: &TaskTracker) -> Self {
        Self { id, store: store.clone(), tasks: tasks.clone(), piece: Vec::new(), written: 0, bytes: 0 }
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
        let key = self.key();
        // Without the script, media are no job.
        let put = self.store.pieces().put(self.id.shard(), &key, number, &self.piece).await;
        put.map_err(QueueError::before_sending)?;
        self.piece.clear();
        Ok(())
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// If Redis does not answer: it then expires.
    pub async fn discard(mut self) -> Result<(), QueueError> {
        if std::mem::take(&mut self.written) == 0 {
            return Ok(());
        }
        self.store.pieces().delete(self.id.shard(), &self.key()).await
    }

    /// Of the job that it is for.
    pub(crate) const fn id(&self) -> JobId {
        self.id
    }

    /// Writes the rest. What becomes of the pieces is then up to the script.
    pub(crate) async fn stage(mut self) -> Result<(), QueueError> {
        if !self.piece.is_empty() {
            self.write().await?;
        }
        self.written = 0;
        Ok(())
    }

    fn key(&self) -> String {
        keys::staged(self.id, "media")
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.written == 0 {
            return;
        }
        // Outside of a runtime they are left to expire.
        let Ok(runtime) = Handle::try_current() else { return };
        let (store, shard, key) = (self.store.clone(), self.id.shard(), self.key());
        let delete = async move {
            if let Err(error) = store.pieces().delete(shard, &key).await {
                tracing::debug!(%error, "an upload that came to nothing is left to expire");
            }
        };
        self.tasks.spawn_on(delete, &runtime);
    }
}
