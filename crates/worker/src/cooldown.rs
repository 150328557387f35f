//! What this worker knows of targets that are to be left alone for a while, shared with the others through Redis.
//!
//! A running job waits for Redis in one case only: when it asks whether it may probe a target, and then for a short time.
//! All else is sent in the background.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hermod_providers::{CallError, Key, Verdict};
use hermod_queue::{Cooldown, QueueError, SharedCooldowns, Store};
use hermod_types::Target;
use lru::LruCache;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

/// Failures in a row, of this worker's calls, after which a target cools down.
const RUN_OF_FAILURES: u32 = 5;
/// How long it then does; doubled each time that a probe fails, up to the longest.
const LENGTH_INITIAL: Duration = Duration::from_secs(10);
const LENGTH_MAX: Duration = Duration::from_secs(120);
/// The longest that a provider's own wish is followed before a probe.
const LONGEST_WISH: Duration = Duration::from_secs(600);
/// A cooldown is set again only if it would end later by more than this: a storm of 429s says one thing.
const NOTABLY_LONGER: Duration = Duration::from_secs(2);
/// How long a probe has the turn, should its worker die.
const PROBE_TURN: Duration = Duration::from_secs(30);
/// How long after a probe that was another's turn the next is asked for.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest that a job waits to learn whether it may probe.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);
/// Names that are kept: clients choose the models, so their number is bounded here. The least recently used go first.
const MOST_NAMES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// The longest name that is kept, in bytes. A target has up to 256, the name of a key is the operator's.
const LONGEST_NAME: usize = 512;
/// Messages that may wait for Redis. What comes beyond is not shared.
const MOST_WAITING: usize = 256;

/// The cooldowns of (provider, model, key).
pub(crate) struct Cooldowns {
    board: mpsc::Sender<Message>,
    local: Mutex<Local>,
}

/// What the one task that talks to Redis is told.
enum Message {
    All(oneshot::Sender<Result<Vec<Cooldown>, QueueError>>),
    Cool { name: String, length: Duration },
    Probe { name: String, won: oneshot::Sender<bool> },
    Lift { name: String },
}

struct Local {
    known: LruCache<String, Known>,
    /// Failures since the last success.
    failures: LruCache<String, u32>,
}

#[derive(Clone, Copy)]
struct Known {
    until: Instant,
    length: Duration,
    next_probe: Instant,
    /// When this worker has set it, or has asked Redis for it.
    noted: Instant,
}

impl Default for Local {
    fn default() -> Self {
        Self { known: LruCache::new(MOST_NAMES), failures: LruCache::new(MOST_NAMES) }
    }
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
    /// Those in `store`. A task of `tasks` talks to it, and ends with what is returned.
    pub(crate) fn new(store: &Store, tasks: &TaskTracker) -> Self {
        let (board, messages) = mpsc::channel(MOST_WAITING);
        tasks.spawn(serve(SharedCooldowns::new(store), messages));
        Self { board, local: Mutex::default() }
    }

    /// Learns what all workers know.
    pub(crate) async fn refresh(&self) -> Result<(), QueueError> {
        let asked = Instant::now();
        let (answer, all) = oneshot::channel();
        if self.board.send(Message::All(answer)).await.is_err() {
            return Ok(());
        }
        let Ok(all) = all.await else { return Ok(()) };
        self.lock().learn(all?, asked);
        Ok(())
    }

    /// Whether `target` may be called with `key` now. Where its cooldown is over, one at a time is told [`Gate::Due`], and is to
    /// make the call; the others are told that it is closed.
    pub(crate) async fn pass(&self, target: &Target, key: &Key) -> Gate {
        let Some(name) = self.name_if_known(target, key) else { return Gate::Open };
        let gate = self.lock().claim_probe(&name);
        if gate != Gate::Due {
            return gate;
        }
        let (answer, won) = oneshot::channel();
        self.tell(Message::Probe { name, won: answer });
        match timeout(PROBE_PATIENCE, won).await {
            Ok(Ok(false)) => Gate::Closed,
            // Without Redis nobody can share anything: each worker probes by itself.
            Ok(Ok(true) | Err(_)) | Err(_) => Gate::Due,
        }
    }

    /// Whether nothing is held against `target` with `key`.
    pub(crate) fn is_open(&self, target: &Target, key: &Key) -> bool {
        self.name_if_known(target, key).is_none_or(|name| self.lock().gate(&name) == Gate::Open)
    }

    /// A call has succeeded: whatever was held against the target is lifted.
    pub(crate) fn succeeded(&self, target: &Target, key: &Key) {
        let Some(name) = self.name_if_known(target, key) else { return };
        if self.lock().forget(&name) {
            tracing::info!(target = name, "answers again; its cooldown is lifted");
            self.tell(Message::Lift { name });
        }
    }

    /// A call has failed.
    pub(crate) fn failed(&self, target: &Target, key: &Key, error: &CallError) {
        let wish = match error.verdict {
            Verdict::Retry { after, .. } => after.filter(|after| !after.is_zero()),
            Verdict::NextKey | Verdict::NextTarget | Verdict::Fail => None,
        };
        let name = name(target, key);
        if !error.blames_target || name.len() > LONGEST_NAME {
            return;
        }
        let Some(length) = self.lock().note_failure(&name, wish) else { return };
        tracing::warn!(target = name, seconds = length.as_secs(), %error, "cools down");
        metrics::counter!("hermod_cooldowns_total", "provider" => target.provider().to_owned()).increment(1);
        self.tell(Message::Cool { name, length });
    }

    fn tell(&self, message: Message) {
        if self.board.try_send(message).is_err() {
            tracing::debug!("a cooldown is not shared with the other workers: too much waits for Redis");
        }
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

impl Local {
    /// Replaces what was known when `asked`. What was found out since may not be among it yet.
    fn learn(&mut self, all: Vec<Cooldown>, asked: Instant) {
        let now = Instant::now();
        let mut known = LruCache::new(MOST_NAMES);
        for cooldown in all.into_iter().filter(|cooldown| cooldown.name.len() <= LONGEST_NAME) {
            let next_probe = self.known.peek(&cooldown.name).map_or(now, |known| known.next_probe);
            let until = now + cooldown.left;
            known.put(cooldown.name, Known { until, length: cooldown.length, next_probe, noted: asked });
        }
        for (name, entry) in self.known.iter().filter(|(_, entry)| entry.noted > asked) {
            known.put(name.clone(), *entry);
        }
        self.known = known;
        metrics::gauge!("hermod_cooldowns")
            .set(f64::from(u32::try_from(self.known.len()).unwrap_or(u32::MAX)));
    }

    fn gate(&mut self, name: &str) -> Gate {
        let now = Instant::now();
        match self.known.get(name) {
            None => Gate::Open,
            Some(known) if now < known.until || now < known.next_probe => Gate::Closed,
            Some(_) => Gate::Due,
        }
    }

    /// The same. Of those that are told [`Gate::Due`], there is one in each [`PROBE_INTERVAL`].
    fn claim_probe(&mut self, name: &str) -> Gate {
        let gate = self.gate(name);
        if gate == Gate::Due
            && let Some(known) = self.known.get_mut(name)
        {
            known.next_probe = Instant::now() + PROBE_INTERVAL;
        }
        gate
    }

    /// Whether there was a cooldown.
    fn forget(&mut self, name: &str) -> bool {
        self.failures.pop(name);
        self.known.pop(name).is_some()
    }

    /// How long the target is to cool down after one more failure, if that says something new.
    fn note_failure(&mut self, name: &str, wish: Option<Duration>) -> Option<Duration> {
        let now = Instant::now();
        let before = self.known.get(name).copied();
        let length = match (wish.map(|wish| wish.min(LONGEST_WISH)), before) {
            (Some(wish), Some(known)) if now + wish <= known.until + NOTABLY_LONGER => return None,
            (Some(wish), _) => wish,
            // It was tried for want of another.
            (None, Some(known)) if now < known.until => return None,
            (None, Some(known)) => (known.length * 2).clamp(LENGTH_INITIAL, LENGTH_MAX),
            (None, None) => {
                let failures = self.failures.get_or_insert_mut(name.to_owned(), || 0);
                *failures += 1;
                if *failures < RUN_OF_FAILURES {
                    return None;
                }
                LENGTH_INITIAL
            }
        };
        self.failures.pop(name);
        let until = before.map_or(now, |known| known.until).max(now + length);
        self.known.put(name.to_owned(), Known { until, length, next_probe: until, noted: now });
        Some(length)
    }
}

/// Talks to Redis for all jobs, one call at a time, until nobody is left to send a message.
async fn serve(board: SharedCooldowns, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        let outcome = match message {
            // Whoever has asked may have given up.
            Message::All(answer) => answer.send(board.all().await).or(Ok(())),
            Message::Cool { name, length } => board.cool(&name, length).await,
            Message::Probe { name, won } if won.is_closed() => {
                tracing::trace!(target = name, "nobody waits for this probe any more");
                Ok(())
            }
            Message::Probe { name, won } => match board.probe(&name, PROBE_TURN).await {
                Ok(has_won) => won.send(has_won).or(Ok(())),
                Err(error) => Err(error),
            },
            Message::Lift { name } => board.lift(&name).await.map(drop),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "cooldown not shared with the other workers");
        }
    }
}

fn name(target: &Target, key: &Key) -> String {
    format!("{target} {}", key.name().unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use hermod_providers::Providers;
    use hermod_types::config::Models;
    use hermod_types::{Config, ErrorCode, ErrorDetail};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_the_same_wish_says_one_thing() {
        let mut local = Local::default();
        assert_eq!(local.note_failure("a", Some(30 * SECOND)), Some(30 * SECOND));
        for _ in 0..100 {
            assert_eq!(local.note_failure("a", Some(30 * SECOND)), None);
        }
        assert_eq!(local.note_failure("a", Some(60 * SECOND)), Some(60 * SECOND), "notably longer");
        tokio::time::advance(61 * SECOND).await;
        assert_eq!(local.claim_probe("a"), Gate::Due);
        assert_eq!(local.claim_probe("a"), Gate::Closed, "one probe at a time");
        assert_eq!(local.note_failure("a", Some(30 * SECOND)), Some(30 * SECOND), "the probe has failed");
        assert!(local.forget("a") && !local.forget("a"));
        assert_eq!(local.gate("a"), Gate::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_of_failures_doubles_its_cooldown_at_each_failed_probe() {
        let mut local = Local::default();
        for _ in 1..RUN_OF_FAILURES {
            assert_eq!(local.note_failure("a", None), None);
        }
        for length in [10, 20, 40, 80, 120, 120] {
            assert_eq!(local.note_failure("a", None), Some(length * SECOND));
            assert_eq!(local.note_failure("a", None), None, "it was tried for want of another");
            tokio::time::advance(length * SECOND).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn names_beyond_the_most_push_out_the_least_recently_used() {
        let mut local = Local::default();
        for name in ["used", "unused"] {
            local.note_failure(name, Some(30 * SECOND));
            local.note_failure(&format!("{name} and failing"), None);
        }
        for number in 0..MOST_NAMES.get() - 1 {
            assert_eq!(local.gate("used"), Gate::Closed);
            local.note_failure(&number.to_string(), Some(SECOND));
            local.note_failure(&format!("{number} and failing"), None);
            local.note_failure("used and failing", None);
        }
        assert_eq!((local.gate("used"), local.gate("unused")), (Gate::Closed, Gate::Open));
        assert_eq!(local.failures.len(), MOST_NAMES.get());
        let many = |number: usize| Cooldown { name: number.to_string(), left: SECOND, length: SECOND };
        let long = Cooldown { name: "x".repeat(LONGEST_NAME + 1), left: SECOND, length: SECOND };
        tokio::time::advance(SECOND).await;
        let asked = Instant::now();
        tokio::time::advance(SECOND).await;
        local.note_failure("new", Some(30 * SECOND));
        local.learn((0..5000).map(many).chain([long]).collect(), asked);
        assert_eq!(local.known.len(), MOST_NAMES.get());
        assert_eq!((local.gate("4999"), local.gate("new")), (Gate::Closed, Gate::Closed));
        assert_eq!(local.gate("used"), Gate::Open, "lifted by another worker");
    }

    /// Time is paused, and goes on when all wait: only the waits count.
    #[tokio::test(start_paused = true)]
    async fn a_job_hardly_waits_for_a_redis_that_hangs() {
        // It is connected to, and says nothing.
        let redis = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", redis.local_addr().unwrap()).parse().unwrap();
        let cooldowns = Cooldowns::new(&Store::new(&url).unwrap(), &TaskTracker::new());
        let config = r#"{"providers":{"openai":{"keys":[{"name":"one","value":"sk-x"}]}}}"#;
        let providers = Providers::new(&Config::from_json(config, &|_| None).unwrap()).unwrap();
        let target: Target = "openai/m".parse().unwrap();
        let key = *providers.keys(&target, &Models::All).unwrap().first().unwrap();
        let error = CallError {
            code: ErrorCode::UpstreamError,
            status: 429,
            detail: Box::new(ErrorDetail::default()),
            verdict: Verdict::Retry { after: Some(SECOND), another_key: true },
            blames_target: true,
            may_be_billed: false,
        };
        let begun = Instant::now();
        cooldowns.failed(&target, key, &error);
        assert_eq!(cooldowns.pass(&target, key).await, Gate::Closed);
        assert_eq!(begun.elapsed(), Duration::ZERO, "setting one takes no time");
        tokio::time::advance(2 * SECOND).await;
        let begun = Instant::now();
        assert_eq!(cooldowns.pass(&target, key).await, Gate::Due, "each worker probes by itself");
        assert!(begun.elapsed() <= PROBE_PATIENCE + Duration::from_millis(10), "{:?}", begun.elapsed());
        let begun = Instant::now();
        cooldowns.succeeded(&target, key);
        assert_eq!(cooldowns.pass(&target, key).await, Gate::Open);
        assert_eq!(begun.elapsed(), Duration::ZERO, "nor does lifting it");
    }
}
