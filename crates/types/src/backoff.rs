use std::time::Duration;

/// Waits between tries: min(initial × 2ⁿ, max) × 0.8–1.2. The formula is Bifrost's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
}

impl Backoff {
    /// Begins with about `initial`; no wait is longer than 1.2 × `max`.
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max }
    }

    /// The wait before retry `n`, counted from 0.
    pub fn wait(&self, n: u32) -> Duration {
        let doubled = self.initial.saturating_mul(2_u32.saturating_pow(n));
        doubled.min(self.max).mul_f64(0.8 + 0.4 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
        for (n, millis) in [(0, 500), (1, 1000), (3, 4000), (4, 5000), (60, 5000), (u32::MAX, 5000)] {
            let wait = backoff.wait(n).as_millis();
            assert!((millis * 8 / 10..=millis * 12 / 10).contains(&wait), "{n}: {wait}");
        }
    }
}
