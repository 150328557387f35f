use std::sync::Arc;

use hermod_governance::Limit;
use hermod_types::{JobId, Shard, Timestamp};
use serde::Serialize;
use tokio_util::task::TaskTracker;

use super::admit::{Admits, AskItem};
use super::ample::Ample;
use super::openings::{Opener, Openings};
use super::settle::{Settlement, Settles};
use super::usage::{self, Reads};
use super::{Admission, Ask, Owed, Usage};
use crate::batch::Batcher;
use crate::connection::Connection;
use crate::script::{self, SCRIPTS};
use crate::{QueueError, Store, WorkerQueue, keys};

/// The limits of all jobs. Cheap to clone; calls form batches.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    opener: Option<Opener>,
    admits: Batcher<Admits>,
    settles: Batcher<Settles>,
    reads: Batcher<Reads>,
    ample: Ample,
    connection: Connection,
}

#[derive(Serialize)]
struct ResetArgs<'a> {
    name: &'a str,
}

impl Limits {
    /// Starts what it needs on the current runtime; it ends with the last clone.
    pub fn spawn(store: &Store, tasks: &TaskTracker) -> Self {
        let connection = connection(store);
        Self::new(connection, None, tasks)
    }

    /// The same for a worker, which lets those go on that wait, once there is room for them.
    pub fn of_worker(queue: &WorkerQueue, store: &Store, tasks: &TaskTracker) -> Self {
        let connection = connection(store);
        let opener = Opener::spawn(queue, connection.clone(), tasks);
        Self::new(connection, Some(opener), tasks)
    }

    fn new(connection: Connection, opener: Option<Opener>, tasks: &TaskTracker) -> Self {
        let admits = Admits { connection: connection.clone(), opener: opener.clone() };
        let settles = Settles { connection: connection.clone(), opener: opener.clone() };
        Self(Arc::new(Inner {
            opener,
            admits: Batcher::spawn(admits, tasks),
            settles: Batcher::spawn(settles, tasks),
            reads: Batcher::spawn(Reads(connection.clone()), tasks),
            ample: Ample::default(),
            connection,
        }))
    }

    /// Whether a job can be admitted by `latest`, should nothing more be used until then: what running jobs merely reserve counts
    /// as free. Writes nothing. [`Admission::Closed`] if it cannot.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn check(
        &self,
        wants: &[(Arc<Limit>, u64)],
        latest: Timestamp,
    ) -> Result<Admission, QueueError> {
        if self.0.ample.have_room(wants) {
            return Ok(Admission::Admitted);
        }
        let limits: Vec<_> = wants.iter().map(|(limit, _)| Arc::clone(limit)).collect();
        let usage = self.usage(&limits).await?;
        self.0.ample.note(wants, &usage);
        Ok(usage::check(wants, &usage, latest))
    }

    /// Reserves all that a job wants, or nothing. Safe to repeat. A job that is held, and refused, is told once there is room, so
    /// it is to be given back.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn admit(&self, ask: Ask) -> Result<Admission, QueueError> {
        let waits = ask.fence > 0;
        self.0.admits.ask(AskItem { ask, waits }).await
    }

    /// The same for a job that goes on without it if it is refused: one that has a fallback.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn extend(&self, ask: Ask) -> Result<Admission, QueueError> {
        self.0.admits.ask(AskItem { ask, waits: false }).await
    }

    /// Lets those go on that waited for what has become free with the ends of jobs.
    pub fn open(&self, openings: Openings) {
        if let Some(opener) = &self.0.opener {
            opener.open(openings);
        }
    }

    /// Sees to it that what a job has used is counted, which has just ended. Where the limits are in its own shard, its end has settled
    /// it.
    ///
    /// # Errors
    /// As [`Limits::settle`].
    pub async fn ended(&self, job: JobId, owed: Owed) -> Result<(), QueueError> {
        if job.shard() == Shard::default() { Ok(()) } else { self.settle(job, owed).await }
    }

    /// Counts what a job has used that has ended, and frees what it held. Safe to repeat: it is counted once.
    ///
    /// # Errors
    /// If Redis does not answer. What stands in the job's outbox is counted by the leader then.
    pub async fn settle(&self, job: JobId, owed: Owed) -> Result<(), QueueError> {
        self.0.settles.ask((job, Settlement::Ended(owed))).await
    }

    /// Frees all that a job holds: it was handed back without a call by the holder of `fence`, or, with 0, never submitted.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn refund(&self, job: JobId, fence: u64) -> Result<(), QueueError> {
        self.0.settles.ask((job, Settlement::Refunded { fence })).await
    }

    /// Notes that a job, which was held under `fence`, runs no longer and will again: it keeps what it has reserved.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn suspend(&self, job: JobId, fence: u64) -> Result<(), QueueError> {
        self.0.settles.ask((job, Settlement::Suspended { fence })).await
    }

    /// Frees what a job holds of which nobody knows what it has done since the start with this fence.
    pub(super) async fn sweep(&self, job: JobId, fence: u64) -> Result<(), QueueError> {
        self.0.settles.ask((job, Settlement::Swept(Owed::unknown(fence)))).await
    }

    /// The usage of each, in their order.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn usage(&self, limits: &[Arc<Limit>]) -> Result<Vec<Usage>, QueueError> {
        if limits.is_empty() {
            return Ok(Vec::new());
        }
        self.0.reads.ask(limits.to_vec()).await
    }

    /// Sets what is used of a limit to 0; its window stays.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn reset(&self, limit: &Limit) -> Result<(), QueueError> {
        let args = ResetArgs { name: &limit.name };
        let queue = keys::queue(Shard::default());
        script::run(&self.0.connection, &SCRIPTS.gov_reset, &queue, &args).await.map(|_: bool| ())
    }
}

/// Limits are where shard 0 is.
fn connection(store: &Store) -> Connection {
    if store.is_cluster() { store.connection(Shard::default()) } else { store.shared().clone() }
}
