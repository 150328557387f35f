use std::sync::Arc;
use std::time::Duration;

use hermod_types::{JobId, JobStatus, Shard, Ttl};
use redis::{RedisError, Script, ScriptInvocation, Value};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::batch::{Batch, Batcher};
use crate::keys::{self, GROUP, Keys};
use crate::script::Scripts;
use crate::store::{Call, Lane, millis};
use crate::{Claimer, Entry, NewJob, QueueError, Store};

/// Dead letters that are kept; older ones go first.
pub const DEAD_LETTERS: u32 = 1000;

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

/// A job that this worker holds: what every later write of it must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The job.
    pub id: JobId,
    /// Its entry in the queue.
    pub entry: String,
    /// The number of this start of it.
    pub fence: u64,
}

/// A job that was just started.
#[derive(Debug)]
pub struct Started {
    /// What shows that this worker holds it.
    pub held: Held,
    /// What to run; none for a record that holds no readable request.
    pub job: Option<NewJob>,
    /// Starts of it so far that count, this one included.
    pub attempt: u64,
    /// A line for each start of it that came to nothing: worker, and when in milliseconds.
    pub history: String,
    /// How far an earlier holder came, in that worker's words; empty for the first.
    pub progress: String,
    /// How long it waited since it was accepted, by Redis's clock.
    pub age: Duration,
}

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    /// What shows that this worker holds it.
    pub held: Held,
    /// [`JobStatus::Completed`] or [`JobStatus::Failed`].
    pub status: JobStatus,
    /// The HTTP status of the outcome.
    pub code: u16,
    /// The result or the error, as JSON.
    pub outcome: String,
    /// How long the record is kept.
    pub ttl: Ttl,
    /// Why it was given up on: it then goes to the dead letters too.
    pub given_up: Option<&'static str>,
}

/// What became of an [`Ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is written.
    Done,
    /// This holder had written it before: an answer got lost.
    AlreadyDone,
    /// The job is another's by now: nothing is written.
    LeaseLost,
    /// There is no such job any more.
    Gone,
}

/// A worker's side of the queue. Cheap to clone.
#[derive(Clone)]
pub struct WorkerQueue(Arc<Inner>);

struct Inner {
    worker: WorkerName,
    store: Store,
    keys: Keys,
    lease: Duration,
    scripts: Scripts,
    finishes: Batcher<Finishes>,
    /// For what is rare: start (once a batch), progress (once a fallback), release (once a life).
    control: Mutex<Lane>,
}

impl WorkerQueue {
    /// Starts the queue's tasks on the current runtime; they end with the last clone.
    pub fn spawn(store: &Store, worker: WorkerName, lease: Duration, tasks: &TaskTracker) -> Self {
        let keys = Keys::new(Shard::default());
        let finishes = Finishes {
            lane: store.lane(),
            scripts: Scripts::new(),
            keys: keys.clone(),
            worker: worker.clone(),
        };
        Self(Arc::new(Inner {
            store: store.clone(),
            keys,
            lease,
            scripts: Scripts::new(),
            finishes: Batcher::spawn(finishes, tasks),
            control: Mutex::new(store.lane()),
            worker,
        }))
    }

    /// What takes entries out of the queue.
    pub fn claimer(&self) -> Claimer {
        Claimer::new(&self.0.store, self.0.worker.clone(), self.0.keys.clone(), self.0.lease)
    }

    /// What renews the leases, over connections of its own: call it on the runtime that will run it.
    ///
    /// # Errors
    /// If the address of Redis cannot be used.
    pub fn leases(&self) -> Result<Leases, QueueError> {
        let inner = &self.0;
        Ok(Leases {
            worker: inner.worker.clone(),
            keys: inner.keys.clone(),
            lease: inner.lease,
            renew: Scripts::new().renew,
            lane: inner.store.apart()?.lane(),
        })
    }

    /// Makes this worker the holder of what it claimed. Entries of jobs that have ended, or that another
    /// worker holds, are left out.
    ///
    /// # Errors
    /// If Redis does not answer. What was started all the same is reclaimed after a lease.
    pub async fn start(&self, entries: &[Entry]) -> Result<Vec<Started>, QueueError> {
        let inner = &self.0;
        let mut script = inner.scripts.start.prepare_invoke();
        script.key(&inner.keys.queue).arg(GROUP).arg(inner.worker.as_str()).arg(millis(inner.lease));
        script.arg(fastrand::u64(..));
        for entry in entries {
            script.key(keys::job(entry.id)).arg(&entry.entry);
        }
        let rows: Vec<Value> = inner.control.lock().await.run(Call::Script(&script)).await?;
        let started =
            entries.iter().zip(rows).filter_map(|(entry, row)| read_started(entry, row).transpose());
        started.collect()
    }

    /// Notes how far a job has come, for who may have to go on with it. False if it is another's by now.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn note_progress(&self, held: &Held, progress: &str) -> Result<bool, QueueError> {
        let inner = &self.0;
        let mut script: ScriptInvocation<'_> = inner.scripts.progress.prepare_invoke();
        script.key(keys::job(held.id)).arg(inner.worker.as_str()).arg(held.fence).arg(progress);
        inner.control.lock().await.run(Call::Script(&script)).await
    }

    /// Ends a job. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn finish(&self, ended: Arc<Ended>) -> Result<Settled, QueueError> {
        self.0.finishes.ask(ended).await
    }

    /// Puts a job to sleep: after `sleep` it is queued again, and whoever starts it goes on from `progress`. False if
    /// it is another's by now. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn park(&self, held: &Held, sleep: Duration, progress: &str) -> Result<bool, QueueError> {
        let inner = &self.0;
        let mut script: ScriptInvocation<'_> = inner.scripts.park.prepare_invoke();
        script.key(&inner.keys.queue).key(&inner.keys.later).key(keys::job(held.id));
        script.arg(GROUP).arg(inner.worker.as_str()).arg(&held.entry).arg(held.fence);
        script.arg(held.id.to_string()).arg(millis(sleep)).arg(progress);
        let parked: i8 = inner.control.lock().await.run(Call::Script(&script)).await?;
        Ok(parked > 0)
    }

    /// Hands jobs back, to be run by another worker at once and without counting an attempt. Returns how
    /// many were still this worker's.
    ///
    /// # Errors
    /// If Redis does not answer; they are then reclaimed after a lease.
    pub async fn release(&self, held: &[Held]) -> Result<usize, QueueError> {
        let inner = &self.0;
        let mut lane = inner.control.lock().await;
        let released = run_on_held(&mut lane, &inner.scripts.release, held, |script| {
            script.key(&inner.keys.queue).arg(GROUP).arg(inner.worker.as_str());
        });
        Ok(released.await?.into_iter().filter(|released| *released).count())
    }

    /// Leaves the group, if nothing is held: a worker that starts again has another name.
    ///
    /// # Errors
    /// If Redis does not answer; a later check removes the name.
    pub async fn leave(&self) -> Result<(), QueueError> {
        let inner = &self.0;
        let mut script = inner.scripts.forget.prepare_invoke();
        script.key(&inner.keys.queue).arg(GROUP).arg(inner.worker.as_str());
        match inner.control.lock().await.run::<()>(Call::Script(&script)).await {
            Err(QueueError::NoGroup) => Ok(()),
            outcome => outcome,
        }
    }
}

/// Renews what a worker holds, over a connection that nothing else waits for.
pub struct Leases {
    worker: WorkerName,
    keys: Keys,
    lease: Duration,
    renew: Script,
    lane: Lane,
}

/// Jobs of a renewal that are another worker's by now.
pub type Lost = Vec<JobId>;

impl Leases {
    /// Extends the lease on each of `held` that is still this worker's; returns the others.
    ///
    /// # Errors
    /// If Redis does not answer, or the group is missing.
    pub async fn renew(&mut self, held: &[Held]) -> Result<Lost, QueueError> {
        let lease_ms = millis(self.lease);
        let renewed = run_on_held(&mut self.lane, &self.renew, held, |script| {
            script.key(&self.keys.queue).arg(GROUP).arg(self.worker.as_str()).arg(lease_ms);
        });
        let renewed = renewed.await?;
        Ok(held.iter().zip(renewed).filter(|(_, renewed)| !renewed).map(|(held, _)| held.id).collect())
    }
}

/// Jobs of one call: few enough not to hold up Redis for long.
const HELD_PER_CALL: usize = 500;

/// Runs a script that takes an entry and a fence for each job, and says 1 or 0 for each.
async fn run_on_held(
    lane: &mut Lane,
    script: &Script,
    held: &[Held],
    head: impl Fn(&mut ScriptInvocation<'_>),
) -> Result<Vec<bool>, QueueError> {
    let mut outcomes = Vec::with_capacity(held.len());
    for chunk in held.chunks(HELD_PER_CALL) {
        let mut call = script.prepare_invoke();
        head(&mut call);
        for held in chunk {
            call.key(keys::job(held.id)).arg(&held.entry).arg(held.fence);
        }
        outcomes.extend(lane.run::<Vec<bool>>(Call::Script(&call)).await?);
    }
    Ok(outcomes)
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

/// What `start.lua` gives for a job that is to be run: fence, request, owner, handbacks, history, progress,
/// and the time in milliseconds.
type StartedRow = (u64, String, String, u64, String, String, u64);

fn read_started(entry: &Entry, row: Value) -> Result<Option<Started>, QueueError> {
    if let Value::Array(refusal) = &row
        && refusal.len() == 1
    {
        tracing::debug!(job = %entry.id, ?refusal, "claimed a job that is not to be run");
        return Ok(None);
    }
    let row: StartedRow = redis::from_redis_value(row).map_err(RedisError::from)?;
    let (fence, request, owner, handbacks, history, progress, now) = row;
    // A stream's entry id begins with when it was added, by Redis's clock.
    let accepted = entry.entry.split('-').next().and_then(|millis| millis.parse().ok()).unwrap_or_default();
    Ok(Some(Started {
        held: Held { id: entry.id, entry: entry.entry.clone(), fence },
        job: NewJob::from_request(entry.id, &request, &owner),
        attempt: fence.saturating_sub(handbacks),
        history,
        progress,
        age: Duration::from_millis(now.saturating_sub(accepted)),
    }))
}
