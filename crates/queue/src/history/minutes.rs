use std::collections::BTreeMap;

use hermod_types::{Shard, ShardCount};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::script::{self, SCRIPTS};
use crate::{Admin, QueueError, keys};

/// How many minutes are kept: a day.
pub const HISTORY_MINUTES: u32 = 24 * 60;
/// Latest ends that are kept, in all shards together.
const MOST_RECENT: usize = 10_000;

/// What became of jobs in one minute, in all shards. A job that was queued again after it was given up on ends twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// When it began, in seconds since the epoch, by Redis's clock.
    pub at: u64,
    pub accepted: u64,
    /// Jobs that have ended with a result.
    pub completed: u64,
    /// Jobs that have ended with an error, less those that were cancelled.
    pub failed: u64,
    pub cancelled: u64,
}

impl Minute {
    /// Jobs that have ended, however.
    pub const fn ended(&self) -> u64 {
        self.completed + self.failed + self.cancelled
    }
}

#[derive(Serialize)]
struct MinutesArgs {
    minutes: u32,
}

#[derive(Deserialize)]
struct Row {
    minute: u64,
    /// Minute, what, and how many.
    counts: Vec<(u64, String, u64)>,
}

#[derive(Serialize)]
struct FoldArgs {
    most: usize,
}

/// Counts the ends of a shard that are noted, and forgets the oldest of the latest ones.
pub(crate) async fn fold(
    connection: &Connection,
    shard: Shard,
    shards: ShardCount,
) -> Result<(), QueueError> {
    let args = FoldArgs { most: MOST_RECENT / usize::from(shards.get()) };
    script::run::<u64>(connection, &SCRIPTS.history_fold, &keys::queue(shard), &args).await.map(drop)
}

impl Admin {
    /// The last `span_minutes`, up to [`HISTORY_MINUTES`], the oldest first, the present one last; each is there, be it empty.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn minutes(&self, span_minutes: u32) -> Result<Vec<Minute>, QueueError> {
        let span = span_minutes.clamp(1, HISTORY_MINUTES);
        let rows: Vec<Row> =
            self.on_all_shards(&SCRIPTS.history_minutes, &MinutesArgs { minutes: span }).await?;
        Ok(sum(&rows, span))
    }
}

/// The servers of a Cluster need not agree about the time: the latest minute is the last one.
fn sum(rows: &[Row], span: u32) -> Vec<Minute> {
    let last = rows.iter().map(|row| row.minute).max().unwrap_or_default();
    let first = (last + 1).saturating_sub(span.into());
    let empty = |minute: u64| (minute, Minute { at: minute * 60, ..Minute::default() });
    let mut minutes: BTreeMap<u64, Minute> = (first..=last).map(empty).collect();
    for (minute, what, number) in rows.iter().flat_map(|row| &row.counts) {
        let Some(minute) = minutes.get_mut(minute) else { continue };
        match what.as_str() {
            "a" => minute.accepted += number,
            "c" => minute.completed += number,
            "f" => minute.failed += number,
            "x" => minute.cancelled += number,
            _ => {}
        }
    }
    minutes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_summed_and_no_minute_is_missing() {
        let count = |minute, what: &str, number| (minute, what.to_owned(), number);
        let rows = [
            Row { minute: 101, counts: vec![count(99, "a", 2), count(101, "c", 1), count(98, "a", 7)] },
            Row {
                minute: 100,
                counts: vec![count(99, "a", 3), count(99, "f", 1), count(99, "x", 4), count(99, "?", 1)],
            },
        ];
        let minutes = sum(&rows, 3);
        assert_eq!(minutes.iter().map(|minute| minute.at).collect::<Vec<_>>(), [99 * 60, 100 * 60, 101 * 60]);
        assert_eq!(minutes[0], Minute { at: 99 * 60, accepted: 5, completed: 0, failed: 1, cancelled: 4 });
        assert_eq!((minutes[0].ended(), minutes[1].ended(), minutes[2].ended()), (5, 0, 1));
    }
}
