use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A larger difference between Redis's clock and ours, from one look to the next, is a step: NTP has set that clock, or a
/// failover has led to another machine.
const STEP: Duration = Duration::from_secs(1);

/// What one server's clock says, estimated from when it last told us: by our monotonic clock, so that a step of the clock of
/// this machine changes nothing.
#[derive(Debug, Default)]
pub(crate) struct RedisClock(Mutex<Option<Sample>>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    redis_ms: u64,
    at: Instant,
    /// When a step was last seen.
    stepped: Option<Instant>,
    /// Whether it may be another server's by now.
    is_stale: bool,
}

/// A sample is good for this long: clocks drift.
const FRESH: Duration = Duration::from_secs(30);

impl Sample {
    fn now_ms(&self) -> u64 {
        self.redis_ms.saturating_add(millis(self.at.elapsed()))
    }
}

impl RedisClock {
    /// Notes what Redis has answered to a call that was sent at `sent`. An answer that took long says little.
    pub(crate) fn note(&self, redis_ms: u64, sent: Instant) {
        let mut sample = self.lock();
        if sent.elapsed() > STEP / 2 && sample.is_some_and(|sample| !sample.is_stale) {
            return;
        }
        let stepped = match *sample {
            Some(before) if before.now_ms().abs_diff(redis_ms) > millis(STEP) => {
                tracing::warn!(
                    expected_ms = before.now_ms(),
                    redis_ms,
                    "the clock of Redis has stepped; nothing is reclaimed for a lease"
                );
                Some(Instant::now())
            }
            Some(before) => before.stepped,
            None => None,
        };
        *sample = Some(Sample { redis_ms, at: Instant::now(), stepped, is_stale: false });
    }

    /// What its clock says now, in milliseconds since the epoch; none where it is to be asked.
    pub(crate) fn now_ms(&self) -> Option<u64> {
        let sample = *self.lock();
        sample.filter(|sample| !sample.is_stale && sample.at.elapsed() < FRESH).map(|sample| sample.now_ms())
    }

    /// A new connection may lead to another server.
    pub(crate) fn may_be_another(&self) {
        if let Some(sample) = &mut *self.lock() {
            sample.is_stale = true;
        }
    }

    /// Whether its clock has stepped within this time.
    pub(crate) fn has_stepped_within(&self, time: Duration) -> bool {
        self.lock().and_then(|sample| sample.stepped).is_some_and(|at| at.elapsed() < time)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A duration as Redis takes it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// This machine's clock, for a start while Redis has not told its own.
pub(crate) fn our_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_by_itself_and_sees_steps_in_both_directions() {
        let clock = RedisClock::default();
        assert_eq!(clock.now_ms(), None);
        clock.note(1_000_000, Instant::now());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now_ms(), Some(1_002_000));
        clock.note(1_002_300, Instant::now());
        assert!(!clock.has_stepped_within(Duration::from_secs(60)), "300 ms are the network's");
        clock.note(1_012_300, Instant::now());
        assert!(clock.has_stepped_within(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!clock.has_stepped_within(Duration::from_secs(10)));
        clock.note(1_012_300, Instant::now());
        assert!(clock.has_stepped_within(Duration::from_secs(10)), "back by ten seconds");
        clock.may_be_another();
        assert_eq!(clock.now_ms(), None, "it is asked again");
        clock.note(9_000_000, Instant::now());
        assert!(clock.has_stepped_within(Duration::from_secs(10)), "the other server's differs");
        tokio::time::advance(FRESH).await;
        assert_eq!(clock.now_ms(), None, "clocks drift");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_look_and_a_clock_that_runs_as_ours_are_no_steps() {
        let clock = RedisClock::default();
        assert!(!clock.has_stepped_within(Duration::MAX));
        clock.note(5_000, Instant::now());
        for second in 1..100 {
            tokio::time::advance(Duration::from_secs(1)).await;
            // Each is a little late; it does not add up.
            clock.note(5_000 + second * 1_000 + second % 2 * 900, Instant::now());
        }
        assert!(!clock.has_stepped_within(Duration::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_followed_at_once_and_seen_once() {
        let clock = RedisClock::default();
        clock.note(1_000_000, Instant::now());
        clock.note(1_060_000, Instant::now());
        assert_eq!(clock.now_ms(), Some(1_060_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        clock.note(1_065_000, Instant::now());
        assert!(clock.has_stepped_within(Duration::from_millis(5_001)));
        assert!(
            !clock.has_stepped_within(Duration::from_secs(5)),
            "what agrees with the new time is no new step"
        );
    }
}
