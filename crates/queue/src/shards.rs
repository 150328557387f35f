use std::sync::{Arc, PoisonError, RwLock};

use hermod_types::{Shard, ShardCount};
use serde::{Deserialize, Serialize};

use crate::script::{self, SCRIPTS};
use crate::{QueueError, Store, keys};

#[derive(Serialize)]
struct Args {
    wanted: u16,
    places: bool,
}

#[derive(Deserialize)]
struct Reply {
    used: u16,
    others: Vec<u16>,
}

/// Raises the number of shards in use to `wanted`, unless it is larger already. Returns what it is now.
///
/// An API process does so before it puts a job into a new shard; workers serve as many as it says. Both write it again should
/// Redis have lost it: so no job waits in a shard that nobody serves.
///
/// # Errors
/// If Redis does not answer.
pub async fn raise(store: &Store, wanted: ShardCount) -> Result<ShardCount, QueueError> {
    run(store, wanted, false).await.map(|numbers| numbers.used)
}

async fn run(store: &Store, wanted: ShardCount, places: bool) -> Result<Numbers, QueueError> {
    let (queue, args) = (keys::queue(Shard::default()), Args { wanted: wanted.get(), places });
    let Reply { used, others } = script::run(store.shared(), &SCRIPTS.shards, &queue, &args).await?;
    let used = ShardCount::new(used).ok_or_else(|| {
        QueueError::Unexpected(format!("{} holds {used}, which is no number of shards", keys::SHARDS))
    })?;
    Ok(Numbers { used, others: others.into_iter().filter_map(ShardCount::new).collect() })
}

/// The numbers of shards, as this process last saw them in Redis. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KnownShards(Arc<RwLock<Option<Numbers>>>);

#[derive(Clone, Debug)]
struct Numbers {
    /// How many shards workers serve.
    used: ShardCount,
    /// Other numbers that API processes have spread their jobs over, now or as long ago as what they remember of a submit may
    /// live.
    others: Vec<ShardCount>,
}

impl KnownShards {
    /// Raises the number in Redis to `wanted`, which it also does where Redis has lost it. Says to other API processes that this
    /// one spreads its jobs over so many.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn raise(&self, store: &Store, wanted: ShardCount) -> Result<(), QueueError> {
        let numbers = run(store, wanted, true).await?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(numbers);
        Ok(())
    }

    fn read<T>(&self, of: impl FnOnce(&Numbers) -> T) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(of)
    }

    /// Whether workers serve as many as are wanted.
    pub(crate) fn has(&self, wanted: ShardCount) -> bool {
        // Shard 0 is always served.
        wanted == ShardCount::ONE || self.used().is_some_and(|used| used >= wanted)
    }

    /// How many shards workers serve; none while that is not known.
    pub(crate) fn used(&self) -> Option<ShardCount> {
        self.read(|numbers| numbers.used)
    }

    /// The other numbers that jobs are, or were, spread over; none while they are not known.
    pub(crate) fn others(&self) -> Option<Vec<ShardCount>> {
        self.read(|numbers| numbers.others.clone())
    }
}
