use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use hermod_types::{JobId, Shard, ShardCount};
use redis::ScriptInvocation;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::batch::{Batch, Batcher};
use crate::find::Finder;
use crate::keys::{self, GROUP, Keys};
use crate::lane::{Call, Lane, millis};
use crate::script::Scripts;
use crate::shards::ShardRoll;
use crate::topology::RESPONSE_TIMEOUT;
use crate::{Admin, JobRecord, NewJob, QueueError, Stats, Store, apart};

/// The API's side of the queue: jobs go in, and their records are read. Cheap to clone.
///
/// Each kind of call has a connection of its own, so that neither waits for the other; its calls form
/// batches. Make one for each thread that serves requests.
#[derive(Clone)]
pub struct Queue {
    doors: Arc<[Door]>,
    next_door: Arc<AtomicUsize>,
    finder: Finder,
    store: Store,
}

/// A way in. A batch goes to one shard, so one server needs one door to all shards; in a Cluster each shard has its own,
/// so that none waits for the node of another.
struct Door {
    submits: Batcher<Submits>,
    /// One of its shards.
    shard: Shard,
}

/// What an operator sets.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Waiting jobs beyond which a submit is refused; none for no limit. Each shard has an equal share.
    pub limit: Option<u64>,
    /// Shards that new jobs are spread over.
    pub shards: ShardCount,
    /// What all queues of this process know of the number of shards in use.
    pub known: KnownShards,
}

impl Default for QueueSettings {
    /// One shard, and no limit.
    fn default() -> Self {
        Self { limit: None, shards: ShardCount::ONE, known: KnownShards::default() }
    }
}

/// The number of shards that workers are known to serve. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KnownShards(Arc<AtomicU16>);

impl KnownShards {
    /// Raises the number in Redis to `wanted`, which it also does where Redis has lost it.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn raise(&self, store: &Store, wanted: ShardCount) -> Result<(), QueueError> {
        let used = ShardRoll::new(store).raise(wanted).await?;
        self.0.store(used.get(), Ordering::Relaxed);
        Ok(())
    }

    fn has(&self, wanted: ShardCount) -> bool {
        // Shard 0 is always served.
        wanted == ShardCount::ONE || self.0.load(Ordering::Relaxed) >= wanted.get()
    }
}

/// What became of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// Redis holds the job under this id: it will end.
    Accepted(JobId),
    /// As many jobs wait as are allowed.
    Full,
    /// It reached Redis after its client had stopped to wait.
    TooLate,
}

/// A door whose node is away is tried with one submit in so many.
const TRY_IN: u32 = 16;

impl Queue {
    /// Starts the queue's tasks on the current runtime; they end with the last clone.
    pub fn spawn(store: &Store, settings: &QueueSettings, tasks: &TaskTracker) -> Self {
        let all: Vec<Shard> = settings.shards.shards().collect();
        let doors = if store.is_cluster() { all.chunks(1).collect() } else { vec![&all[..]] };
        let share = settings.limit.map_or(0, |limit| limit.div_ceil(settings.shards.get().into()));
        let door = |shards: &[Shard]| {
            let shard = shards.first().copied().unwrap_or_default();
            let submits = Submits {
                lane: store.lane(shard),
                store: store.clone(),
                scripts: Scripts::new(),
                shards: shards.iter().map(|shard| (*shard, Keys::new(*shard))).collect(),
                turn: 0,
                settings: settings.clone(),
                limit: share,
                clock: None,
            };
            Door { submits: Batcher::spawn(submits, tasks), shard }
        };
        Self {
            doors: doors.into_iter().map(door).collect(),
            next_door: Arc::default(),
            finder: Finder::spawn(store, tasks),
            store: store.clone(),
        }
    }

    /// Writes a job's record and its entry, in a shard that is chosen here: its id changes accordingly.
    ///
    /// # Errors
    /// If Redis cannot take it. Where the connection broke before the answer, it may have been taken.
    pub async fn submit(&self, job: NewJob) -> Result<Submission, QueueError> {
        let door = self.door();
        let door = door.ok_or_else(|| QueueError::Unexpected("there are no shards".to_owned()))?;
        door.submits.ask(job).await
    }

    /// The next door in turn whose node is not away, if there is one.
    fn door(&self) -> Option<&Door> {
        if let [only] = &*self.doors {
            return Some(only);
        }
        let first = self.next_door.fetch_add(1, Ordering::Relaxed) % self.doors.len();
        let (before, after) = self.doors.split_at(first);
        let is_open = |door: &&Door| {
            let fault = self.store.health().fault_of(self.store.part(door.shard));
            fault.is_none() || fastrand::u32(..TRY_IN) == 0
        };
        after.iter().chain(before).find(is_open).or(self.doors.get(first))
    }

    /// Reads a job's record; none for an unknown or expired one.
    ///
    /// # Errors
    /// If Redis does not answer, or the record is not one of ours.
    pub async fn find(&self, id: JobId) -> Result<Option<JobRecord>, QueueError> {
        self.finder.find(&self.store, id).await
    }

    /// How many jobs are in which state.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn stats(&self) -> Result<Stats, QueueError> {
        Admin::new(&self.store).stats().await
    }
}

struct Submits {
    lane: Lane,
    store: Store,
    scripts: Scripts,
    shards: Vec<(Shard, Keys)>,
    /// Whose turn it is.
    turn: usize,
    settings: QueueSettings,
    /// Of each shard.
    limit: u64,
    /// Redis's time in milliseconds, and when it was that by our clock.
    clock: Option<(u64, Instant)>,
}

impl Batch for Submits {
    type Item = NewJob;
    type Reply = Submission;

    fn bytes(job: &NewJob) -> usize {
        job.body.len()
    }

    async fn call(&mut self, jobs: &[NewJob]) -> Result<Vec<Submission>, QueueError> {
        // Workers must know of a shard before a job is in it.
        if !self.settings.known.has(self.settings.shards) {
            let raised = self.settings.known.raise(&self.store, self.settings.shards).await;
            raised.map_err(QueueError::before_sending)?;
        }
        self.turn = (self.turn + 1) % self.shards.len();
        let Some((shard, keys)) = self.shards.get(self.turn) else { return Ok(Vec::new()) };
        let large = jobs.iter().filter(|job| job.is_large());
        let bodies: Vec<(String, &str)> =
            large.map(|job| (apart::body_key(job.id.in_shard(*shard)), job.body.as_str())).collect();
        // Without the script, a body is no job.
        apart::stage(&mut self.lane, &bodies).await.map_err(QueueError::before_sending)?;
        let mut script: ScriptInvocation<'_> = self.scripts.submit.prepare_invoke();
        // A Redis that hung and comes back finds our command in its buffer, after the client was told that the
        // job is not accepted. It must not run then.
        let latest = self.clock.map_or(0, |(redis, ours)| redis + millis(ours.elapsed() + RESPONSE_TIMEOUT));
        script.key(&keys.queue).key(&keys.later).arg(GROUP).arg(self.limit).arg(latest);
        for job in jobs {
            let id = job.id.in_shard(*shard);
            script.key(keys::job(id)).arg(id.to_string()).arg(job.request());
            script.arg(job.owner.as_deref().unwrap_or_default());
        }
        for (key, _) in &bodies {
            script.key(key);
        }
        let replies: Vec<i64> = self.lane.run(Call::Script(&script)).await?;
        let (now, taken) = replies.split_first().unwrap_or((&0, &[]));
        self.clock = u64::try_from(*now).ok().filter(|now| *now > 0).map(|now| (now, Instant::now()));
        let outcome = |(taken, job): (&i64, &NewJob)| match taken {
            1 => Submission::Accepted(job.id.in_shard(*shard)),
            0 => Submission::Full,
            _ => Submission::TooLate,
        };
        Ok(taken.iter().zip(jobs).map(outcome).collect())
    }
}
