use hermod_types::ShardCount;
use redis::Pipeline;
use redis::streams::StreamPendingReply;

use crate::QueueError;
use crate::keys::{GROUP, Keys, PAUSED};
use crate::lane::{Call, Lane};

/// How many jobs are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Accepted, and not yet given to a worker.
    pub waiting: u64,
    /// Asleep until a retry time.
    pub sleeping: u64,
    /// Given to a worker, and not yet ended.
    pub running: u64,
    /// Given up on, and kept for the operator.
    pub dead: u64,
    /// Whether workers are told to claim nothing.
    pub paused: bool,
}

impl Stats {
    /// Of all `shards` together.
    pub(crate) async fn read(lane: &mut Lane, shards: ShardCount) -> Result<Self, QueueError> {
        let paused = lane.run(Call::Command(redis::cmd("EXISTS").arg(PAUSED))).await?;
        let mut all = Self { paused, ..Self::default() };
        for shard in shards.shards() {
            let one = Self::of(lane, &Keys::new(shard)).await?;
            all.waiting += one.waiting;
            all.sleeping += one.sleeping;
            all.running += one.running;
            all.dead += one.dead;
        }
        Ok(all)
    }

    async fn of(lane: &mut Lane, keys: &Keys) -> Result<Self, QueueError> {
        let mut pipeline = Pipeline::with_capacity(3);
        pipeline.cmd("XLEN").arg(&keys.queue).cmd("ZCARD").arg(&keys.later).cmd("XLEN").arg(&keys.dead);
        let (entries, sleeping, dead): (u64, u64, u64) = lane.run(Call::Pipeline(&pipeline)).await?;
        let mut command = redis::cmd("XPENDING");
        command.arg(&keys.queue).arg(GROUP);
        // What is delivered and not yet ended is in the stream too; `lag` would be nil after an XDEL.
        let running = match lane.run::<StreamPendingReply>(Call::Command(&command)).await {
            Ok(pending) => u64::try_from(pending.count()).unwrap_or_default(),
            // No worker has come yet.
            Err(QueueError::NoGroup) => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { waiting: entries.saturating_sub(running), sleeping, running, dead, paused: false })
    }
}
