use redis::Pipeline;
use redis::streams::StreamPendingReply;

use crate::QueueError;
use crate::keys::{GROUP, Keys};
use crate::store::{Call, Lane};

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
    pub(crate) async fn read(lane: &mut Lane, keys: &Keys) -> Result<Self, QueueError> {
        let mut pipeline = Pipeline::with_capacity(4);
        pipeline.cmd("XLEN").arg(&keys.queue).cmd("ZCARD").arg(&keys.later);
        pipeline.cmd("XLEN").arg(&keys.dead).cmd("EXISTS").arg(&keys.paused);
        let (entries, sleeping, dead, paused): (u64, u64, u64, bool) =
            lane.run(Call::Pipeline(&pipeline)).await?;
        let mut command = redis::cmd("XPENDING");
        command.arg(&keys.queue).arg(GROUP);
        // What is delivered and not yet ended is in the stream too; `lag` would be nil after an XDEL.
        let running = match lane.run::<StreamPendingReply>(Call::Command(&command)).await {
            Ok(pending) => u64::try_from(pending.count()).unwrap_or_default(),
            // No worker has come yet.
            Err(QueueError::NoGroup) => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { waiting: entries.saturating_sub(running), sleeping, running, dead, paused })
    }
}
