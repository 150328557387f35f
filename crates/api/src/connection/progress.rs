use std::time::Duration;

use tokio::time::Instant;

/// The time after which a client that does nothing is given up, and over which its speed is measured.
pub(crate) const STALL: Duration = Duration::from_secs(30);

/// The slowest that a client may send a body, or read an answer: 8 KiB/s over [`STALL`].
const LEAST_BYTES: usize = 8 * 1024 * 30;

/// How a transfer goes on. Only time spent on waiting for the client counts, so that our own delays are not its fault.
///
/// After 30 s of waiting the transfer has stalled if it brought less than 240 KiB meanwhile; else the next 30 s begin with
/// the last byte. So both ends come to 30 s: no byte at all, and too few of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    waiting_since: Option<Instant>,
    waited: Duration,
    bytes: usize,
}

/// The client is too slow to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stalled;

impl Progress {
    /// Whether the last thing known is that it waits for the client.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// Notes that the client has sent or taken `bytes`.
    pub(crate) fn moved(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now - since;
        }
        self.bytes += bytes;
    }

    /// Notes that the client has to act before anything goes on; tells until when it has to.
    pub(crate) fn wait(&mut self, now: Instant) -> Result<Instant, Stalled> {
        let since = *self.waiting_since.get_or_insert(now);
        let deadline = since + STALL.saturating_sub(self.waited);
        if now < deadline {
            return Ok(deadline);
        }
        if self.bytes < LEAST_BYTES {
            return Err(Stalled);
        }
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        if now < since + STALL { Ok(since + STALL) } else { Err(Stalled) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The second in which a transfer stalls that brings `bytes` at the end of each second; none for two hours.
    fn stalls_after(bytes: usize) -> Option<u32> {
        let start = Instant::now();
        let mut progress = Progress::default();
        (0..7200).find(|second| {
            let now = start + SECOND * *second;
            progress.moved(bytes, now);
            // Asked when the wait begins, and just before it ends.
            progress.wait(now).is_err() || progress.wait(now + SECOND - SECOND / 1000).is_err()
        })
    }

    #[test]
    fn the_slowest_speed_is_8_kib_a_second() {
        assert_eq!(stalls_after(9 * 1024), None);
        assert!((29..=31).contains(&stalls_after(7 * 1024).unwrap()));
        assert!((29..=31).contains(&stalls_after(1).unwrap()));
    }

    #[test]
    fn silence_ends_30_s_after_the_last_byte_however_fast_it_was_before() {
        let start = Instant::now();
        let mut progress = Progress::default();
        progress.wait(start).unwrap();
        let last = start + 20 * SECOND;
        progress.moved(10 << 20, last);
        assert_eq!(progress.wait(last), Ok(start + 30 * SECOND));
        assert_eq!(progress.wait(start + 30 * SECOND), Ok(last + 30 * SECOND));
        assert_eq!(progress.wait(last + 30 * SECOND), Err(Stalled));
    }

    #[test]
    fn our_own_delays_do_not_count() {
        let start = Instant::now();
        let mut progress = Progress::default();
        for minute in 0..100 {
            let now = start + minute * 60 * SECOND;
            // Nothing was waited for in the minute before.
            progress.wait(now).unwrap();
            progress.moved(1, now + SECOND / 10);
        }
        assert!(!progress.is_waiting());
    }
}
