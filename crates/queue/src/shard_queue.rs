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
use crate::{Ended, Entry, Held, NewJob, QueueError, Settled, Started, Store, WorkerName, apart};

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
        let mut lane = self.control.lock().await;
        let rows: Vec<Value> = lane.run(Call::Script(&script)).await?;
        let started =
            entries.iter().zip(rows).filter_map(|(entry, row)| read_started(entry, row).transpose());
        let mut started: Vec<Started> = started.collect::<Result<_, _>>()?;
        let mut apart: Vec<&mut Started> =
            started.iter_mut().filter(|started| started.held.is_apart).collect();
        let keys: Vec<String> = apart.iter().map(|started| apart::body_key(started.held.id)).collect();
        for (started, body) in apart.iter_mut().zip(apart::fetch(&mut lane, &keys).await?) {
            started.job = started.job.take().zip(body).map(|(job, body)| NewJob { body, ..job });
        }
        Ok(started)
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
        let token = |ended: &Ended| match ended.outcome.len() {
            apart::LARGE.. => format!("{:016x}", fastrand::u64(..)),
            _ => String::new(),
        };
        let mut tokens: Vec<String> = items.iter().map(|ended| token(ended)).collect();
        let large = items.iter().zip(&tokens).filter(|(_, token)| !token.is_empty());
        let large: Vec<(String, &str)> = large
            .map(|(ended, token)| (apart::outcome_key(ended.held.id, token), ended.outcome.as_str()))
            .collect();
        match apart::stage(&mut self.lane, &large).await {
            // A full Redis lets only scripts write, so that what was accepted can end.
            Err(QueueError::OutOfMemory) => tokens.iter_mut().for_each(String::clear),
            staged => staged?,
        }
        let with_token = || items.iter().zip(&tokens);

        let mut script = self.scripts.finish.prepare_invoke();
        script.key(&self.keys.queue).key(&self.keys.dead);
        script.arg(GROUP).arg(self.worker.as_str()).arg(DEAD_LETTERS);
        for (ended, token) in with_token() {
            let Ended { held, status, code, outcome, ttl, given_up } = &**ended;
            let outcome = if token.is_empty() { outcome.as_str() } else { "" };
            script.key(keys::job(held.id)).arg(&held.entry).arg(held.fence).arg(status.as_str());
            script.arg(*code).arg(outcome).arg(millis(ttl.as_duration())).arg(given_up.unwrap_or_default());
            script.arg(if held.is_apart { "1" } else { "" }).arg(token);
        }
        for (ended, token) in with_token() {
            if ended.held.is_apart {
                script.key(apart::body_key(ended.held.id));
            }
            if !token.is_empty() {
                script.key(apart::outcome_key(ended.held.id, token));
            }
        }
        let settled: Vec<i8> = self.lane.run(Call::Script(&script)).await?;
        if settled.contains(&-2) {
            // The others of this call are told the next time that they are done.
            return Err(QueueError::Unexpected("an outcome has expired before it was kept".to_owned()));
        }
        let outcome = |settled| match settled {
            1 => Settled::Done,
            2 => Settled::AlreadyDone,
            0 => Settled::LeaseLost,
            _ => Settled::Gone,
        };
        Ok(settled.into_iter().map(outcome).collect())
    }
}
