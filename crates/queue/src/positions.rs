//! How many jobs wait before another.

use std::sync::Arc;
use std::time::Duration;

use hermod_types::{JobStatus, Shard, ShardCount};
use redis::streams::StreamInfoGroupsReply;
use redis::{Pipeline, Value};
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

/// What waited at some time: the first entries at least, and the lanes that are next.
struct Snapshot {
    taken: Instant,
    entries: Vec<Entry>,
    /// Whether they are one of the lanes.
    is_lane: bool,
    lanes: Vec<OpenLane>,
}

/// A lane whose jobs may be started.
#[derive(Clone, Debug)]
struct OpenLane {
    name: String,
    /// The lane with the lowest is next; each start adds 1 / weight.
    time: f64,
    weight: f64,
    jobs: f64,
}

impl OpenLane {
    /// Whether its jobs are those in the stream.
    fn is_stream(&self) -> bool {
        self.name.ends_with('\n')
    }

    /// Whether they are being moved elsewhere, as their owner's limits are closed.
    fn is_moving(&self) -> bool {
        self.name.ends_with("\n\n")
    }
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

    /// The position of a job; none of one that does not wait in the queue, or waits for a limit, or of which it is not cheap to
    /// know: with several shards, while Redis is slow, and for a moment after the job has come. Jobs that a worker has just given
    /// back are not counted. Behind jobs of other owners it is what their shares make of it, if nobody else comes.
    pub async fn of(&self, record: &JobRecord) -> Option<Position> {
        if record.status != JobStatus::Pending {
            return None;
        }
        let entry = match record.entry.as_deref() {
            Some(entry) => Some(parse(entry)?),
            None => None,
        };
        let used = if self.0.store.may_have_shards() { self.0.known.used()? } else { ShardCount::ONE };
        if used.max(self.0.shards) > ShardCount::ONE {
            return None;
        }
        let look = async {
            match entry {
                Some(entry) => self.look(entry).await,
                None => self.look_into_lane(record).await,
            }
        };
        match timeout(PATIENCE, look).await {
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
        Ok(current.insert(self.0.snapshot().await?).position(entry))
    }

    async fn look_into_lane(&self, record: &JobRecord) -> Result<Option<Position>, QueueError> {
        let lane = record.lane();
        let mut rank = redis::cmd("ZRANK");
        rank.arg(keys::lane(Shard::default(), &lane)).arg(record.id.to_string());
        // One that is delayed is in none.
        let rank: Option<usize> = self.0.store.shared().run(Call::Command(&rank)).await?;
        let Some(rank) = rank else { return Ok(None) };
        let mut current = self.0.snapshot.lock().await;
        if let Some(snapshot) = current.as_ref().filter(|snapshot| snapshot.knows(&lane)) {
            return Ok(snapshot.position_in_lane(&lane, rank));
        }
        Ok(current.insert(self.0.snapshot().await?).position_in_lane(&lane, rank))
    }
}

impl Inner {
    async fn snapshot(&self) -> Result<Snapshot, QueueError> {
        let taken = Instant::now();
        let (entries, mut lanes) = (self.entries().await?, self.lanes().await?);
        let stream = lanes.iter_mut().find(|lane| lane.is_stream());
        let is_lane = stream.is_some();
        if let Some(stream) = stream.filter(|stream| !stream.is_moving()) {
            stream.jobs = u32::try_from(entries.len()).map_or(f64::MAX, f64::from);
        }
        Ok(Snapshot { taken, entries, is_lane, lanes })
    }

    /// The lanes that are next, one more than positions are counted at most.
    async fn lanes(&self) -> Result<Vec<OpenLane>, QueueError> {
        let (connection, shard) = (self.store.shared(), Shard::default());
        let mut command = redis::cmd("ZRANGE");
        command.arg(keys::lanes(shard)).arg(0).arg(COUNTED).arg("WITHSCORES");
        let times: Vec<(String, f64)> = connection.run(Call::Command(&command)).await?;
        if times.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(2 * times.len());
        for (lane, _) in &times {
            pipeline.cmd("HGET").arg(keys::weights(shard)).arg(lane);
            pipeline.cmd("ZCARD").arg(keys::lane(shard, lane));
        }
        let rows: Vec<Value> = connection.run(Call::Pipeline(&pipeline)).await?;
        let lanes = times.into_iter().zip(rows.chunks(2)).map(|((name, time), row)| {
            let text = |value: &Value| redis::from_redis_value_ref::<Option<String>>(value).ok().flatten();
            let weight = row.first().and_then(text).and_then(|text| text.split(' ').next()?.parse().ok());
            let jobs = row.get(1).and_then(text).and_then(|jobs| jobs.parse().ok());
            OpenLane { name, time, weight: weight.unwrap_or(1.0), jobs: jobs.unwrap_or_default() }
        });
        Ok(lanes.collect())
    }

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

    fn knows(&self, lane: &str) -> bool {
        let has_it = self.lanes.iter().any(|known| known.name == lane);
        self.taken.elapsed() < if has_it { FRESH } else { PAUSE }
    }

    /// How many start before the job of this rank in a lane, if each lane gets its share; none in one that is closed.
    fn position_in_lane(&self, lane: &str, rank: usize) -> Option<Position> {
        let own = self.lanes.iter().find(|known| known.name == lane)?;
        let beyond = Position::MoreThan(COUNTED);
        let Ok(own_before) = u32::try_from(rank) else { return Some(beyond) };
        let time = own.time + f64::from(own_before) / own.weight;
        let others = self.lanes.iter().filter(|other| other.name != lane);
        let before: f64 =
            others.map(|other| ((time - other.time) * other.weight).ceil().clamp(0.0, other.jobs)).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
        let before = before.clamp(0.0, 1e6) as usize;
        let entries = if self.is_lane { 0 } else { self.entries.len() };
        let all = entries + rank + before;
        Some(if all > COUNTED { beyond } else { Position::Exactly(all) })
    }

    fn position(&self, entry: Entry) -> Option<Position> {
        match self.entries.binary_search(&entry) {
            Ok(rank) => match self.lanes.iter().find(|lane| lane.is_stream()) {
                Some(stream) if stream.is_moving() => None,
                Some(stream) => self.position_in_lane(&stream.name, rank),
                None => Some(Position::Exactly(rank)),
            },
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
        Snapshot { taken: Instant::now(), entries, is_lane: false, lanes: Vec::new() }
    }

    #[test]
    fn a_job_in_a_lane_has_before_it_what_the_shares_make_of_it() {
        let lane = |name: &str, time, weight, jobs| OpenLane { name: name.to_owned(), time, weight, jobs };
        let lanes =
            vec![lane("own", 5.0, 1.0, 9.0), lane("heavy", 5.0, 3.0, 100.0), lane("few", 4.0, 1.0, 2.0)];
        let snapshot = Snapshot { lanes, ..snapshot(4) };
        for (rank, position) in [(0, 4 + 1), (1, 4 + 1 + 3 + 2), (2, 4 + 2 + 6 + 2)] {
            assert_eq!(snapshot.position_in_lane("own", rank), Some(Position::Exactly(position)), "{rank}");
        }
        assert_eq!(snapshot.position_in_lane("own", 1001), Some(Position::MoreThan(COUNTED)));
        assert_eq!(snapshot.position_in_lane("closed", 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_may_be_a_lane() {
        let lane = |name: &str, time, jobs| OpenLane { name: name.to_owned(), time, weight: 1.0, jobs };
        let lanes = vec![lane("a\n", 0.0, 4.0), lane("b", 0.5, 9.0)];
        let snapshot = Snapshot { lanes, is_lane: true, ..snapshot(4) };
        for (number, position) in [(0, 0), (2, 1 + 1), (4, 2 + 2)] {
            assert_eq!(snapshot.position((7, number)), Some(Position::Exactly(position)), "{number}");
        }
        assert_eq!(snapshot.position_in_lane("b", 0), Some(Position::Exactly(1)));
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
