use std::time::Duration;

/// Waits that double up to the longest, each × 0.8–1.2, so that processes that lost Redis together do not come back
/// together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    initial: Duration,
    longest: Duration,
}

impl Backoff {
    /// From `initial` to `longest`.
    pub const fn new(initial: Duration, longest: Duration) -> Self {
        Self { initial, longest }
    }

    /// The wait after so many earlier failures in a row.
    pub fn wait(&self, failures: u32) -> Duration {
        let doubled = self.initial.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
        doubled.min(self.longest).mul_f64(0.8 + 0.4 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_with_jitter() {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        for (failures, about) in [(0, 50), (1, 100), (2, 200), (9, 1000), (40, 1000)] {
            let wait = backoff.wait(failures).as_millis();
            assert!((about * 79 / 100..=about * 121 / 100).contains(&wait), "{failures}: {wait}");
        }
    }
}
