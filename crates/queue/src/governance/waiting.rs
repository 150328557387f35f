use hermod_types::ShardCount;
use serde::Serialize;

use crate::script::{self, SCRIPTS};
use crate::{KnownShards, QueueError, Store, keys};

/// How many jobs wait. Cheap to clone.
#[derive(Clone)]
pub struct Waiting {
    store: Store,
    shards: ShardCount,
    known: KnownShards,
}

#[derive(Serialize)]
struct Args<'a> {
    owner: &'a str,
}

impl Waiting {
    /// On `shards`, or as many as are known to be in use.
    pub fn new(store: &Store, shards: ShardCount, known: &KnownShards) -> Self {
        Self { store: store.clone(), shards, known: known.clone() }
    }

    /// Those of an owner, the id of a virtual key.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn of(&self, owner: &str) -> Result<u64, QueueError> {
        let shards = self.known.used().unwrap_or(self.shards).max(self.shards);
        let mut waiting = 0;
        for shard in shards.shards() {
            let queue = keys::queue(shard);
            let found: u64 =
                script::run(self.store.shared(), &SCRIPTS.waiting_of, &queue, &Args { owner }).await?;
            waiting += found;
        }
        Ok(waiting)
    }
}
