use std::collections::BTreeMap;
use std::time::Duration;

use hermod_types::Shard;
use serde::Serialize;

use crate::script::{self, SCRIPTS};
use crate::{QueueError, Store, keys};

/// Buckets in which a duration doubles: the quantiles are exact to a tenth.
const PER_DOUBLING: f64 = 4.0;
/// The number of the last bucket, which has all that took longer than about 18 minutes.
const LAST: u32 = 80;

/// What calls to one model have come to, since it was last flushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallsOf {
    errors: u64,
    /// How many took how long, by the number of the bucket.
    took: BTreeMap<u32, u64>,
}

impl CallsOf {
    /// Adds a call.
    pub fn add(&mut self, took: Duration, succeeded: bool) {
        *self.took.entry(bucket(took)).or_default() += 1;
        self.errors += u64::from(!succeeded);
    }

    /// Adds other calls.
    pub fn merge(&mut self, other: Self) {
        for (bucket, number) in other.took {
            *self.took.entry(bucket).or_default() += number;
        }
        self.errors += other.errors;
    }
}

/// The bucket of a duration: the one from 1 ms on is 0, those below are with it.
fn bucket(took: Duration) -> u32 {
    let exact = (took.as_secs_f64() * 1000.0).max(1.0).log2() * PER_DOUBLING;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
    let number = exact.clamp(0.0, f64::from(LAST)) as u32;
    number
}

/// The middle of a bucket, in milliseconds.
pub(super) fn middle_ms(bucket: u32) -> u64 {
    let middle = ((f64::from(bucket.min(LAST)) + 0.5) / PER_DOUBLING).exp2();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 20 bits at most")]
    let rounded = middle.round() as u64;
    rounded
}

/// What calls to providers have come to, as workers add to it. Cheap to clone.
#[derive(Clone)]
pub struct CallFigures {
    store: Store,
}

#[derive(Serialize)]
struct CallsArgs {
    calls: Vec<CallArgs>,
}

#[derive(Serialize)]
struct CallArgs {
    name: String,
    errors: u64,
    took: Vec<(u32, u64)>,
}

impl CallFigures {
    /// Those in `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }

    /// Adds calls, by provider and model. It is sent once.
    ///
    /// # Errors
    /// If Redis does not answer; it may have added them all the same.
    pub async fn add(&self, calls: &BTreeMap<(String, String), CallsOf>) -> Result<(), QueueError> {
        let args = |((provider, model), calls): (&(String, String), &CallsOf)| CallArgs {
            name: format!("{provider}\n{}", model.replace('\n', " ")),
            errors: calls.errors,
            took: calls.took.iter().map(|(bucket, number)| (*bucket, *number)).collect(),
        };
        let args = CallsArgs { calls: calls.iter().map(args).collect() };
        let queue = keys::queue(Shard::default());
        let _added: bool =
            script::run_once(self.store.shared(), &SCRIPTS.history_calls, &queue, &args).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_tells_a_duration_to_a_tenth() {
        for ms in [1, 2, 3, 7, 19, 100, 101, 999, 5_000, 61_000, 600_000] {
            let middle = f64::from(u32::try_from(middle_ms(bucket(Duration::from_millis(ms)))).unwrap());
            let exact = f64::from(u32::try_from(ms).unwrap());
            assert!((middle - exact).abs() <= 0.5 + 0.1 * exact, "{middle} for {exact}");
        }
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), LAST);
    }
}
