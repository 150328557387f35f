use hermod_types::ShardCount;
use redis::Pipeline;
use tokio::time::Instant;

use crate::connection::Call;
use crate::keys::{COOLDOWNS_VERSION, DEFINITIONS_VERSION, LEADER, PAUSED, SHARDS};
use crate::{QueueError, Store};

/// What every worker asks each second, in one round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The operator wants nothing to be claimed.
    pub paused: bool,
    /// Shards in use; none where Redis has no number, which means one, or that it was lost.
    pub shards: Option<ShardCount>,
    /// Changes whenever the cooldowns do.
    pub cooldowns_version: Option<String>,
    /// The name of the worker that looks after the queue for all.
    pub leader: Option<String>,
    /// Changes whenever the definitions of governance do; none before their first change.
    pub definitions_version: Option<String>,
}

/// What is read.
const KEYS: [&str; 5] = [PAUSED, SHARDS, COOLDOWNS_VERSION, LEADER, DEFINITIONS_VERSION];

impl Control {
    /// Reads it. This also keeps the health of the store, and its clock, up to date.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn read(store: &Store) -> Result<Self, QueueError> {
        let connection = store.shared();
        if !store.is_cluster() {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.cmd("TIME").cmd("MGET").arg(&KEYS);
            let sent = Instant::now();
            let ((seconds, micros), values): ((u64, u64), Values) =
                connection.run(Call::Pipeline(&pipeline)).await?;
            connection.clock().note(seconds * 1000 + micros / 1000, sent);
            return Ok(Self::of(values));
        }
        // TIME has no key that says which node is asked.
        let mut command = redis::cmd("MGET");
        command.arg(&KEYS);
        Ok(Self::of(connection.run(Call::Command(&command)).await?))
    }

    fn of((paused, shards, cooldowns_version, leader, definitions_version): Values) -> Self {
        Self {
            paused: paused.is_some(),
            shards: shards.and_then(ShardCount::new),
            cooldowns_version,
            leader,
            definitions_version,
        }
    }
}

type Values = (Option<String>, Option<u16>, Option<String>, Option<String>, Option<String>);
