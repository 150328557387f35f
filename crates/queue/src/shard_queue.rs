//! What a worker does to the jobs of one shard.

use std::sync::Arc;
use std::time::Duration;

use hermod_types::Shard;
use redis::{ScriptInvocation, Value};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::batch::{Batch, Batcher};
use crate::held::read_started;
use crate::keys::{self, GROUP, Keys};
use crate::lane::{Call, Lane, millis};
use crate::leases::run_on_held;
use crate::script::Scripts;
use crate::{Ended, Entry, Held, QueueError, Settled, Started, Store, WorkerName};

/// Dead letters that each shard keeps; older ones go first.
pub const DEAD_LETTERS: u32 = 1000;

pub(crate) struct ShardQueue {
    worker: WorkerName,
    keys: Keys,
    lease: Duration,
    scripts: Scripts,
    finishes: Batcher<Finishes>,
    /// For what is rare: start (once a batch), progress (once a fallback), release (once a life).
    control: Mutex<Lane>,
}

impl ShardQueue {
    /// Starts its task on the current runtime; it ends with the queue.
    pub(crate) fn spawn(
        store: &Store,
        shard: Shard,
        worker: &WorkerName,
        lease: Duration,
        tasks: &TaskTracker,
    ) -> Self {
        let keys = Keys::new(shard);
        let finishes = Finishes {
            lane: store.lane(shard),
            scripts: Scripts::new(),
            keys: keys.clone(),
            worker: worker.clone(),
        };
        Self {
            keys,
            lease,
            scripts: Scripts::new(),
            finishes: Batcher::spawn(finishes, tasks),
            control: Mutex::new(store.lane(shard)),
            worker: worker.clone(),
        }
    }

    pub(crate) async fn start(&self, entries: &[Entry]) -> Result<Vec<Started>, QueueError> {
        let mut script = self.scripts.start.prepare_invoke();
        script.key(&self.keys.queue).arg(GROUP).arg(self.worker.as_str()).arg(millis(self.lease));
        script.arg(fastrand::u64(..));
        for entry in entries {
            script.key(keys::job(entry.id)).arg(&entry.entry);
        }
        let rows: Vec<Value> = self.control.lock().await.run(Call::Script(&script)).await?;
        let started =
            entries.iter().zip(rows).filter_map(|(entry, row)| read_started(entry, row).transpose());
        started.collect()
    }

    pub(crate) async fn note_progress(&self, held: &Held, progress: &str) -> Result<bool, QueueError> {
        let mut script: ScriptInvocation<'_> = self.scripts.progress.prepare_invoke();
        script.key(keys::job(held.id)).arg(self.worker.as_str()).arg(held.fence).arg(progress);
        self.control.lock().await.run(Call::Script(&script)).await
    }

    pub(crate) async fn finish(&self, ended: Arc<Ended>) -> Result<Settled, QueueError> {
        self.finishes.ask(ended).await
    }

    pub(crate) async fn park(
        &self,
        held: &Held,
        sleep: Duration,
        progress: &str,
    ) -> Result<bool, QueueError> {
        let mut script: ScriptInvocation<'_> = self.scripts.park.prepare_invoke();
        script.key(&self.keys.queue).key(&self.keys.later).key(keys::job(held.id));
        script.arg(GROUP).arg(self.worker.as_str()).arg(&held.entry).arg(held.fence);
        script.arg(held.id.to_string()).arg(millis(sleep)).arg(progress);
        let parked: i8 = self.control.lock().await.run(Call::Script(&script)).await?;
        Ok(parked > 0)
    }

    pub(crate) async fn release(&self, held: &[Held]) -> Result<usize, QueueError> {
        let mut lane = self.control.lock().await;
        let released = run_on_held(&mut lane, &self.scripts.release, held, |script| {
            script.key(&self.keys.queue).arg(GROUP).arg(self.worker.as_str());
        });
        Ok(released.await?.into_iter().filter(|released| *released).count())
    }

    pub(crate) async fn leave(&self) -> Result<(), QueueError> {
        let mut script = self.scripts.forget.prepare_invoke();
        script.key(&self.keys.queue).arg(GROUP).arg(self.worker.as_str());
        match self.control.lock().await.run::<()>(Call::Script(&script)).await {
            Err(QueueError::NoGroup) => Ok(()),
            outcome => outcome,
        }
    }
}

struct Finishes {
    lane: Lane,
    scripts: Scripts,
    keys: Keys,
    worker: WorkerName,
}

impl Batch for Finishes {
    type Item = Arc<Ended>;
    type Reply = Settled;

    fn bytes(ended: &Arc<Ended>) -> usize {
        ended.outcome.len()
    }

    async fn call(&mut self, items: &[Arc<Ended>]) -> Result<Vec<Settled>, QueueError> {
        let mut script = self.scripts.finish.prepare_invoke();
        script.key(&self.keys.queue).key(&self.keys.dead);
        script.arg(GROUP).arg(self.worker.as_str()).arg(DEAD_LETTERS);
        for ended in items {
            let Ended { held, status, code, outcome, ttl, given_up } = &**ended;
            script.key(keys::job(held.id)).arg(&held.entry).arg(held.fence).arg(status.as_str());
            script.arg(*code).arg(outcome).arg(millis(ttl.as_duration())).arg(given_up.unwrap_or_default());
        }
        let settled: Vec<i8> = self.lane.run(Call::Script(&script)).await?;
        let outcome = |settled| match settled {
            1 => Settled::Done,
            2 => Settled::AlreadyDone,
            0 => Settled::LeaseLost,
            _ => Settled::Gone,
        };
        Ok(settled.into_iter().map(outcome).collect())
    }
}
