use std::time::Duration;

use hermod_types::{JobId, Shard};
use serde::{Deserialize, Serialize};

use crate::clock::millis;
use crate::connection::{Connection, Route};
use crate::script::{self, SCRIPTS};
use crate::topology::RESPONSE_TIMEOUT;
use crate::worker_queue::{HELD_PER_CALL, HeldArgs};
use crate::{Held, Lane, QueueError, Store, WorkerName};

/// Renews what a worker holds of one shard, over a connection that nothing else waits for. It lives on the runtime that makes
/// the first call.
pub struct Leases {
    worker: WorkerName,
    shard: Shard,
    lease: Duration,
    connection: Connection,
}

/// What a renewal has told.
#[derive(Debug, Default)]
pub struct Renewed {
    /// Jobs that are another's by now.
    pub lost: Vec<JobId>,
    /// Jobs that are this worker's, and to be ended as cancelled.
    pub cancelled: Vec<JobId>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Renewed,
    Cancelled,
    Lost,
}

#[derive(Serialize)]
struct Args<'a> {
    worker: &'a str,
    lease_ms: u64,
    jobs: Vec<HeldArgs<'a>>,
}

impl Leases {
    /// Those of `worker` in one shard, each of length `lease`.
    pub fn new(store: &Store, worker: WorkerName, shard: Shard, lease: Duration) -> Self {
        // There must be time for another try before the lease ends.
        let patience = RESPONSE_TIMEOUT.min(lease / 4);
        let connection = Connection::with_timeout(store.clone(), Route::Shard(shard), patience);
        Self { worker, shard, lease, connection }
    }

    /// Extends the lease on each of `held`, all of this shard and of `lane`, that is still this worker's.
    ///
    /// # Errors
    /// If Redis does not answer, or the group is missing.
    pub async fn renew(&self, lane: Lane, held: &[Held]) -> Result<Renewed, QueueError> {
        let (mut all, queue) = (Renewed::default(), lane.queue(self.shard));
        for held in held.chunks(HELD_PER_CALL) {
            let args = Args {
                worker: self.worker.as_str(),
                lease_ms: millis(self.lease),
                jobs: held.iter().map(HeldArgs::of).collect(),
            };
            let states: Vec<State> = script::run(&self.connection, &SCRIPTS.renew, &queue, &args).await?;
            for (held, state) in held.iter().zip(states) {
                match state {
                    State::Renewed => {}
                    State::Cancelled => all.cancelled.push(held.id),
                    State::Lost => all.lost.push(held.id),
                }
            }
        }
        Ok(all)
    }
}
