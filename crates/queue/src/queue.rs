use std::sync::Arc;

use hermod_types::{JobId, Shard};
use redis::{Pipeline, RedisResult, ScriptInvocation};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::batch::{Batch, Batcher};
use crate::keys::{self, GROUP, Keys};
use crate::record::Fields;
use crate::script::Scripts;
use crate::store::{Call, Lane, RESPONSE_TIMEOUT, millis};
use crate::{JobRecord, NewJob, QueueError, Stats, Store};

/// The API's side of the queue: jobs go in, and their records are read. Cheap to clone.
///
/// Each kind of call has a connection of its own, so that neither waits for the other; its calls form
/// batches. Make one for each thread that serves requests.
#[derive(Clone)]
pub struct Queue {
    submits: Arc<Batcher<Submits>>,
    finds: Arc<Batcher<Finds>>,
    store: Store,
    shard: Shard,
}

/// What an operator sets.
#[derive(Clone, Debug, Default)]
pub struct QueueSettings {
    /// Waiting jobs beyond which a submit is refused; none for no limit.
    pub limit: Option<u64>,
}

/// What became of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// Redis holds the job: it will end.
    Accepted,
    /// As many jobs wait as are allowed.
    Full,
    /// It reached Redis after its client had stopped to wait.
    TooLate,
}

impl Queue {
    /// Starts the queue's tasks on the current runtime; they end with the last clone.
    pub fn spawn(store: &Store, settings: &QueueSettings, tasks: &TaskTracker) -> Self {
        let shard = Shard::default();
        let submits = Submits {
            lane: store.lane(),
            scripts: Scripts::new(),
            keys: Keys::new(shard),
            limit: settings.limit.unwrap_or(0),
            clock: None,
        };
        Self {
            submits: Arc::new(Batcher::spawn(submits, tasks)),
            finds: Arc::new(Batcher::spawn(Finds { lane: store.lane() }, tasks)),
            store: store.clone(),
            shard,
        }
    }

    /// An id for a new job.
    pub fn new_id(&self) -> JobId {
        JobId::new(self.shard)
    }

    /// Writes a job's record and its entry.
    ///
    /// # Errors
    /// If Redis cannot take it. Where the connection broke before the answer, it may have been taken.
    pub async fn submit(&self, job: NewJob) -> Result<Submission, QueueError> {
        self.submits.ask(job).await
    }

    /// Reads a job's record; none for an unknown or expired one.
    ///
    /// # Errors
    /// If Redis does not answer, or the record is not one of ours.
    pub async fn find(&self, id: JobId) -> Result<Option<JobRecord>, QueueError> {
        JobRecord::read(id, self.finds.ask(id).await??)
    }

    /// How many jobs are in which state.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn stats(&self) -> Result<Stats, QueueError> {
        Stats::read(&mut self.store.errand(), &Keys::new(self.shard)).await
    }
}

struct Submits {
    lane: Lane,
    scripts: Scripts,
    keys: Keys,
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
        let mut script: ScriptInvocation<'_> = self.scripts.submit.prepare_invoke();
        // A Redis that hung and comes back finds our command in its buffer, after the client was told that the
        // job is not accepted. It must not run then.
        let latest = self.clock.map_or(0, |(redis, ours)| redis + millis(ours.elapsed() + RESPONSE_TIMEOUT));
        script.key(&self.keys.queue).key(&self.keys.later).arg(GROUP).arg(self.limit).arg(latest);
        for job in jobs {
            script.key(keys::job(job.id)).arg(job.id.to_string()).arg(job.request());
            script.arg(job.owner.as_deref().unwrap_or_default());
        }
        let replies: Vec<i64> = self.lane.run(Call::Script(&script)).await?;
        let (now, taken) = replies.split_first().unwrap_or((&0, &[]));
        self.clock = u64::try_from(*now).ok().filter(|now| *now > 0).map(|now| (now, Instant::now()));
        let outcome = |taken: &i64| match taken {
            1 => Submission::Accepted,
            0 => Submission::Full,
            _ => Submission::TooLate,
        };
        Ok(taken.iter().map(outcome).collect())
    }
}

struct Finds {
    lane: Lane,
}

impl Batch for Finds {
    type Item = JobId;
    type Reply = RedisResult<Fields>;

    fn bytes(_: &JobId) -> usize {
        // Of the question; how large the answers are is not known before.
        64
    }

    async fn call(&mut self, ids: &[JobId]) -> Result<Vec<RedisResult<Fields>>, QueueError> {
        let mut pipeline = Pipeline::with_capacity(ids.len());
        // One damaged record is not the others' matter.
        pipeline.ignore_errors();
        for id in ids {
            pipeline.cmd("HMGET").arg(keys::job(*id)).arg(&JobRecord::FIELDS);
        }
        self.lane.run(Call::Pipeline(&pipeline)).await
    }
}
