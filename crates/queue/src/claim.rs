use std::marker::PhantomData;
use std::time::Duration;

use hermod_types::Shard;
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::clock::millis;
use crate::connection::{Call, Connection};
use crate::job::Row;
use crate::maintenance::WakeArgs;
use crate::script::{self, SCRIPTS};
use crate::topology::RESPONSE_TIMEOUT;
use crate::{Held, JobRequest, Payload, QueueError, Started, Store, WorkerName};

/// How long an idle worker waits to be woken before it looks by itself. Each wait is a command; what is missed meanwhile is
/// noticed by the leader's look, a second later (see [`crate::Maintenance`]).
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// Where jobs are claimed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// New entries.
    Queue,
    /// Entries that their worker has not renewed for a lease, or has released.
    Expired,
}

impl Source {
    fn of(why: &str) -> Self {
        if why == Self::Expired.as_str() { Self::Expired } else { Self::Queue }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Expired => "expired",
        }
    }
}

/// What a claim gave.
#[derive(Debug)]
pub struct Claimed<R = JobRequest> {
    /// Jobs that this worker holds now.
    pub jobs: Vec<Started<R>>,
    /// Whether there may be more.
    pub more: bool,
}

/// Claims jobs of one shard for one worker.
///
/// An idle worker waits on the set of wake-ups, not on the stream: Redis wakes one of those that wait there, the one that has
/// waited longest, and a blocked read of the stream would wake all. A wake-up is a hint and holds nothing, so one that is lost
/// with its worker, or with a connection, costs a second and no job.
pub struct Claimer<R = JobRequest> {
    worker: WorkerName,
    shard: Shard,
    lease: Duration,
    store: Store,
    connection: Connection,
    waiting: Option<MultiplexedConnection>,
    /// Changes each time that Redis has come back, or a connection to it broke.
    recoveries: watch::Receiver<u64>,
    /// Of a claim whose answer was lost: what it started is still to be learnt.
    lost_token: Option<String>,
    /// Nothing more is to be claimed before.
    paced_until: Option<Instant>,
    payload: PhantomData<fn() -> R>,
}

#[derive(Serialize)]
struct Args<'a> {
    worker: &'a str,
    count: usize,
    now: u64,
    lease_ms: u64,
    idle_ms: u64,
    token: &'a str,
    source: &'a str,
    held: Vec<String>,
}

#[derive(Deserialize)]
struct Reply {
    taken: usize,
    jobs: Vec<Row>,
    /// There are more, for whoever asks so much later.
    #[serde(default)]
    again_ms: Option<u64>,
}

/// What one call gave.
struct Taken<R> {
    jobs: Vec<Started<R>>,
    entries: usize,
    /// There are more, for whoever asks so much later.
    again: Option<Duration>,
}

/// The idle time of an entry that was released, at least: `release.lua` gives it a longer one.
const RELEASED_MS: u64 = 6 * 24 * 3600 * 1000;

/// More than any worker holds of what one claim gave.
const REPEATED: usize = 10_000;

impl<R: Payload> Claimer<R> {
    pub(crate) fn new(
        store: &Store,
        connection: Connection,
        worker: WorkerName,
        shard: Shard,
        lease: Duration,
    ) -> Self {
        Self {
            worker,
            shard,
            lease,
            connection,
            store: store.clone(),
            waiting: None,
            recoveries: store.health().recoveries(),
            lost_token: None,
            paced_until: None,
            payload: PhantomData,
        }
    }

    /// Waits until this worker is woken, and says what for; after half a minute it is worth a look in any case. May be
    /// dropped while it waits: call [`Claimer::stop_waiting`] then.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn wait(&mut self) -> Result<Source, QueueError> {
        let had_connection = self.waiting.is_some();
        let mut outcome = self.wait_once().await;
        if had_connection && outcome.as_ref().is_err_and(QueueError::is_worth_reconnecting) {
            // It may have broken long ago, while there was no slot to claim for.
            outcome = self.wait_once().await;
        }
        self.store.health().note(self.store.part(self.shard), &outcome, false);
        outcome
    }

    async fn wait_once(&mut self) -> Result<Source, QueueError> {
        if self.recoveries.has_changed().unwrap_or(false) {
            // It is from before an outage: what it waits for may never come.
            self.recoveries.mark_unchanged();
            self.waiting = None;
        }
        let connection = match &mut self.waiting {
            Some(connection) => connection,
            none => {
                let patience = LONGEST_WAIT + RESPONSE_TIMEOUT;
                none.insert(self.store.connect_for(self.shard, patience).await?)
            }
        };
        let mut command = redis::cmd("BZPOPMIN");
        command.arg(R::LANE.wake(self.shard)).arg(LONGEST_WAIT.as_secs());
        let woken: Result<Option<(String, String, f64)>, _> = command.query_async(connection).await;
        match woken.map_err(QueueError::from) {
            Ok(woken) => Ok(woken.map_or(Source::Queue, |(_, why, _)| Source::of(&why))),
            Err(error) => {
                self.waiting = None;
                Err(error)
            }
        }
    }

    /// What there is a wake-up for, without a wait; for a worker that has enough to do and waits for none.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn look(&self) -> Result<Option<Source>, QueueError> {
        let mut command = redis::cmd("ZPOPMIN");
        command.arg(R::LANE.wake(self.shard));
        let found: Vec<(String, f64)> = self.connection.run_once(Call::Command(&command)).await?;
        Ok(found.first().map(|(why, _)| Source::of(why)))
    }

    /// Ends a wait: its connection is dropped whole, as the server would give the next wake-up to a wait that nobody reads.
    pub fn stop_waiting(&mut self) {
        self.waiting = None;
    }

    /// Gives a wake-up on to the next idle worker: this one has no slot for what it is about.
    ///
    /// # Errors
    /// If Redis does not answer; the leader's look then takes its place.
    pub async fn pass_on(&self, source: Source) -> Result<(), QueueError> {
        let args = WakeArgs { queue: source == Source::Queue, expired: source == Source::Expired };
        script::run(&self.connection, &SCRIPTS.wake, &R::LANE.queue(self.shard), &args)
            .await
            .map(|_: bool| ())
    }

    /// Claims up to `slots` jobs that are there, and makes this worker their holder. `held` are those that it runs already.
    ///
    /// # Errors
    /// If Redis does not answer. What was started all the same comes with the next claim.
    pub async fn claim(
        &mut self,
        source: Source,
        slots: usize,
        held: &[Held],
    ) -> Result<Claimed<R>, QueueError> {
        let jobs = self.lost().await?;
        if !jobs.is_empty() {
            return Ok(Claimed { jobs, more: true });
        }
        if let Some(until) = self.paced_until.take() {
            sleep_until(until).await;
        }
        let token = format!("{:x}", fastrand::u64(..));
        match self.run(source.as_str(), slots, &token, held).await {
            Ok(Taken { jobs, entries, again }) => {
                self.paced_until = again.map(|pace| Instant::now() + pace);
                Ok(Claimed { jobs, more: entries >= slots || again.is_some() })
            }
            Err(error) => {
                self.lost_token = Some(token);
                Err(error)
            }
        }
    }

    /// The jobs of a claim whose answer was lost, if there was one.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn lost(&mut self) -> Result<Vec<Started<R>>, QueueError> {
        let Some(token) = self.lost_token.clone() else { return Ok(Vec::new()) };
        let taken = self.run("repeat", REPEATED, &token, &[]).await?;
        self.lost_token = None;
        Ok(taken.jobs)
    }

    async fn run(
        &self,
        source: &str,
        count: usize,
        token: &str,
        held: &[Held],
    ) -> Result<Taken<R>, QueueError> {
        let now = self.connection.now_ms().await?;
        let may_reclaim = self.store.may_reclaim(self.shard, self.lease);
        let is_expired = source == Source::Expired.as_str();
        let held =
            if is_expired { held.iter().map(|held| held.id.to_string()).collect() } else { Vec::new() };
        let args = Args {
            worker: self.worker.as_str(),
            count,
            now,
            lease_ms: millis(self.lease),
            idle_ms: if may_reclaim { millis(self.lease) } else { RELEASED_MS },
            token,
            source,
            held,
        };
        let queue = R::LANE.queue(self.shard);
        let reply: Reply = script::run_once(&self.connection, &SCRIPTS.claim, &queue, &args).await?;
        let jobs = reply.jobs.into_iter().filter_map(|row| row.into_started(now)).collect();
        Ok(Taken { jobs, entries: reply.taken, again: reply.again_ms.map(Duration::from_millis) })
    }

    /// Changes each time that a wait that began before may never end.
    pub fn recoveries(&self) -> watch::Receiver<u64> {
        self.recoveries.clone()
    }

    /// The shard that it claims from.
    pub const fn shard(&self) -> Shard {
        self.shard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_sources_are_those_of_the_scripts() {
        for source in [Source::Queue, Source::Expired] {
            assert!(include_str!("../lua/lib.lua").contains(&format!("'{}'", source.as_str())));
        }
    }
}
