use hermod_types::JobId;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::{QueueError, Store, keys};

/// Pieces that no script has kept yet. They are removed when this is dropped, be it that the submit failed or that its client has
/// gone: a script that comes later finds that they are not there, and one that came before has given them another key.
pub(crate) struct Staged {
    pub(crate) id: JobId,
    what: &'static str,
    store: Store,
    tasks: TaskTracker,
    /// Whether there may be some in Redis.
    are_there: bool,
}

impl Staged {
    /// For the `body` or the `media` of a job.
    pub(crate) fn new(store: &Store, id: JobId, what: &'static str, tasks: &TaskTracker) -> Self {
        Self { id, what, store: store.clone(), tasks: tasks.clone(), are_there: false }
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// If Redis does not take it.
    pub(crate) async fn put(&mut self, number: usize, piece: &[u8]) -> Result<(), QueueError> {
        self.are_there = true;
        let put = self.store.pieces().put(self.id.shard(), &self.key(), number, piece).await;
        // Without the script, pieces are no job.
        put.map_err(QueueError::before_sending)
    }

    /// Writes all of a text.
    ///
    /// # Errors
    /// As [`Staged::put`].
    pub(crate) async fn write(&mut self, text: &str) -> Result<(), QueueError> {
        self.are_there = true;
        let written = self.store.pieces().write(self.id.shard(), &self.key(), text).await;
        written.map_err(QueueError::before_sending)
    }

    /// The script has kept or removed them.
    pub(crate) const fn settled(&mut self) {
        self.are_there = false;
    }

    /// Removes them.
    ///
    /// # Errors
    /// If Redis does not answer: they then expire.
    pub(crate) async fn discard(mut self) -> Result<(), QueueError> {
        if !std::mem::take(&mut self.are_there) {
            return Ok(());
        }
        self.store.pieces().delete(self.id.shard(), &self.key()).await
    }

    fn key(&self) -> String {
        keys::staged(self.id, self.what)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.are_there {
            return;
        }
        // Outside of a runtime they are left to expire.
        let Ok(runtime) = Handle::try_current() else { return };
        let (store, shard, key) = (self.store.clone(), self.id.shard(), self.key());
        let delete = async move {
            if let Err(error) = store.pieces().delete(shard, &key).await {
                tracing::debug!(%error, "pieces that came to nothing are left to expire");
            }
        };
        self.tasks.spawn_on(delete, &runtime);
    }
}
