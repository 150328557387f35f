//! What nobody is to try for a while, shared by all workers.

use std::time::Duration;

use hermod_types::Shard;
use serde::{Deserialize, Serialize};

use crate::clock::millis;
use crate::script::{self, SCRIPTS};
use crate::{QueueError, Store, keys};

/// How long one is kept after its end, for a probe to find; after that, anybody may try.
const KEPT: Duration = Duration::from_secs(600);

/// A cooldown as Redis has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// What it is about, in the words of whoever set it.
    pub name: String,
    /// How long it lasts yet; zero once a probe may lift it.
    pub left: Duration,
    /// How long it was set for.
    pub length: Duration,
}

/// Every worker's cooldowns: one hash in Redis. Cheap to clone; calls do not wait for each other.
#[derive(Clone)]
pub struct SharedCooldowns {
    store: Store,
    queue: String,
}

#[derive(Serialize)]
struct AllArgs {
    kept_ms: u64,
}

#[derive(Serialize)]
struct CoolArgs<'a> {
    name: &'a str,
    length_ms: u64,
    kept_ms: u64,
}

#[derive(Serialize)]
struct ProbeArgs<'a> {
    name: &'a str,
    turn_ms: u64,
}

#[derive(Serialize)]
struct LiftArgs<'a> {
    name: &'a str,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    left_ms: i64,
    length_ms: u64,
}

impl SharedCooldowns {
    /// Those in `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), queue: keys::queue(Shard::default()) }
    }

    /// All of them.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn all(&self) -> Result<Vec<Cooldown>, QueueError> {
        let args = AllArgs { kept_ms: millis(KEPT) };
        let rows: Vec<Row> = script::run(self.store.shared(), &SCRIPTS.cooldowns, &self.queue, &args).await?;
        let cooldown = |row: Row| Cooldown {
            name: row.name,
            left: Duration::from_millis(u64::try_from(row.left_ms).unwrap_or(0)),
            length: Duration::from_millis(row.length_ms),
        };
        Ok(rows.into_iter().map(cooldown).collect())
    }

    /// Sets one; where a longer one is set already, that stays.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn cool(&self, name: &str, length: Duration) -> Result<(), QueueError> {
        let args = CoolArgs { name, length_ms: millis(length), kept_ms: millis(KEPT) };
        let _set: bool = script::run(self.store.shared(), &SCRIPTS.cool, &self.queue, &args).await?;
        Ok(())
    }

    /// Whether the caller may try now, for `turn`: its cooldown is over, and nobody else is trying.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn probe(&self, name: &str, turn: Duration) -> Result<bool, QueueError> {
        let args = ProbeArgs { name, turn_ms: millis(turn) };
        script::run(self.store.shared(), &SCRIPTS.probe, &self.queue, &args).await
    }

    /// Lifts one. Returns whether there was one.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn lift(&self, name: &str) -> Result<bool, QueueError> {
        script::run(self.store.shared(), &SCRIPTS.lift, &self.queue, &LiftArgs { name }).await
    }
}
