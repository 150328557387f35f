//! What this worker knows of targets that are to be left alone for a while, shared with the others through Redis.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hermod_providers::{CallError, Key, Verdict};
use hermod_queue::{QueueError, SharedCooldowns, Store};
use hermod_types::Target;
use tokio::time::Instant;

/// Failures in a row, of this worker's calls, after which a target cools down.
const RUN_OF_FAILURES: u32 = 5;
/// How long it then does; doubled each time that a probe fails, up to the longest.
const LENGTH_INITIAL: Duration = Duration::from_secs(10);
const LENGTH_MAX: Duration = Duration::from_secs(120);
/// The longest that a provider's own wish is followed before a probe.
const LONGEST_WISH: Duration = Duration::from_secs(600);
/// How long a probe has the turn, should its worker die.
const TURN: Duration = Duration::from_secs(30);
/// How long after a probe that was another's turn the next is asked for.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Names that are kept: clients choose the models, so their number is bounded here.
const MOST_NAMES: usize = 1000;

/// The cooldowns of (provider, model, key).
pub(crate) struct Cooldowns {
    board: SharedCooldowns,
    local: Mutex<Local>,
}

#[derive(Default)]
struct Local {
    known: HashMap<String, Known>,
    /// Failures since the last success.
    failures: HashMap<String, u32>,
}

struct Known {
    until: Instant,
    length: Duration,
    next_probe: Instant,
}

/// Whether a target may be called with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nothing is held against it.
    Open,
    /// It cools down.
    Closed,
    /// Its cooldown is over; one call may try whether it can be lifted.
    Due,
}

impl Cooldowns {
    pub(crate) fn new(store: &Store) -> Self {
        Self { board: SharedCooldowns::new(store), local: Mutex::default() }
    }

    /// Learns what all workers know.
    pub(crate) async fn refresh(&self) -> Result<(), QueueError> {
        let all = self.board.all().await?;
        let now = Instant::now();
        let mut local = self.lock();
        let mut known = HashMap::with_capacity(all.len());
        for cooldown in all {
            let next_probe = local.known.get(&cooldown.name).map_or(now, |known| known.next_probe);
            let entry = Known { until: now + cooldown.left, length: cooldown.length, next_probe };
            known.insert(cooldown.name, entry);
        }
        local.known = known;
        metrics::gauge!("hermod_cooldowns")
            .set(f64::from(u32::try_from(local.known.len()).unwrap_or(u32::MAX)));
        Ok(())
    }

    /// Whether `target` may be called with `key` now. Where its cooldown is over, one at a time is told [`Gate::Due`], and is to
    /// make the call; the others are told that it is closed.
    pub(crate) async fn pass(&self, target: &Target, key: &Key) -> Gate {
        let Some(name) = self.name_if_known(target, key) else { return Gate::Open };
        match self.gate(&name) {
            gate @ (Gate::Open | Gate::Closed) => gate,
            Gate::Due => {
                // Without Redis nobody can share anything.
                let won = self.board.probe(&name, TURN).await.unwrap_or(true);
                if !won && let Some(known) = self.lock().known.get_mut(&name) {
                    known.next_probe = Instant::now() + PROBE_INTERVAL;
                }
                if won { Gate::Due } else { Gate::Closed }
            }
        }
    }

    /// Whether nothing is held against `target` with `key`.
    pub(crate) fn is_open(&self, target: &Target, key: &Key) -> bool {
        self.name_if_known(target, key).is_none_or(|name| self.gate(&name) == Gate::Open)
    }

    fn gate(&self, name: &str) -> Gate {
        let now = Instant::now();
        match self.lock().known.get(name) {
            None => Gate::Open,
            Some(known) if now < known.until || now < known.next_probe => Gate::Closed,
            Some(_) => Gate::Due,
        }
    }

    /// A call has succeeded: whatever was held against the target is lifted.
    pub(crate) async fn succeeded(&self, target: &Target, key: &Key) {
        let Some(name) = self.name_if_known(target, key) else { return };
        let was_cooling = {
            let mut local = self.lock();
            local.failures.remove(&name);
            local.known.remove(&name).is_some()
        };
        if was_cooling {
            tracing::info!(target = name, "answers again; its cooldown is lifted");
            if let Err(error) = self.board.lift(&name).await {
                tracing::debug!(%error, "cooldown not lifted for the other workers");
            }
        }
    }

    /// A call has failed.
    pub(crate) async fn failed(&self, target: &Target, key: &Key, error: &CallError) {
        let wish = match error.verdict {
            Verdict::Retry { after, .. } => after.filter(|after| !after.is_zero()),
            Verdict::NextKey | Verdict::NextTarget | Verdict::Fail => None,
        };
        if !error.blames_target {
            return;
        }
        let name = name(target, key);
        let Some(length) = self.note_failure(&name, wish) else { return };
        tracing::warn!(target = name, seconds = length.as_secs(), %error, "cools down");
        metrics::counter!("hermod_cooldowns_total", "provider" => target.provider().to_owned()).increment(1);
        if let Err(error) = self.board.cool(&name, length).await {
            tracing::debug!(%error, "cooldown not shared with the other workers");
        }
    }

    /// How long the target is to cool down after one more failure, if it is.
    fn note_failure(&self, name: &str, wish: Option<Duration>) -> Option<Duration> {
        let now = Instant::now();
        let mut local = self.lock();
        let before = local.known.get(name).map(|known| (known.until, known.length));
        let length = match (wish, before) {
            (Some(wish), _) => wish.min(LONGEST_WISH),
            // It was tried for want of another.
            (None, Some((until, _))) if now < until => return None,
            (None, Some((_, length))) => (length * 2).clamp(LENGTH_INITIAL, LENGTH_MAX),
            (None, None) => {
                if local.failures.len() >= MOST_NAMES {
                    local.failures.clear();
                }
                let failures = local.failures.entry(name.to_owned()).or_default();
                *failures += 1;
                if *failures < RUN_OF_FAILURES {
                    return None;
                }
                LENGTH_INITIAL
            }
        };
        local.failures.remove(name);
        if before.is_none() && local.known.len() >= MOST_NAMES {
            return None;
        }
        let until = before.map_or(now, |(until, _)| until).max(now + length);
        local.known.insert(name.to_owned(), Known { until, length, next_probe: until });
        Some(length)
    }

    /// The name, unless nothing is held against anyone: the usual case, which costs nothing.
    fn name_if_known(&self, target: &Target, key: &Key) -> Option<String> {
        let quiet = {
            let local = self.lock();
            local.known.is_empty() && local.failures.is_empty()
        };
        (!quiet).then(|| name(target, key))
    }

    fn lock(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(target: &Target, key: &Key) -> String {
    format!("{target} {}", key.name().unwrap_or("-"))
}
