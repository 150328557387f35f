//! What a poll reads: the record, and of a large outcome first its size, then one piece after another.

use std::sync::Arc;

use hermod_types::{JobId, JobStatus, JobView, Shard, Timestamp};
use redis::{FromRedisValue, ParsingError, Pipeline, RedisResult, Value};
use tokio_util::task::TaskTracker;

use crate::batch::{Batch, Batcher};
use crate::connection::{Call, Connection};
use crate::{QueueError, Store, keys};

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
    let row: Row = connection.run(Call::Command(&command)).await?;
    let bytes = match row.outcome_key(id) {
        Some(key) => connection.run(Call::Command(redis::cmd("STRLEN").arg(key))).await?,
        None => 0,
    };
    row.record(id, bytes)
}

pub(crate) struct Finds {
    connection: Connection,
}

impl Batch for Finds {
    type Item = JobId;
    type Reply = Result<Option<JobRecord>, QueueError>;

    fn bytes(_: &JobId) -> usize {
        // Of the question. An answer is a record, whose outcome is less than `large::LARGE`.
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

        let mut sizes = Pipeline::new();
        sizes.ignore_errors();
        for (id, row) in ids.iter().zip(&rows) {
            if let Some(key) = row.as_ref().ok().and_then(|row| row.outcome_key(*id)) {
                sizes.cmd("STRLEN").arg(key);
            }
        }
        let mut sizes = if sizes.is_empty() {
            Vec::new()
        } else {
            self.connection.run::<Vec<RedisResult<u64>>>(Call::Pipeline(&sizes)).await?
        }
        .into_iter();
        let reply = |(id, row): (&JobId, RedisResult<Row>)| {
            let row = row?;
            let bytes = if row.token.is_some() { sizes.next().unwrap_or(Ok(0))? } else { 0 };
            row.record(*id, bytes)
        };
        Ok(ids.iter().zip(rows).map(reply).collect())
    }
}

const FIELDS: [&str; 7] = ["holder", "owner", "code", "outcome", "completed", "expires", "apart"];

/// What `HMGET` gives of [`FIELDS`].
struct Row {
    holder: Option<String>,
    owner: Option<String>,
    code: Option<u16>,
    outcome: Option<String>,
    completed: Option<u64>,
    expires: Option<u64>,
    /// Of the key of an outcome that has one.
    token: Option<String>,
}

impl FromRedisValue for Row {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (holder, owner, code, outcome, completed, expires, token) = redis::from_redis_value(value)?;
        Ok(Self { holder, owner, code, outcome, completed, expires, token })
    }
}

impl Row {
    fn outcome_key(&self, id: JobId) -> Option<String> {
        self.token.as_deref().map(|token| keys::outcome(id, token))
    }

    /// The record; none where there is none, or where its outcome, which has `bytes` under a key of its own, has expired
    /// a moment before it.
    fn record(self, id: JobId, bytes: u64) -> Result<Option<JobRecord>, QueueError> {
        let unreadable = |field| QueueError::Unexpected(format!("job {id}: unreadable {field}"));
        let outcome = match (self.outcome_key(id), self.outcome) {
            (Some(_), _) if bytes == 0 => return Ok(None),
            (Some(key), _) => Some(Outcome::Stored(StoredOutcome { shard: id.shard(), key, bytes })),
            // A worker has composed it as JSON; it is not parsed again.
            (None, Some(json)) if json.starts_with('{') && json.ends_with('}') => Some(Outcome::Inline(json)),
            (None, _) => None,
        };
        let Some(holder) = self.holder else { return Ok(None) };
        let Some(code) = self.code else {
            // The fence alone, or also who runs it.
            let status = if holder.contains(' ') { JobStatus::Processing } else { JobStatus::Pending };
            return Ok(Some(JobRecord { id, status, owner: self.owner, ended: None }));
        };
        let status = if code == 200 { JobStatus::Completed } else { JobStatus::Failed };
        let ended = Some(EndedRecord {
            code,
            outcome: outcome.ok_or_else(|| unreadable("outcome"))?,
            completed: Timestamp::from_millis(self.completed.ok_or_else(|| unreadable("completed"))?),
            expires: Timestamp::from_millis(self.expires.ok_or_else(|| unreadable("expires"))?),
        });
        Ok(Some(JobRecord { id, status, owner: self.owner, ended }))
    }
}

/// A job as its record tells it to a poll.
#[derive(Debug)]
pub struct JobRecord {
    /// The job's id.
    pub id: JobId,
    /// Where it is in its life.
    pub status: JobStatus,
    /// Id of the virtual key that it was submitted with. Whoever shows another one must not learn that the job exists.
    pub owner: Option<String>,
    ended: Option<EndedRecord>,
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
    /// Its size when the record was read. It is never written again.
    pub bytes: u64,
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
    /// What its client sees, as JSON.
    pub fn into_json(self) -> JobJson {
        let mut view = JobView::accepted(self.id);
        view.status = self.status;
        let Some(ended) = self.ended else { return JobJson::Whole(view.to_json(None)) };
        view.completed_at = Some(ended.completed);
        view.expires_at = Some(ended.expires);
        view.status_code = Some(ended.code);
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

/// Reads large outcomes piece by piece, over the connections for large texts. Cheap to clone.
#[derive(Clone)]
pub struct OutcomeReader {
    store: Store,
}

impl OutcomeReader {
    /// Reads from `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }

    /// The `length` bytes from `start` on; none if the outcome has expired.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn read(
        &self,
        outcome: &StoredOutcome,
        start: u64,
        length: u64,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        let piece = self.store.fetch_piece(outcome.shard, &outcome.key, start, length).await?;
        Ok((u64::try_from(piece.len()) == Ok(length)).then_some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            holder: Some("1".to_owned()),
            owner: Some("vk-1".to_owned()),
            code: Some(200),
            outcome: None,
            completed: Some(1_000),
            expires: Some(2_000),
            token: None,
        }
    }

    #[test]
    fn a_large_outcome_fits_between_head_and_tail() {
        let id = JobId::new(Shard::default());
        let inline = Row { outcome: Some(r#"{"n":1}"#.to_owned()), ..row() }.record(id, 0).unwrap().unwrap();
        let stored = Row { token: Some("t".to_owned()), ..row() }.record(id, 7).unwrap().unwrap();
        assert_eq!(stored.owner.as_deref(), Some("vk-1"));
        let (JobJson::Whole(whole), JobJson::Around { head, outcome, tail }) =
            (inline.into_json(), stored.into_json())
        else {
            panic!("the size decides")
        };
        assert_eq!(format!("{head}{{\"n\":1}}{tail}"), whole);
        assert_eq!((outcome.bytes, outcome.key.ends_with(":t")), (7, true));
    }

    #[test]
    fn an_outcome_that_is_gone_is_no_record() {
        let id = JobId::new(Shard::default());
        assert!(Row { token: Some("t".to_owned()), ..row() }.record(id, 0).unwrap().is_none());
        assert!(row().record(id, 0).is_err(), "an ended job without an outcome is damaged");
    }
}
