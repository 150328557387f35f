//! What nobody is to try for a while, shared by all workers.

use std::time::Duration;

use crate::keys::COOLDOWNS;
use crate::lane::{Call, Lane, millis};
use crate::script::Scripts;
use crate::{QueueError, Store};

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

/// Every worker's cooldowns: one hash in Redis.
pub struct CooldownBoard {
    lane: Lane,
    scripts: Scripts,
}

impl CooldownBoard {
    /// Those in `store`.
    pub fn new(store: &Store) -> Self {
        Self { lane: store.errand(), scripts: Scripts::new() }
    }

    /// All of them.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn all(&mut self) -> Result<Vec<Cooldown>, QueueError> {
        let mut script = self.scripts.cooldowns.prepare_invoke();
        script.key(COOLDOWNS).arg(millis(KEPT));
        let rows: Vec<(String, i64, u64)> = self.lane.run(Call::Script(&script)).await?;
        let cooldown = |(name, left, length): (String, i64, u64)| Cooldown {
            name,
            left: Duration::from_millis(u64::try_from(left).unwrap_or(0)),
            length: Duration::from_millis(length),
        };
        Ok(rows.into_iter().map(cooldown).collect())
    }

    /// Sets one; where a longer one is set already, that stays.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn cool(&mut self, name: &str, length: Duration) -> Result<(), QueueError> {
        let mut script = self.scripts.cool.prepare_invoke();
        script.key(COOLDOWNS).arg(name).arg(millis(length));
        self.lane.run(Call::Script(&script)).await
    }

    /// Whether the caller may try now, for `turn`: its cooldown is over, and nobody else is trying.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn probe(&mut self, name: &str, turn: Duration) -> Result<bool, QueueError> {
        let mut script = self.scripts.probe.prepare_invoke();
        script.key(COOLDOWNS).arg(name).arg(millis(turn));
        self.lane.run(Call::Script(&script)).await
    }

    /// Lifts one.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn lift(&mut self, name: &str) -> Result<(), QueueError> {
        self.lane.run(Call::Command(redis::cmd("HDEL").arg(COOLDOWNS).arg(name))).await
    }
}
