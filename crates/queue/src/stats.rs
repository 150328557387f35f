use hermod_types::Shard;
use serde::Deserialize;

use crate::script::{self, SCRIPTS};
use crate::{Lane, QueueError, Store};

/// How many jobs are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Accepted, and not yet given to a worker; those that wait for a limit among them.
    pub waiting: u64,
    /// Lanes in which some of them wait, one for each owner at least.
    pub lanes: u64,
    /// Lanes that wait for a limit.
    pub closed_lanes: u64,
    /// Waiting until a retry time.
    pub delayed: u64,
    /// Given to a worker, and not yet ended.
    pub running: u64,
    /// Given up on, and kept for the operator.
    pub dead: u64,
    /// Of the bodies of waiting and running jobs, where a limit of bytes is set.
    pub bytes: u64,
    /// Whether workers are told to claim nothing.
    pub paused: bool,
}

#[derive(Deserialize)]
struct Row {
    entries: u64,
    running: u64,
    laned: u64,
    lanes: u64,
    closed: u64,
    delayed: u64,
    dead: u64,
    bytes: i64,
}

/// What a script without arguments takes.
#[derive(serde::Serialize)]
pub(crate) struct NoArgs {}

impl Stats {
    /// Adds those of one shard of a lane.
    pub(crate) async fn add(&mut self, store: &Store, lane: Lane, shard: Shard) -> Result<(), QueueError> {
        let row: Row = script::run(store.shared(), &SCRIPTS.stats, &lane.queue(shard), &NoArgs {}).await?;
        self.waiting += row.entries.saturating_sub(row.running) + row.laned;
        self.lanes += row.lanes;
        self.closed_lanes += row.closed;
        self.delayed += row.delayed;
        self.running += row.running;
        self.dead += row.dead;
        self.bytes += u64::try_from(row.bytes).unwrap_or_default();
        Ok(())
    }
}
