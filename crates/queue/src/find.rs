//! Records are read.

use hermod_types::{JobId, JobStatus, JobView, Shard, Timestamp};
use redis::{Pipeline, RedisResult};
use std::sync::Arc;
use tokio_util::task::TaskTracker;

use crate::batch::{Batch, Batcher};
use crate::connection::{Call, Connection};
use crate::{QueueError, Store, keys};

/// How records are read.
#[derive(Clone)]
pub(crate) enum Finder {
    /// Batches of any shards, over one connection.
    Batches(Arc<Batcher<Finds>>, Store),
    /// One by one, over the connection that finds the node of each; it sends on without waiting for answers.
    Routed(Store),
}

impl Finder {
    pub(crate) fn spawn(store: &Store, tasks: &TaskTracker) -> Self {
        if store.is_cluster() {
            return Self::Routed(store.clone());
        }
        let finds = Finds { connection: store.connection(Shard::default()) };
        Self::Batches(Arc::new(Batcher::spawn(finds, tasks)), store.clone())
    }

    pub(crate) async fn find(&self, id: JobId) -> Result<Option<JobRecord>, QueueError> {
        let (mut fields, store) = match self {
            Self::Batches(finds, store) => (finds.ask(id).await??, store),
            Self::Routed(store) => {
                let mut command = redis::cmd("HMGET");
                command.arg(keys::job(id)).arg(&FIELDS);
                (Box::pin(store.shared().run(Call::Command(&command))).await?, store)
            }
        };
        if let Some(token) = &fields.4 {
            let text = store.fetch_outcome(id, token).await?;
            fields.3 = text.and_then(|text| String::from_utf8(text).ok());
            if fields.3.is_none() {
                return Ok(None);
            }
        }
        JobRecord::read(id, fields)
    }
}

pub(crate) struct Finds {
    connection: Connection,
}

const FIELDS: [&str; 7] = ["holder", "owner", "code", "outcome", "apart", "completed", "expires"];
type Fields =
    (Option<String>, Option<String>, Option<u16>, Option<String>, Option<String>, Option<u64>, Option<u64>);

impl Batch for Finds {
    type Item = JobId;
    type Reply = RedisResult<Fields>;

    fn bytes(_: &JobId) -> usize {
        64
    }

    async fn call(&mut self, ids: &[JobId]) -> Result<Vec<RedisResult<Fields>>, QueueError> {
        let mut pipeline = Pipeline::with_capacity(ids.len());
        // One damaged record is not the others' matter.
        pipeline.ignore_errors();
        for id in ids {
            pipeline.cmd("HMGET").arg(keys::job(*id)).arg(&FIELDS);
        }
        self.connection.run(Call::Pipeline(&pipeline)).await
    }
}

/// A job as its record tells it to a poll.
#[derive(Debug)]
pub struct JobRecord {
    pub id: JobId,
    pub status: JobStatus,
    pub owner: Option<String>,
    ended: Option<(u16, String, Timestamp, Timestamp)>,
}

impl JobRecord {
    fn read(id: JobId, fields: Fields) -> Result<Option<Self>, QueueError> {
        let (Some(holder), owner, code, outcome, _, completed, expires) = fields else { return Ok(None) };
        let unreadable = |field| QueueError::Unexpected(format!("job {id}: unreadable {field}"));
        let Some(code) = code else {
            let status = if holder.contains(' ') { JobStatus::Processing } else { JobStatus::Pending };
            return Ok(Some(Self { id, status, owner, ended: None }));
        };
        let outcome = outcome.filter(|outcome| outcome.starts_with('{') && outcome.ends_with('}'));
        let ended = (
            code,
            outcome.ok_or_else(|| unreadable("outcome"))?,
            Timestamp::from_millis(completed.ok_or_else(|| unreadable("completed"))?),
            Timestamp::from_millis(expires.ok_or_else(|| unreadable("expires"))?),
        );
        let status = if code == 200 { JobStatus::Completed } else { JobStatus::Failed };
        Ok(Some(Self { id, status, owner, ended: Some(ended) }))
    }

    /// What its client sees, as JSON.
    pub fn to_json(&self) -> String {
        let mut view = JobView::accepted(self.id);
        view.status = self.status;
        let Some((code, outcome, completed, expires)) = &self.ended else { return view.to_json(None) };
        view.completed_at = Some(*completed);
        view.expires_at = Some(*expires);
        view.status_code = Some(*code);
        view.to_json(Some(outcome))
    }
}
