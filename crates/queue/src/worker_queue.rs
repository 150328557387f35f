use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use hermod_types::{JobId, Shard};
use tokio_util::task::TaskTracker;

use crate::shard_queue::ShardQueue;
use crate::{Claimer, Ended, Entry, Held, Leases, QueueError, Settled, Started, Store};

/// A worker process, as one start of it: two starts never share a name, so that (fence, worker) stays
/// unique even where Redis lost its last second and gives out a fence again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerName(Arc<str>);

impl WorkerName {
    /// `<host>-<pid>-<random>`, with what could not be part of a name left out of `host`.
    pub fn new(host: &str, pid: u32) -> Self {
        let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
        let unique = JobId::new(Shard::default()).to_string().replace('-', "");
        let unique = unique.get(8..).unwrap_or_default();
        Self(format!("{host}-{pid}-{unique}").into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A worker's side of the queue. Cheap to clone.
///
/// Each shard has connections of its own, made when its first job comes, so that none waits for another.
#[derive(Clone)]
pub struct WorkerQueue(Arc<Inner>);

struct Inner {
    worker: WorkerName,
    store: Store,
    lease: Duration,
    tasks: TaskTracker,
    /// By number.
    shards: Box<[OnceLock<Box<ShardQueue>>]>,
}

impl WorkerQueue {
    /// A queue whose tasks are `tasks`; they end with the last clone.
    pub fn new(store: &Store, worker: WorkerName, lease: Duration, tasks: &TaskTracker) -> Self {
        let shards = (0..Shard::LIMIT).map(|_| OnceLock::new()).collect();
        Self(Arc::new(Inner { store: store.clone(), worker, lease, tasks: tasks.clone(), shards }))
    }

    /// What takes entries out of a shard's queue.
    pub fn claimer(&self, shard: Shard) -> Claimer {
        Claimer::new(&self.0.store, self.0.worker.clone(), shard, self.0.lease)
    }

    /// What renews the leases, over connections of its own: call it on the runtime that will run it.
    ///
    /// # Errors
    /// If the address of Redis cannot be used.
    pub fn leases(&self) -> Result<Leases, QueueError> {
        Leases::new(&self.0.store, self.0.worker.clone(), self.0.lease)
    }

    /// Makes this worker the holder of what it claimed, all of one shard. Entries of jobs that have ended, or that
    /// another worker holds, are left out.
    ///
    /// # Errors
    /// If Redis does not answer. What was started all the same is reclaimed after a lease.
    pub async fn start(&self, entries: &[Entry]) -> Result<Vec<Started>, QueueError> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        self.of(first.id)?.start(entries).await
    }

    /// Notes how far a job has come, for who may have to go on with it. False if it is another's by now.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn note_progress(&self, held: &Held, progress: &str) -> Result<bool, QueueError> {
        self.of(held.id)?.note_progress(held, progress).await
    }

    /// Ends a job. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn finish(&self, ended: Arc<Ended>) -> Result<Settled, QueueError> {
        self.of(ended.held.id)?.finish(ended).await
    }

    /// Puts a job to sleep: after `sleep` it is queued again, and whoever starts it goes on from `progress`. False if
    /// it is another's by now. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn park(&self, held: &Held, sleep: Duration, progress: &str) -> Result<bool, QueueError> {
        self.of(held.id)?.park(held, sleep, progress).await
    }

    /// Hands jobs back, to be run by another worker at once and without counting an attempt. Returns how
    /// many were still this worker's.
    ///
    /// # Errors
    /// If Redis does not answer; they are then reclaimed after a lease. Those of other shards are handed back all the same.
    pub async fn release(&self, held: &[Held]) -> Result<usize, QueueError> {
        let mut shards: BTreeMap<Shard, Vec<Held>> = BTreeMap::new();
        for held in held {
            shards.entry(held.id.shard()).or_default().push(held.clone());
        }
        let release = shards.into_iter().map(async |(shard, held)| self.shard(shard)?.release(&held).await);
        join_all(release).await.into_iter().sum()
    }

    /// Leaves the groups of those shards in which nothing is held: a worker that starts again has another name.
    ///
    /// # Errors
    /// If Redis does not answer; a later check removes the name.
    pub async fn leave(&self, shards: impl Iterator<Item = Shard>) -> Result<(), QueueError> {
        let leave = shards.map(async |shard| self.shard(shard)?.leave().await);
        join_all(leave).await.into_iter().collect()
    }

    fn of(&self, id: JobId) -> Result<&ShardQueue, QueueError> {
        self.shard(id.shard())
    }

    fn shard(&self, shard: Shard) -> Result<&ShardQueue, QueueError> {
        let Inner { worker, store, lease, tasks, shards } = &*self.0;
        let place = shards.get(usize::from(shard.number()));
        let place = place.ok_or_else(|| QueueError::Unexpected("a shard beyond the last".to_owned()))?;
        Ok(place.get_or_init(|| Box::new(ShardQueue::spawn(store, shard, worker, *lease, tasks))))
    }
}
