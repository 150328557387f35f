use std::time::Duration;

use hermod_types::{JobId, Shard};
use redis::{Script, ScriptInvocation};

use crate::keys::{self, GROUP, Keys};
use crate::lane::{Call, Lane, millis};
use crate::script::Scripts;
use crate::{Held, QueueError, Store, WorkerName};

/// Renews what a worker holds, over connections that nothing else waits for.
pub struct Leases {
    worker: WorkerName,
    lease: Duration,
    store: Store,
}

/// Renews what a worker holds of one shard.
pub struct ShardLeases {
    worker: WorkerName,
    keys: Keys,
    lease: Duration,
    renew: Script,
    lane: Lane,
}

/// Jobs of a renewal that are another worker's by now.
pub type Lost = Vec<JobId>;

impl Leases {
    pub(crate) fn new(store: &Store, worker: WorkerName, lease: Duration) -> Result<Self, QueueError> {
        Ok(Self { worker, lease, store: store.apart()? })
    }

    /// Those of one shard, over a connection of its own.
    pub fn of(&self, shard: Shard) -> ShardLeases {
        ShardLeases {
            worker: self.worker.clone(),
            keys: Keys::new(shard),
            lease: self.lease,
            renew: Scripts::new().renew,
            lane: self.store.lane(shard),
        }
    }
}

impl ShardLeases {
    /// Extends the lease on each of `held`, all of this shard, that is still this worker's; returns the others.
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
pub(crate) async fn run_on_held(
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
