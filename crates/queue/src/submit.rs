//! Jobs go in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hermod_types::webhook::{Hook, delivery_id};
use hermod_types::{JobId, Operation, ResponseEcho, Shard};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::batch::{Batch, Batcher, DEADLINE};
use crate::clock::{millis, our_ms};
use crate::connection::Connection;
use crate::governance::Owed;
use crate::options::{OnceArgs, SentArgs};
use crate::pieces::pieces_of;
use crate::script::{self, SCRIPTS};
use crate::staged::Staged;
use crate::topology::RESPONSE_TIMEOUT;
use crate::{JobOptions, JobRequest, QueueError, QueueSettings, Start, Store, Upload, keys};

/// A job must be taken so much before its client gives up, so that the answer still reaches it.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// One call must have been taken by then: a little later its answer is given up.
const LONGEST_CALL: Duration = RESPONSE_TIMEOUT.saturating_sub(Duration::from_millis(100));
/// With this much room, what waits is counted each second only, and not for each batch.
const AMPLE_JOBS: u64 = 10_000;
const AMPLE_BYTES: u64 = 64 << 20;
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// What became of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// Redis holds the job under this id: it will end.
    Accepted(JobId),
    /// As many jobs, or bytes, wait as are allowed.
    Full,
    /// As many jobs of its owner wait as may.
    QueueLimited,
    /// It reached Redis after its client had stopped to wait.
    TooLate,
    /// It repeats an earlier submit, whose job has this id.
    Replayed(JobId),
    /// Its idempotency key came with another request before.
    Conflict,
}

/// The way into one shard.
pub(crate) struct Submitter {
    pub(crate) shard: Shard,
    store: Store,
    connection: Connection,
    settings: QueueSettings,
    tasks: TaskTracker,
    batches: Batcher<Submits>,
    /// When a submit was last refused for want of room.
    full_at: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy)]
struct Limits {
    jobs: u64,
    bytes: u64,
}

impl Submitter {
    pub(crate) fn spawn(store: &Store, shard: Shard, settings: &QueueSettings, tasks: &TaskTracker) -> Self {
        let connection = store.connection(shard);
        let submits = Submits {
            connection: connection.clone(),
            store: store.clone(),
            queue: keys::queue(shard),
            settings: settings.clone(),
            room: None,
        };
        Self {
            shard,
            store: store.clone(),
            connection,
            settings: settings.clone(),
            tasks: tasks.clone(),
            batches: Batcher::spawn(submits, tasks),
            full_at: Mutex::default(),
        }
    }

    pub(crate) async fn submit(
        &self,
        request: JobRequest,
        options: JobOptions,
    ) -> Result<Submission, QueueError> {
        if request.is_large() && self.seems_full(request.bytes()).await? {
            return Ok(Submission::Full);
        }
        self.submit_as(self.new_id(), request, options).await
    }

    /// Begins an upload of about so many bytes; none where there is no room for them.
    pub(crate) async fn upload(&self, announced: u64) -> Result<Option<Upload>, QueueError> {
        let seems_full = self.seems_full(announced).await?;
        Ok((!seems_full).then(|| Upload::new(&self.store, self.new_id(), &self.tasks)))
    }

    /// Submits a job whose media, if it has any, are staged.
    pub(crate) async fn submit_as(
        &self,
        id: JobId,
        request: JobRequest,
        options: JobOptions,
    ) -> Result<Submission, QueueError> {
        let mut body = None;
        if request.is_large() {
            let staged = body.insert(Staged::new(&self.store, id, "body", &self.tasks));
            staged.write(&request.body).await?;
        }
        let outcome = self.batches.ask(New { id, request, options, asked: Instant::now() }).await?;
        if let Some(staged) = &mut body {
            staged.settled();
        }
        if outcome == Submission::Full {
            *self.full_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        Ok(outcome)
    }

    /// By Redis's clock: a job must not end before it began.
    pub(crate) fn new_id(&self) -> JobId {
        JobId::at(self.connection.clock().now_ms().unwrap_or_else(our_ms), self.shard)
    }

    /// Whether there is no room for what is large: it would still pass through the append-only file and the replicas. Redis is
    /// asked only where there was none a moment ago.
    async fn seems_full(&self, bytes: u64) -> Result<bool, QueueError> {
        if !self.was_full() {
            return Ok(false);
        }
        Ok(!Box::pin(self.has_room(bytes)).await.map_err(QueueError::before_sending)?)
    }

    fn was_full(&self) -> bool {
        let full_at = *self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        full_at.is_some_and(|at| at.elapsed() < COUNT_INTERVAL)
    }

    async fn has_room(&self, bytes: u64) -> Result<bool, QueueError> {
        let Limits { jobs: limit, bytes: limit_bytes } = Limits::of(&self.settings);
        let args = Args { limit, limit_bytes, counted: true, lists: false, jobs: Vec::new() };
        let reply: Reply =
            script::run(&self.connection, &SCRIPTS.submit, &keys::queue(self.shard), &args).await?;
        Ok(reply.room.is_none_or(|room| room > 0)
            && reply.room_bytes.is_none_or(|room| room >= i64::try_from(bytes).unwrap_or(i64::MAX)))
    }
}

impl Limits {
    /// One shard's share; 0 for no limit.
    fn of(settings: &QueueSettings) -> Self {
        let shards = settings.shards.get().into();
        Self {
            jobs: settings.limit.unwrap_or_default().div_ceil(shards),
            bytes: settings.limit_bytes.get().div_ceil(shards),
        }
    }
}

struct New {
    id: JobId,
    request: JobRequest,
    options: JobOptions,
    asked: Instant,
}

struct Submits {
    connection: Connection,
    store: Store,
    queue: String,
    settings: QueueSettings,
    /// What may still come, as it was counted last.
    room: Option<Room>,
}

struct Room {
    counted: Instant,
    jobs: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Args<'a> {
    limit: u64,
    limit_bytes: u64,
    counted: bool,
    lists: bool,
    jobs: Vec<JobArgs<'a>>,
}

#[derive(Serialize)]
struct JobArgs<'a> {
    id: String,
    request: String,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    bytes: u64,
    latest: u64,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    operation: Option<Operation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_pieces: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_pieces: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    echo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    once: Option<OnceArgs<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<SentArgs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_waiting: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owed: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    now: u64,
    room: Option<i64>,
    room_bytes: Option<i64>,
    results: Vec<Taken>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
enum Taken {
    Accepted,
    Full,
    QueueLimited,
    Late,
    Conflict,
    Replayed(JobId),
}

impl TryFrom<String> for Taken {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let replayed = || word.strip_prefix("replayed ")?.parse().ok().map(Self::Replayed);
        match word.as_str() {
            "accepted" => Ok(Self::Accepted),
            "full" => Ok(Self::Full),
            "queue_limited" => Ok(Self::QueueLimited),
            "late" => Ok(Self::Late),
            "conflict" => Ok(Self::Conflict),
            _ => replayed().ok_or(word),
        }
    }
}

impl Submits {
    /// Whether what waits must be counted for this batch.
    fn must_count(&self, limits: Limits, jobs: usize, bytes: u64) -> bool {
        let Limits { jobs: limit, bytes: limit_bytes } = limits;
        if limit == 0 && limit_bytes == 0 {
            return false;
        }
        let Some(room) = &self.room else { return true };
        room.counted.elapsed() >= COUNT_INTERVAL
            || (limit > 0 && room.jobs < AMPLE_JOBS + u64::try_from(jobs).unwrap_or(u64::MAX))
            || (limit_bytes > 0 && room.bytes < AMPLE_BYTES.saturating_add(bytes))
    }
}

impl Batch for Submits {
    type Item = New;
    type Reply = Submission;

    fn bytes(new: &New) -> usize {
        if new.request.is_large() { 0 } else { new.request.body.len() }
    }

    async fn call(&mut self, jobs: &[New]) -> Result<Vec<Submission>, QueueError> {
        // Workers must know of a shard before a job is in it.
        if !self.settings.known.has(self.settings.shards) {
            let raised = Box::pin(self.settings.known.raise(&self.store, self.settings.shards)).await;
            raised.map_err(QueueError::before_sending)?;
        }
        let now = self.connection.now_ms().await.map_err(QueueError::before_sending)?;
        let limits = Limits::of(&self.settings);
        let (is_counted, shards) = (limits.bytes > 0, u64::from(self.settings.shards.get()));
        let mut args = Vec::with_capacity(jobs.len());
        for New { id, request, options, asked } in jobs {
            // A Redis that hung and comes back finds our command in its buffer, after the client was told that the job is
            // not accepted. It must not run then.
            let left = DEADLINE.saturating_sub(asked.elapsed()).saturating_sub(ANSWER_TIME);
            let patience = left.min(LONGEST_CALL);
            let run_at = options.start.map(|start| match start {
                Start::At(at) => at.as_millis(),
                Start::After(delay) => now.saturating_add(millis(delay)),
            });
            let delay = run_at.map_or(0, |at| at.saturating_sub(id.created_at().as_millis()));
            args.push(JobArgs {
                id: id.to_string(),
                request: request.to_stored(is_counted, run_at),
                model: request.targets.first().map(ToString::to_string).unwrap_or_default(),
                owner: request.owner.as_deref(),
                bytes: if is_counted { request.bytes() } else { 0 },
                latest: now + millis(patience),
                operation: request.type_field(),
                body_pieces: request.is_large().then(|| pieces_of(request.body.len())),
                media_pieces: (request.media_bytes > 0)
                    .then(|| pieces_of(usize::try_from(request.media_bytes).unwrap_or(usize::MAX))),
                hook: options.hook.as_ref().map(|hook| hook_field(*id, hook)),
                run_at,
                echo: options.echo.as_ref().map(ResponseEcho::as_json),
                once: options.repeats.once(),
                sent: options.repeats.sent(),
                share: options.share.field(Duration::from_millis(delay)),
                owed: options.share.is_admitted.then(|| Owed::default().to_json()),
                max_waiting: options.share.max_waiting.map(|most| most.div_ceil(shards)),
            });
        }
        let bytes = args.iter().map(|job| job.bytes).sum();
        let counted = self.must_count(limits, jobs.len(), bytes);
        let Limits { jobs: limit, bytes: limit_bytes } = limits;
        let args = Args { limit, limit_bytes, counted, lists: self.settings.lists, jobs: args };
        let sent = Instant::now();
        let reply: Reply = script::run(&self.connection, &SCRIPTS.submit, &self.queue, &args).await?;
        self.connection.clock().note(reply.now, sent);
        if counted {
            let left = |room: Option<i64>| room.map_or(u64::MAX, |room| u64::try_from(room).unwrap_or(0));
            self.room =
                Some(Room { counted: Instant::now(), jobs: left(reply.room), bytes: left(reply.room_bytes) });
        } else if let Some(room) = &mut self.room {
            room.jobs = room.jobs.saturating_sub(u64::try_from(jobs.len()).unwrap_or(u64::MAX));
            room.bytes = room.bytes.saturating_sub(bytes);
        }
        let outcome = |(taken, new): (&Taken, &New)| match taken {
            Taken::Accepted => Submission::Accepted(new.id),
            Taken::Full => Submission::Full,
            Taken::QueueLimited => Submission::QueueLimited,
            Taken::Late => Submission::TooLate,
            Taken::Conflict => Submission::Conflict,
            Taken::Replayed(id) => Submission::Replayed(*id),
        };
        Ok(reply.results.iter().zip(jobs).map(outcome).collect())
    }
}

/// A record's `hook`: the id of its delivery, and what that needs to know.
fn hook_field(job: JobId, hook: &Hook) -> String {
    // Strings have no way to fail to be written to memory.
    format!("{} {}", delivery_id(job, &hook.receiver), serde_json::to_string(hook).unwrap_or_default())
}
