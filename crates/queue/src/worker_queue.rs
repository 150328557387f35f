use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use hermod_types::{JobId, Shard};
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;

use crate::batch::Batcher;
use crate::clock::millis;
use crate::connection::Connection;
use crate::finish::{Finished, Finishes};
use crate::governance::Owed;
use crate::park::Parks;
use crate::script::{self, SCRIPTS};
use crate::{Claimer, Ended, Held, JobRequest, MediaReader, Payload, QueueError, Settled, Store, keys};

/// Jobs of one call: few enough not to hold up Redis for long.
pub(crate) const HELD_PER_CALL: usize = 500;

/// A worker process, as one start of it: two starts never share a name, so that (fence, worker) stays
/// unique even where Redis lost its last second and gives out a fence again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerName(Arc<str>);

impl WorkerName {
    /// `<host>-<pid>-<random>`, with what could not be part of a name left out of `host`.
    pub fn new(host: &str, pid: u32) -> Self {
        let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
        let unique = JobId::new(Shard::default()).to_string().replace('-', "");
        let unique = unique.get(16..).unwrap_or_default();
        Self(format!("{host}-{pid}-{unique}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A worker's side of one lane of the queue. Cheap to clone.
///
/// Each shard has a connection of its own, made when it is first served, so that none waits for the node of another.
#[derive(Clone)]
pub struct WorkerQueue<R = JobRequest>(Arc<Inner>, PhantomData<fn() -> R>);

struct Inner {
    worker: WorkerName,
    store: Store,
    lease: Duration,
    tasks: TaskTracker,
    /// By number; those of all lanes.
    connections: Arc<[OnceLock<Connection>]>,
    /// By number.
    shards: Box<[OnceLock<ShardQueue>]>,
}

struct ShardQueue {
    queue: String,
    connection: Connection,
    finishes: Batcher<Finishes>,
    parks: Batcher<Parks>,
}

/// What became of a job that was to be delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delayed {
    /// It is nobody's until its time comes.
    Delayed,
    /// It is to be ended as cancelled; it is still this worker's.
    Cancelled,
    /// It is another's by now.
    Lost,
}

/// How a script is shown a job that a worker holds.
#[derive(Serialize)]
pub(crate) struct HeldArgs<'a> {
    id: String,
    entry: &'a str,
    fence: u64,
}

impl<'a> HeldArgs<'a> {
    pub(crate) fn of(held: &'a Held) -> Self {
        Self { id: held.id.to_string(), entry: &held.entry, fence: held.fence }
    }
}

#[derive(Serialize)]
struct ProgressArgs<'a> {
    worker: &'a str,
    id: String,
    fence: u64,
    progress: &'a str,
}

#[derive(Serialize)]
struct DelayArgs<'a> {
    worker: &'a str,
    id: String,
    entry: &'a str,
    fence: u64,
    delay_ms: u64,
    progress: &'a str,
    counts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    owed: Option<String>,
}

#[derive(Serialize)]
struct ReleaseArgs<'a> {
    worker: &'a str,
    jobs: Vec<ReleasedArgs<'a>>,
}

#[derive(Serialize)]
struct ReleasedArgs<'a> {
    #[serde(flatten)]
    held: HeldArgs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owed: Option<String>,
}

/// A job that is given back to be run by another at once.
#[derive(Clone, Debug)]
pub struct Release {
    pub held: Held,
    /// How far it has come, and what it has used of its limits so far; none for one that holds none.
    pub note: Option<(String, Owed)>,
}

impl From<Held> for Release {
    fn from(held: Held) -> Self {
        Self { held, note: None }
    }
}

impl<'a> ReleasedArgs<'a> {
    fn of(release: &'a Release) -> Self {
        let (progress, owed) =
            release.note.as_ref().map(|(progress, owed)| (&**progress, owed.to_json())).unzip();
        Self { held: HeldArgs::of(&release.held), progress, owed }
    }
}

#[derive(Serialize)]
pub(crate) struct LeaveArgs<'a> {
    pub(crate) worker: &'a str,
}

impl<R: Payload> WorkerQueue<R> {
    /// A queue whose tasks are `tasks`; they end with the last clone.
    pub fn new(store: &Store, worker: WorkerName, lease: Duration, tasks: &TaskTracker) -> Self {
        Self(
            Arc::new(Inner {
                store: store.clone(),
                worker,
                lease,
                tasks: tasks.clone(),
                connections: (0..Shard::LIMIT).map(|_| OnceLock::new()).collect(),
                shards: (0..Shard::LIMIT).map(|_| OnceLock::new()).collect(),
            }),
            PhantomData,
        )
    }

    /// The same worker's side of another lane, over the same connections.
    #[must_use]
    pub fn of_lane<T: Payload>(&self) -> WorkerQueue<T> {
        let Inner { worker, store, lease, tasks, connections, .. } = &*self.0;
        WorkerQueue(
            Arc::new(Inner {
                store: store.clone(),
                worker: worker.clone(),
                lease: *lease,
                tasks: tasks.clone(),
                connections: Arc::clone(connections),
                shards: (0..Shard::LIMIT).map(|_| OnceLock::new()).collect(),
            }),
            PhantomData,
        )
    }

    /// What claims a shard's jobs.
    ///
    /// # Errors
    /// For a shard beyond the last.
    pub fn claimer(&self, shard: Shard) -> Result<Claimer<R>, QueueError> {
        let Inner { store, worker, lease, .. } = &*self.0;
        let connection = self.shard(shard)?.connection.clone();
        Ok(Claimer::new(store, connection, worker.clone(), shard, *lease))
    }

    /// Notes how far a job has come, for who may have to go on with it. False if it is another's by now.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn note_progress(&self, held: &Held, progress: &str) -> Result<bool, QueueError> {
        let shard = self.shard(held.id.shard())?;
        let worker = self.0.worker.as_str();
        let args = ProgressArgs { worker, id: held.id.to_string(), fence: held.fence, progress };
        script::run(&shard.connection, &SCRIPTS.progress, &shard.queue, &args).await
    }

    /// Ends a job. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn finish(&self, ended: Arc<Ended>) -> Result<Finished, QueueError> {
        let shard = self.shard(ended.held.id.shard())?;
        let token = if ended.is_large() { Some(self.stage_outcome(&ended).await?) } else { None };
        let finished = shard.finishes.ask((Arc::clone(&ended), token)).await?;
        if finished.settled == Settled::Expired {
            return Err(QueueError::Unexpected("an outcome has expired before it was kept".to_owned()));
        }
        Ok(finished)
    }

    /// Writes the pieces of a large outcome. The token in their key is the holder's, so all its tries write one key.
    async fn stage_outcome(&self, ended: &Ended) -> Result<String, QueueError> {
        let Inner { store, worker, .. } = &*self.0;
        let held = &ended.held;
        let unique = worker.as_str().rsplit('-').next().unwrap_or_default();
        let token = format!("{}-{unique}", held.fence);
        let staged = keys::staged(held.id, &token);
        store.pieces().write_in_any_case(held.id.shard(), &staged, &ended.outcome).await?;
        Ok(token)
    }

    /// Whether nothing is known to be wrong with the server that has this job.
    pub fn is_well(&self, held: &Held) -> bool {
        let store = &self.0.store;
        store.health().fault_of(store.part(held.id.shard())).is_none()
    }

    /// Gives a job back until a retry time: after `delay` it is queued again, and whoever starts it goes on from `progress`.
    /// `counts`: whether this start of it counts as an attempt; `owed`: what it has used of its limits so far, if it holds any.
    /// Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn delay(
        &self,
        held: &Held,
        delay: Duration,
        progress: &str,
        counts: bool,
        owed: Option<&Owed>,
    ) -> Result<Delayed, QueueError> {
        let shard = self.shard(held.id.shard())?;
        let args = DelayArgs {
            worker: self.0.worker.as_str(),
            id: held.id.to_string(),
            entry: &held.entry,
            fence: held.fence,
            delay_ms: millis(delay),
            progress,
            counts,
            owed: owed.map(Owed::to_json),
        };
        script::run(&shard.connection, &SCRIPTS.delay, &shard.queue, &args).await
    }

    /// Gives jobs back, to be run by another worker at once and without counting an attempt. Returns how
    /// many were still this worker's.
    ///
    /// # Errors
    /// If Redis does not answer; they then run again after a lease. Those of other shards are released all the same.
    pub async fn release(&self, released: &[Release]) -> Result<usize, QueueError> {
        let mut shards: BTreeMap<Shard, Vec<&Release>> = BTreeMap::new();
        for release in released {
            shards.entry(release.held.id.shard()).or_default().push(release);
        }
        let release = shards.into_iter().map(async |(shard, all)| {
            let (shard, worker) = (self.shard(shard)?, self.0.worker.as_str());
            let mut released = 0;
            for jobs in all.chunks(HELD_PER_CALL) {
                let args = ReleaseArgs {
                    worker,
                    jobs: jobs.iter().map(|release| ReleasedArgs::of(release)).collect(),
                };
                released +=
                    script::run::<usize>(&shard.connection, &SCRIPTS.release, &shard.queue, &args).await?;
            }
            Ok(released)
        });
        join_all(release).await.into_iter().sum()
    }

    /// Leaves the groups of those shards in which nothing is held: a worker that starts again has another name.
    ///
    /// # Errors
    /// If Redis does not answer; a later check removes the name.
    pub async fn leave(&self, shards: impl Iterator<Item = Shard>) -> Result<(), QueueError> {
        let leave = shards.map(async |shard| {
            let shard = self.shard(shard)?;
            let args = LeaveArgs { worker: self.0.worker.as_str() };
            let _left: bool = script::run(&shard.connection, &SCRIPTS.leave, &shard.queue, &args).await?;
            Ok(())
        });
        join_all(leave).await.into_iter().collect()
    }

    /// The connection of a shard, and its queue.
    pub(crate) fn of_shard(&self, shard: Shard) -> Result<(&Connection, &str), QueueError> {
        self.shard(shard).map(|shard| (&shard.connection, shard.queue.as_str()))
    }

    pub(crate) fn parks(&self, shard: Shard) -> Result<&Batcher<Parks>, QueueError> {
        self.shard(shard).map(|shard| &shard.parks)
    }

    fn shard(&self, shard: Shard) -> Result<&ShardQueue, QueueError> {
        let Inner { worker, store, tasks, connections, shards, .. } = &*self.0;
        let number = usize::from(shard.number());
        let beyond = || QueueError::Unexpected("a shard beyond the last".to_owned());
        let connection = connections.get(number).ok_or_else(beyond)?;
        Ok(shards.get(number).ok_or_else(beyond)?.get_or_init(|| {
            let connection = connection.get_or_init(|| store.connection(shard)).clone();
            let queue = R::LANE.queue(shard);
            let finishes = Finishes::new(connection.clone(), queue.clone(), worker.clone());
            let parks =
                Parks { connection: connection.clone(), queue: queue.clone(), worker: worker.clone() };
            ShardQueue {
                finishes: Batcher::spawn(finishes, tasks),
                parks: Batcher::spawn(parks, tasks),
                connection,
                queue,
            }
        }))
    }
}

impl WorkerQueue {
    /// Reads the body of a job's request, where it is kept apart from its record; none where it is gone.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn body(&self, held: &Held) -> Result<Option<Vec<u8>>, QueueError> {
        let bytes = held.body_apart.unwrap_or_default();
        self.0.store.pieces().read(held.id.shard(), &keys::body(held.id), 0, bytes).await
    }

    /// What reads the media of a job's request; none where it has none.
    pub fn media(&self, held: &Held) -> Option<MediaReader> {
        (held.media_bytes > 0).then(|| MediaReader::new(&self.0.store, held.id, held.media_bytes))
    }
}
