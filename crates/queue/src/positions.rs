//! How many jobs wait before another.

use std::sync::Arc;
use std::time::Duration;

use hermod_types::{JobStatus, Shard, ShardCount};
use redis::Value;
use redis::streams::StreamInfoGroupsReply;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::connection::Call;
use crate::keys::{self, GROUP};
use crate::{JobRecord, KnownShards, QueueError, QueueSettings, Store};

/// Positions that are counted.
const COUNTED: usize = 1_000;
/// How long a snapshot is good.
const FRESH: Duration = Duration::from_millis(500);
/// A job that came after a snapshot is in the next one, which is taken no sooner than this after it.
const PAUSE: Duration = Duration::from_millis(100);
/// A poll waits no longer than this for a snapshot.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many jobs wait before one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// So many.
    Exactly(usize),
    /// More than so many.
    MoreThan(usize),
}

/// Tells positions. All that ask within half a second share one look at the head of the queue. Cheap to clone; one for the whole
/// process.
#[derive(Clone)]
pub struct Positions(Arc<Inner>);

struct Inner {
    store: Store,
    shards: ShardCount,
    known: KnownShards,
    snapshot: Mutex<Option<Snapshot>>,
}

/// The entries that waited at some time, the first of them at least.
struct Snapshot {
    taken: Instant,
    entries: Vec<Entry>,
}

/// An entry's id: milliseconds, and a number within them.
type Entry = (u64, u64);

impl Positions {
    /// Tells those of the queue in `store`.
    pub fn new(store: &Store, settings: &QueueSettings) -> Self {
        Self(Arc::new(Inner {
            store: store.clone(),
            shards: settings.shards,
            known: settings.known.clone(),
            snapshot: Mutex::default(),
        }))
    }

    /// The position of a job; none of one that does not wait in the queue, or of which it is not cheap to know: with several
    /// shards, while Redis is slow, and for a moment after the job has come. Jobs that a worker has just given back are not counted.
    pub async fn of(&self, record: &JobRecord) -> Option<Position> {
        let entry = record.entry.as_deref().filter(|_| record.status == JobStatus::Pending)?;
        let entry = parse(entry)?;
        let used = if self.0.store.may_have_shards() { self.0.known.used()? } else { ShardCount::ONE };
        if used.max(self.0.shards) > ShardCount::ONE {
            return None;
        }
        match timeout(PATIENCE, self.look(entry)).await {
            Ok(Ok(position)) => position,
            Ok(Err(error)) => {
                tracing::debug!(%error, "positions in the queue are not known");
                None
            }
            Err(_) => None,
        }
    }

    async fn look(&self, entry: Entry) -> Result<Option<Position>, QueueError> {
        // Whoever comes while a snapshot is taken waits for it.
        let mut current = self.0.snapshot.lock().await;
        if let Some(snapshot) = current.as_ref().filter(|snapshot| snapshot.is_good_for(entry)) {
            return Ok(snapshot.position(entry));
        }
        let taken = Instant::now();
        let entries = self.0.entries().await?;
        Ok(current.insert(Snapshot { taken, entries }).position(entry))
    }
}

impl Inner {
    async fn entries(&self) -> Result<Vec<Entry>, QueueError> {
        let (connection, queue) = (self.store.shared(), keys::queue(Shard::default()));
        let mut command = redis::cmd("XINFO");
        let groups = connection.run(Call::Command(command.arg("GROUPS").arg(&queue))).await;
        let groups: StreamInfoGroupsReply = match groups {
            // There is no queue yet.
            Err(QueueError::Unexpected(text)) if text.contains("no such key") => return Ok(Vec::new()),
            groups => groups?,
        };
        let given = groups.groups.into_iter().find(|group| group.name == GROUP);
        let given = given.map_or_else(|| "0-0".to_owned(), |group| group.last_delivered_id);
        let mut command = redis::cmd("XRANGE");
        command.arg(&queue).arg(format!("({given}")).arg("+").arg("COUNT").arg(COUNTED + 1);
        let rows: Vec<(String, Value)> = connection.run(Call::Command(&command)).await?;
        Ok(rows.iter().filter_map(|(entry, _)| parse(entry)).collect())
    }
}

impl Snapshot {
    fn is_good_for(&self, entry: Entry) -> bool {
        let is_newer = self.entries.len() <= COUNTED && self.entries.last().is_none_or(|last| entry > *last);
        self.taken.elapsed() < if is_newer { PAUSE } else { FRESH }
    }

    fn position(&self, entry: Entry) -> Option<Position> {
        match self.entries.binary_search(&entry) {
            Ok(position) => Some(Position::Exactly(position)),
            Err(position) if position > COUNTED => Some(Position::MoreThan(COUNTED)),
            // It has been given to a worker meanwhile, or came after the snapshot.
            Err(_) => None,
        }
    }
}

fn parse(entry: &str) -> Option<Entry> {
    let (ms, number) = entry.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(entries: usize) -> Snapshot {
        let entries = (0..entries).map(|number| (7, u64::try_from(2 * number).unwrap())).collect();
        Snapshot { taken: Instant::now(), entries }
    }

    #[tokio::test(start_paused = true)]
    async fn a_position_is_exact_up_to_a_thousand() {
        let full = snapshot(COUNTED + 1);
        for (entry, position) in [
            ((7, 0), Some(Position::Exactly(0))),
            ((7, 2000), Some(Position::Exactly(1000))),
            ((7, 2001), Some(Position::MoreThan(1000))),
            ((8, 0), Some(Position::MoreThan(1000))),
            ((7, 1), None),
            ((6, 0), None),
        ] {
            assert_eq!(full.position(entry), position, "{entry:?}");
        }
        assert_eq!(snapshot(COUNTED).position((8, 0)), None, "it came later");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_came_later_is_in_the_next_snapshot() {
        let (whole, full) = (snapshot(3), snapshot(COUNTED + 1));
        assert!(whole.is_good_for((7, 9)), "it was taken just now");
        tokio::time::advance(PAUSE).await;
        assert!(!whole.is_good_for((7, 9)) && whole.is_good_for((7, 2)) && full.is_good_for((8, 0)));
        tokio::time::advance(FRESH).await;
        assert!(!whole.is_good_for((7, 2)) && !full.is_good_for((8, 0)));
    }
}
