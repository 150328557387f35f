use hermod_types::{Shard, ShardCount};
use serde::Serialize;

use crate::script::{self, SCRIPTS};
use crate::{QueueError, Store, keys};

#[derive(Serialize)]
struct Args {
    wanted: u16,
}

/// Raises the number of shards in use to `wanted`, unless it is larger already. Returns what it is now.
///
/// An API process does so before it puts a job into a new shard; workers serve as many as it says. Both write it again should
/// Redis have lost it: so no job waits in a shard that nobody serves.
///
/// # Errors
/// If Redis does not answer.
pub async fn raise(store: &Store, wanted: ShardCount) -> Result<ShardCount, QueueError> {
    let queue = keys::queue(Shard::default());
    let used: u16 =
        script::run(store.shared(), &SCRIPTS.shards, &queue, &Args { wanted: wanted.get() }).await?;
    ShardCount::new(used).ok_or_else(|| {
        QueueError::Unexpected(format!("{} holds {used}, which is no number of shards", keys::SHARDS))
    })
}
