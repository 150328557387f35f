use std::collections::BTreeMap;
use std::time::Duration;

use hermod_types::{JobId, Shard, ShardCount};
use redis::streams::{StreamId, StreamInfoConsumersReply, StreamRangeReply};

use crate::check::{self, Findings};
use crate::keys::{self, CHECKED, GROUP, Keys, PAUSED};
use crate::lane::{Call, Lane};
use crate::pace::Pace;
use crate::script::Scripts;
use crate::shards::ShardRoll;
use crate::{QueueError, Stats, Store};

/// What an operator does with the queue: with all shards of it.
pub struct Admin {
    pub(crate) store: Store,
    pub(crate) lane: Lane,
    pub(crate) scripts: Scripts,
}

/// A worker, as the consumer group knows it.
#[derive(Clone, Debug)]
pub struct WorkerState {
    /// Its name.
    pub name: String,
    /// Jobs that it holds.
    pub holds: usize,
    /// How long ago it last asked for something.
    pub idle: Duration,
}

/// A job that was given up on.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The job.
    pub id: JobId,
    /// When it was given up on, in milliseconds since the epoch, by Redis's clock.
    pub at_ms: u64,
    /// Why.
    pub reason: String,
    /// A line for each start of it that came to nothing.
    pub history: String,
    /// Its targets and its time to live, then the client's body.
    pub request: String,
    letter: String,
}

/// What became of a dead letter that was to be queued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revived {
    /// It waits, with all its attempts before it.
    Queued,
    /// It is not, or no longer, among the dead letters.
    Unknown,
    /// It waits or runs already.
    Alive,
}

impl Admin {
    /// Acts on the queue in `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), lane: store.errand(), scripts: Scripts::new() }
    }

    /// How many jobs are in which state.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn stats(&mut self) -> Result<Stats, QueueError> {
        let shards = self.shards().await?;
        Stats::read(&mut self.lane, shards).await
    }

    /// How many shards are in use.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn shards(&self) -> Result<ShardCount, QueueError> {
        ShardRoll::new(&self.store).raise(ShardCount::ONE).await
    }

    /// The workers that the groups know; those that are gone among them.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn workers(&mut self) -> Result<Vec<WorkerState>, QueueError> {
        let mut all: BTreeMap<String, WorkerState> = BTreeMap::new();
        for shard in self.shards().await?.shards() {
            for worker in self.workers_of(&Keys::new(shard)).await? {
                match all.get_mut(&worker.name) {
                    Some(known) => {
                        known.holds += worker.holds;
                        known.idle = known.idle.min(worker.idle);
                    }
                    None => drop(all.insert(worker.name.clone(), worker)),
                }
            }
        }
        Ok(all.into_values().collect())
    }

    pub(crate) async fn workers_of(&mut self, keys: &Keys) -> Result<Vec<WorkerState>, QueueError> {
        let mut command = redis::cmd("XINFO");
        command.arg("CONSUMERS").arg(&keys.queue).arg(GROUP);
        let consumers = match self.lane.run::<StreamInfoConsumersReply>(Call::Command(&command)).await {
            Ok(reply) => reply.consumers,
            // No worker and no job have come yet.
            Err(QueueError::NoGroup) => return Ok(Vec::new()),
            Err(QueueError::Unexpected(text)) if text.contains("no such key") => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let state = |consumer: redis::streams::StreamInfoConsumer| WorkerState {
            name: consumer.name,
            holds: consumer.pending,
            idle: Duration::from_millis(u64::try_from(consumer.idle).unwrap_or(u64::MAX)),
        };
        Ok(consumers.into_iter().map(state).collect())
    }

    /// Tells all workers to claim nothing, or to go on. They hear it within two seconds; what runs goes on.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn set_paused(&mut self, paused: bool) -> Result<(), QueueError> {
        let mut command = redis::cmd(if paused { "SET" } else { "DEL" });
        command.arg(PAUSED);
        if paused {
            command.arg(1);
        }
        self.lane.run(Call::Command(&command)).await
    }

    /// Whether workers are told to claim nothing.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn is_paused(&mut self) -> Result<bool, QueueError> {
        self.lane.run(Call::Command(redis::cmd("EXISTS").arg(PAUSED))).await
    }

    /// The newest dead letters, up to `most`.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn dead_letters(&mut self, most: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let mut all = Vec::new();
        for shard in self.shards().await?.shards() {
            all.extend(self.dead_letters_of(shard, most).await?);
        }
        all.sort_by_key(|letter| std::cmp::Reverse(letter.at_ms));
        all.truncate(most);
        Ok(all)
    }

    async fn dead_letters_of(&mut self, shard: Shard, most: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(Keys::new(shard).dead).arg("+").arg("-").arg("COUNT").arg(most);
        let reply: StreamRangeReply = self.lane.run(Call::Command(&command)).await?;
        Ok(reply.ids.into_iter().filter_map(dead_letter).collect())
    }

    /// The newest dead letter of this job.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn dead_letter(&mut self, id: JobId) -> Result<Option<DeadLetter>, QueueError> {
        let all = self.dead_letters_of(id.shard(), usize::from(u16::MAX)).await?;
        Ok(all.into_iter().find(|letter| letter.id == id))
    }

    /// Queues a dead letter's job again under its old id.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn revive(&mut self, id: JobId) -> Result<Revived, QueueError> {
        let Some(letter) = self.dead_letter(id).await? else { return Ok(Revived::Unknown) };
        let keys = Keys::new(id.shard());
        let mut script = self.scripts.revive.prepare_invoke();
        script.key(&keys.queue).key(&keys.dead).key(keys::job(id));
        script.arg(&letter.letter).arg(id.to_string());
        let outcome: i8 = self.lane.run(Call::Script(&script)).await?;
        Ok(match outcome {
            1 => Revived::Queued,
            0 => Revived::Unknown,
            _ => Revived::Alive,
        })
    }

    /// Compares records and entries, and mends what disagrees if `repair` is set.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn check(&mut self, repair: bool) -> Result<Findings, QueueError> {
        check::run(self, repair, Pace::Full).await
    }

    /// The same with repair, slowly, unless a worker did so a moment ago.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn check_at_start(&mut self) -> Result<Option<Findings>, QueueError> {
        let mut command = redis::cmd("SET");
        command.arg(CHECKED).arg(1).arg("NX").arg("EX").arg(check::PAUSE_SECONDS);
        let first: Option<String> = self.lane.run(Call::Command(&command)).await?;
        if first.is_none() {
            return Ok(None);
        }
        check::run(self, true, Pace::gentle()).await.map(Some)
    }
}

fn dead_letter(entry: StreamId) -> Option<DeadLetter> {
    let field = |name: &str| entry.get::<String>(name).unwrap_or_default();
    Some(DeadLetter {
        id: field("id").parse().ok()?,
        at_ms: entry.id.split('-').next()?.parse().ok()?,
        reason: field("reason"),
        history: field("history"),
        request: field("request"),
        letter: entry.id.clone(),
    })
}
