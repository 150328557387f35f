use std::time::Duration;

use hermod_types::{JobId, Shard};
use serde::Serialize;

use crate::clock::millis;
use crate::connection::{Connection, Route};
use crate::script::{self, SCRIPTS};
use crate::topology::RESPONSE_TIMEOUT;
use crate::worker_queue::{HELD_PER_CALL, HeldArgs};
use crate::{Held, QueueError, Store, WorkerName, keys};

/// Renews what a worker holds of one shard, over a connection that nothing else waits for. It lives on the runtime that makes
/// the first call.
pub struct Leases {
    worker: WorkerName,
    queue: String,
    lease: Duration,
    connection: Connection,
}

#[derive(Serialize)]
struct Args<'a> {
    worker: &'a str,
    lease_ms: u64,
    jobs: Vec<HeldArgs<'a>>,
}

impl Leases {
    /// Those of `worker` in `shard`, each of length `lease`.
    pub fn new(store: &Store, worker: WorkerName, shard: Shard, lease: Duration) -> Self {
        // There must be time for another try before the lease ends.
        let patience = RESPONSE_TIMEOUT.min(lease / 4);
        let connection = Connection::with_timeout(store.clone(), Route::Shard(shard), patience);
        Self { worker, queue: keys::queue(shard), lease, connection }
    }

    /// Extends the lease on each of `held`, all of this shard, that is still this worker's; returns the others.
    ///
    /// # Errors
    /// If Redis does not answer, or the group is missing.
    pub async fn renew(&self, held: &[Held]) -> Result<Vec<JobId>, QueueError> {
        let mut lost = Vec::new();
        for held in held.chunks(HELD_PER_CALL) {
            let args = Args {
                worker: self.worker.as_str(),
                lease_ms: millis(self.lease),
                jobs: held.iter().map(HeldArgs::of).collect(),
            };
            let renewed: Vec<bool> =
                script::run(&self.connection, &SCRIPTS.renew, &self.queue, &args).await?;
            lost.extend(held.iter().zip(renewed).filter(|(_, renewed)| !renewed).map(|(held, _)| held.id));
        }
        Ok(lost)
    }
}
