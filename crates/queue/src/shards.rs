use hermod_types::ShardCount;

use crate::keys;
use crate::lane::{Call, Lane};
use crate::script::Scripts;
use crate::{QueueError, Store};

/// How many shards are in use: the largest number that anybody has ever wanted, as Redis keeps it.
///
/// An API process raises it before it puts a job into a new shard, workers serve as many as it says, and both write it again should Redis have
/// lost it: so no job waits in a shard that nobody serves.
pub struct ShardRoll {
    lane: Lane,
    scripts: Scripts,
}

impl ShardRoll {
    /// That of `store`.
    pub fn new(store: &Store) -> Self {
        Self { lane: store.errand(), scripts: Scripts::new() }
    }

    /// Raises the number to `wanted`, unless it is larger already. Returns what it is now.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn raise(&mut self, wanted: ShardCount) -> Result<ShardCount, QueueError> {
        let mut script = self.scripts.shards.prepare_invoke();
        script.key(keys::SHARDS).arg(wanted.get());
        let used: u16 = self.lane.run(Call::Script(&script)).await?;
        ShardCount::new(used).ok_or_else(|| {
            QueueError::Unexpected(format!("{} holds {used}, which is no number of shards", keys::SHARDS))
        })
    }
}
