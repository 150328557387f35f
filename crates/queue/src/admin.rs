use std::collections::BTreeMap;
use std::time::Duration;

use hermod_types::{JobId, Operation, Shard, ShardCount};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::check::{self, Findings};
use crate::connection::Call;
use crate::history::Servers;
use crate::keys::{self, CHECKED, PAUSED, SHARDS};
use crate::script::{self, SCRIPTS};
use crate::stats::NoArgs;
use crate::{Control, JobRequest, Lane, Payload, QueueError, Stats, Store};

/// How long after a comparison a new leader makes none, in seconds.
const CHECKED_SECONDS: u64 = 60;
/// Dead letters of a shard that are read together: more than it keeps.
const MOST_LETTERS: usize = 10_000;

/// What an operator does with the queue: with all shards of it.
#[derive(Clone)]
pub struct Admin {
    store: Store,
    pub(crate) servers: Servers,
}

/// A worker, as the consumer group knows it.
#[derive(Clone, Debug)]
pub struct WorkerState {
    pub name: String,
    /// Jobs that it holds.
    pub holds: usize,
    /// How long ago it last asked for something.
    pub idle: Duration,
}

/// A job that was given up on.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub id: JobId,
    /// When it was given up on, in milliseconds since the epoch, by Redis's clock.
    pub at_ms: u64,
    pub reason: String,
    /// What it calls; none where its request cannot be read.
    pub operation: Option<Operation>,
    /// The first of its targets.
    pub model: Option<String>,
    /// Id of the virtual key that it was submitted with.
    pub owner: Option<String>,
    /// A line for each start of it that came to nothing.
    pub history: String,
    /// A header line in JSON (targets, time to live), then the client's body. Read for one letter alone; empty in a list.
    pub request: String,
}

/// What became of a dead letter that was to be queued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requeued {
    /// It waits, with all its attempts before it.
    Queued,
    /// It is not, or no longer, among the dead letters.
    Unknown,
    /// It waits or runs already.
    Alive,
}

/// Why the number of shards stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum CannotSetShards {
    /// There is one server.
    #[error(transparent)]
    NeedsCluster(#[from] crate::ShardsNeedCluster),
    /// Jobs would be left in shards that nobody serves.
    #[error(
        "shard {0} still has jobs: start the API with the smaller number first, and wait until they have ended"
    )]
    InUse(u16),
    /// Redis does not answer.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

#[derive(Serialize)]
struct LettersArgs {
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct LetterRow {
    id: String,
    at: u64,
    reason: String,
    history: ByteBuf,
    header: ByteBuf,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    request: Option<ByteBuf>,
}

#[derive(Serialize)]
struct NoteArgs {
    seconds: u64,
}

#[derive(Serialize)]
struct RequeueArgs {
    id: String,
}

#[derive(Deserialize)]
struct ConsumerRow {
    name: String,
    pending: usize,
    idle: u64,
}

impl Admin {
    /// Acts on the queue in `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), servers: Servers::default() }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// How many jobs of a lane are in which state.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn stats(&self, lane: Lane) -> Result<Stats, QueueError> {
        let control = Control::read(&self.store).await?;
        let mut stats = Stats { paused: control.paused, ..Stats::default() };
        for shard in control.shards.unwrap_or(ShardCount::ONE).shards() {
            stats.add(&self.store, lane, shard).await?;
        }
        Ok(stats)
    }

    /// How many shards are in use.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn shards(&self) -> Result<ShardCount, QueueError> {
        Ok(Control::read(&self.store).await?.shards.unwrap_or(ShardCount::ONE))
    }

    /// Sets the number of shards in use. Workers hear it within a second.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub async fn set_shards(&self, wanted: ShardCount) -> Result<(), CannotSetShards> {
        self.store.allow(wanted)?;
        for shard in self.shards().await?.shards().skip(wanted.get().into()) {
            let mut stats = Stats::default();
            for lane in Lane::ALL {
                stats.add(&self.store, lane, shard).await?;
            }
            if stats.waiting + stats.running + stats.delayed > 0 {
                return Err(CannotSetShards::InUse(shard.number()));
            }
        }
        let mut command = redis::cmd("SET");
        self.store.shared().run::<()>(Call::Command(command.arg(SHARDS).arg(wanted.get()))).await?;
        Ok(())
    }

    /// The workers that the groups know; those that are gone among them.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn workers(&self) -> Result<Vec<WorkerState>, QueueError> {
        let mut all: BTreeMap<String, WorkerState> = BTreeMap::new();
        for shard in self.shards().await?.shards() {
            for worker in self.workers_of(Lane::Jobs, shard).await? {
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

    pub(crate) async fn workers_of(&self, lane: Lane, shard: Shard) -> Result<Vec<WorkerState>, QueueError> {
        let rows: Vec<ConsumerRow> =
            script::run(self.store.shared(), &SCRIPTS.consumers, &lane.queue(shard), &NoArgs {}).await?;
        let state = |row: ConsumerRow| WorkerState {
            name: row.name,
            holds: row.pending,
            idle: Duration::from_millis(row.idle),
        };
        Ok(rows.into_iter().map(state).collect())
    }

    /// Tells all workers to claim nothing, or to go on. They hear it within a second or two; what runs goes on.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn set_paused(&self, paused: bool) -> Result<(), QueueError> {
        let mut command = redis::cmd(if paused { "SET" } else { "DEL" });
        command.arg(PAUSED);
        if paused {
            command.arg(1);
        }
        self.store.shared().run(Call::Command(&command)).await
    }

    /// The newest dead letters, up to `most`, without their requests.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn dead_letters(&self, most: usize) -> Result<Vec<DeadLetter>, QueueError> {
        self.letters_of(None, most).await
    }

    /// The newest ones that were given up on for this reason, if any is given.
    pub(crate) async fn letters_of(
        &self,
        reason: Option<&str>,
        most: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let mut all = Vec::new();
        for shard in self.shards().await?.shards() {
            let args =
                LettersArgs { count: most.min(MOST_LETTERS), id: None, reason: reason.map(str::to_owned) };
            all.extend(self.letters(shard, args).await?);
        }
        all.sort_by_key(|letter| std::cmp::Reverse(letter.at_ms));
        all.truncate(most);
        Ok(all)
    }

    async fn letters(&self, shard: Shard, args: LettersArgs) -> Result<Vec<DeadLetter>, QueueError> {
        let rows: Vec<LetterRow> =
            script::run(self.store.shared(), &SCRIPTS.letters, &keys::queue(shard), &args).await?;
        let text = |bytes: ByteBuf| String::from_utf8_lossy(&bytes).into_owned();
        let letter = |row: LetterRow| {
            let header =
                JobRequest::from_stored(&(text(row.header) + "\n"), None).map(|stored| stored.request);
            Some(DeadLetter {
                id: row.id.parse().ok()?,
                at_ms: row.at,
                reason: row.reason,
                operation: header.as_ref().map(|request| request.operation),
                model: header.and_then(|request| Some(request.targets.first()?.to_string())),
                owner: row.owner,
                history: text(row.history),
                request: row.request.map(text).unwrap_or_default(),
            })
        };
        Ok(rows.into_iter().filter_map(letter).collect())
    }

    /// The dead letter of this job, with its request.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn dead_letter(&self, id: JobId) -> Result<Option<DeadLetter>, QueueError> {
        let args = LettersArgs { count: 1, id: Some(id.to_string()), reason: None };
        let Some(mut letter) = self.letters(id.shard(), args).await?.pop() else { return Ok(None) };
        if letter.request.ends_with('\n') {
            let request = JobRequest::from_stored(&letter.request, None);
            let bytes = request.and_then(|request| request.body_apart).unwrap_or_default();
            let body = self.store.pieces().read(id.shard(), &keys::body(id), 0, bytes).await?;
            let body = body.unwrap_or_default();
            letter.request.push_str(&String::from_utf8_lossy(&body));
        }
        Ok(Some(letter))
    }

    /// Queues a dead letter's job again under its old id.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn requeue(&self, id: JobId) -> Result<Requeued, QueueError> {
        let args = RequeueArgs { id: id.to_string() };
        script::run(self.store.shared(), &SCRIPTS.requeue, &keys::queue(id.shard()), &args).await
    }

    /// Compares records and entries, and mends what disagrees if `repair` is set.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn check(&self, repair: bool) -> Result<Findings, QueueError> {
        check::run(self, repair, false).await
    }

    /// The same with repair, at a tenth of the time, so that jobs do not notice; none where it was done less than a minute ago.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn check_gently(&self) -> Result<Option<Findings>, QueueError> {
        let shared = self.store.shared();
        if shared.run(Call::Command(redis::cmd("EXISTS").arg(CHECKED))).await? {
            return Ok(None);
        }
        let findings = check::run(self, true, true).await?;
        let (queue, args) = (keys::queue(Shard::default()), NoteArgs { seconds: CHECKED_SECONDS });
        if let Err(error) = script::run::<bool>(shared, &SCRIPTS.note_check, &queue, &args).await {
            tracing::debug!(%error, "the next leader compares once more");
        }
        Ok(Some(findings))
    }
}
