use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use hermod_types::{JobId, Shard};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Limits, Owed};
use crate::clock::millis;
use crate::connection::Call;
use crate::keys::{self, PERMITS};
use crate::script::{self, SCRIPTS};
use crate::{QueueError, Store};

/// Ends of one look into the outbox.
const OUTBOX: usize = 500;
/// How often permits are looked through, and how old one is that is looked at: long enough for its job to have been submitted, or
/// settled, by whoever took it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
const SWEEP_AGE: Duration = Duration::from_secs(30);
/// Permits of one look.
const SWEPT: usize = 500;

/// What the leader does for the limits of one shard's jobs. All of it is safe to do twice.
pub struct Upkeep {
    store: Store,
    limits: Limits,
    shard: Shard,
    next_sweep: Instant,
}

#[derive(Serialize)]
struct ScanArgs<'a> {
    cursor: &'a str,
    count: usize,
    age_ms: u64,
}

#[derive(Deserialize)]
struct Scanned {
    cursor: String,
    permits: Vec<Permit>,
}

#[derive(Deserialize)]
struct Permit {
    id: String,
    fence: u64,
    runs: bool,
}

#[derive(Serialize)]
struct StatesArgs {
    ids: Vec<String>,
}

/// What has become of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Runs,
    Waits,
    Owed,
    Ended,
    Gone,
}

impl Upkeep {
    pub fn new(store: &Store, limits: &Limits, shard: Shard) -> Self {
        Self { store: store.clone(), limits: limits.clone(), shard, next_sweep: Instant::now() }
    }

    /// Settles what is owed by jobs of the shard whose workers have not done so, and now and then frees what jobs hold that have
    /// gone.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn run(&mut self) -> Result<(), QueueError> {
        while self.empty_outbox().await? {}
        // There is one place for all permits.
        if self.shard == Shard::default() && Instant::now() >= self.next_sweep {
            self.sweep().await?;
            self.next_sweep = Instant::now() + SWEEP_INTERVAL;
        }
        Ok(())
    }

    /// Settles some of what is owed; says whether there may be more. Most of it was settled by its worker.
    async fn empty_outbox(&self) -> Result<bool, QueueError> {
        let (connection, owed) = (self.store.shared(), keys::owed(self.shard));
        let mut command = redis::cmd("HRANDFIELD");
        command.arg(&owed).arg(OUTBOX);
        let ids: Vec<String> = connection.run(Call::Command(&command)).await?;
        if ids.is_empty() {
            return Ok(false);
        }
        let mut command = redis::cmd("HMGET");
        command.arg(PERMITS).arg(&ids);
        let permits: Vec<Option<ByteCount>> = connection.run(Call::Command(&command)).await?;
        let is_held = |(_, permit): &(&String, Option<ByteCount>)| permit.is_some();
        let left: Vec<&String> = ids.iter().zip(permits).filter(is_held).map(|(id, _)| id).collect();
        if !left.is_empty() {
            let mut command = redis::cmd("HMGET");
            command.arg(&owed).arg(&left);
            let texts: Vec<Option<String>> = connection.run(Call::Command(&command)).await?;
            try_join_all(left.into_iter().zip(texts).map(|(id, text)| self.settle(id, text))).await?;
        }
        let mut command = redis::cmd("HDEL");
        command.arg(&owed).arg(&ids);
        let _removed: u64 = connection.run(Call::Command(&command)).await?;
        Ok(ids.len() >= OUTBOX)
    }

    async fn settle(&self, id: &str, text: Option<String>) -> Result<(), QueueError> {
        let owed = text.and_then(|text| serde_json::from_str::<Owed>(&text).ok());
        // What is no text of ours leaves a permit, which is swept.
        let (Ok(id), Some(owed)) = (id.parse::<JobId>(), owed) else { return Ok(()) };
        tracing::debug!(job = %id, "settled for its worker");
        self.limits.settle(id, owed).await
    }

    /// Frees what is held by jobs that have ended or are gone, and are not settled from the outbox: Redis has lost a part of its
    /// data, or an API process died between an admission and its submit.
    async fn sweep(&self) -> Result<(), QueueError> {
        let (connection, queue) = (self.store.shared(), keys::queue(Shard::default()));
        let mut cursor = "0".to_owned();
        loop {
            let args = ScanArgs { cursor: &cursor, count: SWEPT, age_ms: millis(SWEEP_AGE) };
            let scanned: Scanned = script::run(connection, &SCRIPTS.gov_permits, &queue, &args).await?;
            let mut shards: BTreeMap<Shard, Vec<(JobId, Permit)>> = BTreeMap::new();
            for permit in scanned.permits {
                if let Ok(id) = permit.id.parse::<JobId>() {
                    shards.entry(id.shard()).or_default().push((id, permit));
                }
            }
            for (shard, permits) in shards {
                self.sweep_shard(shard, permits).await?;
            }
            if scanned.cursor == "0" {
                return Ok(());
            }
            cursor = scanned.cursor;
        }
    }

    async fn sweep_shard(&self, shard: Shard, permits: Vec<(JobId, Permit)>) -> Result<(), QueueError> {
        let args = StatesArgs { ids: permits.iter().map(|(id, _)| id.to_string()).collect() };
        let queue = keys::queue(shard);
        let states: Vec<State> = script::run(self.store.shared(), &SCRIPTS.gov_states, &queue, &args).await?;
        let sweep = permits.into_iter().zip(states).map(async |((id, permit), state)| match state {
            // Before its start, nothing was done.
            State::Ended | State::Gone if permit.fence == 0 => self.limits.refund(id, 0).await,
            State::Ended | State::Gone => {
                tracing::warn!(job = %id, ?state, "a permit of a job that has ended is freed");
                self.limits.sweep(id, permit.fence).await
            }
            // One that was admitted at its submit waits for a worker only, and has its place.
            State::Waits if permit.runs && permit.fence > 0 => self.limits.suspend(id, permit.fence).await,
            State::Waits | State::Runs | State::Owed => Ok(()),
        });
        try_join_all(sweep).await.map(drop)
    }
}

/// A permit, of which it only counts that it is there.
struct ByteCount;

impl redis::FromRedisValue for ByteCount {
    fn from_redis_value(_: redis::Value) -> Result<Self, redis::ParsingError> {
        Ok(Self)
    }
}
