//! What a poll reads: the record, and of a large outcome one piece after another.

mod listed;
mod row;

use std::sync::Arc;

use hermod_types::{ErrorCode, JobId, JobStatus, JobView, Operation, ResponseEcho, Shard, Timestamp};
use redis::{Pipeline, RedisResult};
use tokio_util::task::TaskTracker;

use crate::batch::{Batch, Batcher};
use crate::connection::{Call, Connection};
use crate::{QueueError, Store, keys};
use row::{FIELDS, Row};

pub use listed::ListedJob;
pub(crate) use listed::ListedRow;

/// How records are read.
#[derive(Clone)]
pub(crate) enum Finder {
    /// Batches of any shards, over one connection.
    Batches(Arc<Batcher<Finds>>),
    /// One by one, over the connection that finds the node of each; it sends on without waiting for answers.
    Routed,
}

impl Finder {
    /// Starts its task, if it has one, on the current runtime.
    pub(crate) fn spawn(store: &Store, tasks: &TaskTracker) -> Self {
        if store.is_cluster() {
            Self::Routed
        } else {
            let finds = Finds { connection: store.connection(Shard::default()) };
            Self::Batches(Arc::new(Batcher::spawn(finds, tasks)))
        }
    }

    pub(crate) async fn find(&self, store: &Store, id: JobId) -> Result<Option<JobRecord>, QueueError> {
        match self {
            Self::Batches(finds) => finds.ask(id).await?,
            Self::Routed => Box::pin(find_one(store.shared(), id)).await,
        }
    }
}

async fn find_one(connection: &Connection, id: JobId) -> Result<Option<JobRecord>, QueueError> {
    let mut command = redis::cmd("HMGET");
    command.arg(keys::job(id)).arg(&FIELDS);
    connection.run::<Row>(Call::Command(&command)).await?.sized(connection, id).await?.record(id)
}

pub(crate) struct Finds {
    connection: Connection,
}

impl Batch for Finds {
    type Item = JobId;
    type Reply = Result<Option<JobRecord>, QueueError>;

    fn bytes(_: &JobId) -> usize {
        // Of the question. An answer is a record, whose outcome is less than `pieces::LARGE`.
        64
    }

    async fn call(&mut self, ids: &[JobId]) -> Result<Vec<Self::Reply>, QueueError> {
        let mut records = Pipeline::with_capacity(ids.len());
        // One damaged record does not fail the others.
        records.ignore_errors();
        for id in ids {
            records.cmd("HMGET").arg(keys::job(*id)).arg(&FIELDS);
        }
        let rows: Vec<RedisResult<Row>> = self.connection.run(Call::Pipeline(&records)).await?;
        let mut replies = Vec::with_capacity(ids.len());
        for (id, row) in ids.iter().zip(rows) {
            replies.push(match row {
                Ok(row) => row.sized(&self.connection, *id).await.and_then(|row| row.record(*id)),
                Err(error) => Err(error.into()),
            });
        }
        Ok(replies)
    }
}

/// A job as its record tells it to a poll.
#[derive(Debug)]
pub struct JobRecord {
    /// The job's id.
    pub id: JobId,
    /// What it calls: a poll elsewhere must not learn that the job exists.
    pub operation: Operation,
    /// Where it is in its life.
    pub status: JobStatus,
    /// Counts its transitions: it grows with each, and is what those who wait are told, too.
    pub seq: u64,
    /// Id of the virtual key that it was submitted with. Whoever shows another one must not learn that the job exists.
    pub owner: Option<String>,
    /// The first of its targets, as its client wrote it; none in a record of an earlier version.
    pub model: Option<String>,
    /// Where media is in the result, in its worker's words; none where it has none.
    pub media: Option<String>,
    /// Since when it is to be cancelled.
    pub cancel_requested: Option<Timestamp>,
    /// Its entry in the queue, while it waits there or runs.
    pub(crate) entry: Option<String>,
    /// The name of the narrow limit in whose lane it waits; none for its owner's lane.
    pub(crate) sublane: Option<String>,
    /// What it waits for, while it waits for a limit; be it that of a job before it in its lane.
    pub waiting_for: Option<WaitingFor>,
    /// What its Response repeats of the request; none for another call, and for one that was not asked for as a Response.
    pub echo: Option<ResponseEcho>,
    ended: Option<EndedRecord>,
}

/// A limit that has not admitted a job yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingFor {
    /// The `type` of the refusal.
    pub kind: String,
    /// When it is asked again.
    pub until: Timestamp,
}

impl WaitingFor {
    /// Reads a record's `waits_for`, or a lane's: the type, and until when (ms).
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (kind, until) = text.split_once(' ')?;
        Some(Self { kind: kind.to_owned(), until: Timestamp::from_millis(until.parse().ok()?) })
    }
}

#[derive(Debug)]
struct EndedRecord {
    code: u16,
    outcome: Outcome,
    completed: Timestamp,
    expires: Timestamp,
}

#[derive(Debug)]
enum Outcome {
    Inline(String),
    Stored(StoredOutcome),
}

/// An outcome that has a key of its own, because it is large. [`OutcomeReader`] reads it.
#[derive(Clone, Debug)]
pub struct StoredOutcome {
    shard: Shard,
    key: String,
    /// Its size. It is never written again.
    pub bytes: u64,
}

impl StoredOutcome {
    /// Reads a record's `apart`: the token in its key, and bytes.
    fn of(id: JobId, apart: &str) -> Option<Self> {
        let (token, bytes) = apart.split_once(' ')?;
        Some(Self { shard: id.shard(), key: keys::outcome(id, token), bytes: bytes.parse().ok()? })
    }
}

/// The result or the error of a job that has ended.
#[derive(Clone, Copy, Debug)]
pub enum OutcomeRef<'a> {
    /// JSON.
    Inline(&'a str),
    /// JSON that is to be read.
    Stored(&'a StoredOutcome),
}

/// What a client sees of a job.
#[derive(Debug)]
pub enum JobJson {
    /// All of it.
    Whole(String),
    /// The same with a large outcome left out: it stands between `head` and `tail`.
    Around {
        /// What comes before the outcome.
        head: String,
        /// What is to be read.
        outcome: StoredOutcome,
        /// What comes after it.
        tail: &'static str,
    },
}

impl JobRecord {
    /// The lane in which it would wait.
    pub(crate) fn lane(&self) -> String {
        keys::lane_of(self.owner.as_deref(), self.sublane.as_deref())
    }

    /// Its result or its error; none while it waits or runs.
    pub fn outcome(&self) -> Option<OutcomeRef<'_>> {
        Some(match &self.ended.as_ref()?.outcome {
            Outcome::Inline(json) => OutcomeRef::Inline(json),
            Outcome::Stored(stored) => OutcomeRef::Stored(stored),
        })
    }

    /// 200, or the code of what failed it; none while it waits or runs.
    pub fn status_code(&self) -> Option<u16> {
        self.ended.as_ref().map(|ended| ended.code)
    }

    /// When it ended; none while it waits or runs.
    pub fn completed(&self) -> Option<Timestamp> {
        self.ended.as_ref().map(|ended| ended.completed)
    }

    /// Whether it has ended as cancelled.
    pub fn is_cancelled(&self) -> bool {
        // An earlier version's worker ends one that is to be cancelled as if it were not.
        self.cancel_requested.is_some() && self.status_code() == Some(ErrorCode::JobCancelled.status())
    }

    /// What its client sees, less its result or error.
    pub fn view(&self) -> JobView {
        let mut view = JobView::accepted(self.id);
        view.status = self.status;
        view.cancel_requested_at = self.cancel_requested;
        if let Some(ended) = &self.ended {
            view.cancelled_at = self.is_cancelled().then_some(ended.completed);
            view.completed_at = Some(ended.completed);
            view.expires_at = Some(ended.expires);
            view.status_code = Some(ended.code);
        }
        view
    }

    /// What its client sees, as JSON.
    pub fn into_json(self) -> JobJson {
        let view = self.view();
        let Some(ended) = self.ended else { return JobJson::Whole(view.to_json(None)) };
        match ended.outcome {
            Outcome::Inline(json) => JobJson::Whole(view.to_json(Some(&json))),
            Outcome::Stored(outcome) => {
                let mut head = view.to_json(Some(""));
                head.pop();
                JobJson::Around { head, outcome, tail: "}" }
            }
        }
    }
}

/// Reads the records of jobs, for whoever is no [`Queue`](crate::Queue). Cheap to clone.
#[derive(Clone)]
pub struct Records {
    finder: Finder,
    store: Store,
}

impl Records {
    /// Starts its task, if it has one, on the current runtime; it ends with the last clone.
    pub fn spawn(store: &Store, tasks: &TaskTracker) -> Self {
        Self { finder: Finder::spawn(store, tasks), store: store.clone() }
    }

    /// Reads a job's record; none for an unknown or expired one.
    ///
    /// # Errors
    /// If Redis does not answer, or the record is not one of ours.
    pub async fn find(&self, id: JobId) -> Result<Option<JobRecord>, QueueError> {
        self.finder.find(&self.store, id).await
    }

    /// Reads a large outcome, all of it; none if it has expired.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn outcome(&self, outcome: &StoredOutcome) -> Result<Option<Vec<u8>>, QueueError> {
        OutcomeReader::new(&self.store).read(outcome, 0, outcome.bytes).await
    }
}

/// Reads large outcomes piece by piece. Cheap to clone.
#[derive(Clone)]
pub struct OutcomeReader {
    store: Store,
}

impl OutcomeReader {
    /// Reads from `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }

    /// The `length` bytes from `start` on; none if the outcome has expired. Each call reads whole pieces of
    /// [`crate::PIECE_BYTES`].
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn read(
        &self,
        outcome: &StoredOutcome,
        start: u64,
        length: u64,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.store.pieces().read(outcome.shard, &outcome.key, start, length).await
    }
}
