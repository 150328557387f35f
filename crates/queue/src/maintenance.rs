//! What one worker does for all: finding jobs that nobody holds any more, queueing delayed ones whose time has come, and opening
//! lanes. All of
//! it is safe to do twice, so the lock need not be perfect: it saves work, and protects nothing.

use std::time::Duration;

use hermod_types::{Shard, ShardCount};
use redis::Pipeline;
use redis::streams::StreamPendingCountReply;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::millis;
use crate::connection::{Call, Connection};
use crate::keys::{self, GROUP};
use crate::list_trim::ListTrim;
use crate::script::{self, SCRIPTS};
use crate::{Control, Lane, QueueError, Store, WorkerName, history, park};

/// How long a leader stays one without a renewal.
const LEADERSHIP: Duration = Duration::from_secs(3);
/// Looks for jobs that nobody holds, in one second: each is two commands, and a fleet makes at most ten a second.
const LOOKS_PER_SECOND: u32 = 8;
/// How often each shard is looked at: with few shards, and at least.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Every shard's delayed jobs are looked at this often: a client may have asked for a later start that is soon.
const DELAYED_INTERVAL: Duration = Duration::from_secs(1);
/// Delayed jobs queued by one call: few enough not to hold up Redis for long.
const PROMOTED: usize = 500;
/// How often the ends of jobs are counted that are noted meanwhile.
const FOLD_INTERVAL: Duration = Duration::from_secs(60);
/// Which worker looks after the queue for all. Every worker asks with each [`Control`] whether it is the one.
pub struct Leadership {
    store: Store,
    worker: WorkerName,
}

/// What the leader does for one shard of a lane. Each has its own, so that none waits for the node of another.
pub struct Maintenance {
    store: Store,
    lane: Lane,
    shard: Shard,
    lease: Duration,
    connection: Connection,
    /// When what has a time is looked at next: delayed jobs, closed lanes, and latest starts.
    next_due: Instant,
    next_look: Instant,
    /// Deliveries have no lists, and no history.
    lists: Option<ListTrim>,
    next_fold: Instant,
}

#[derive(Serialize)]
struct LeadArgs<'a> {
    worker: &'a str,
    length_ms: u64,
}

#[derive(Serialize)]
pub(crate) struct WakeArgs {
    pub(crate) queue: bool,
    pub(crate) expired: bool,
}

#[derive(Serialize)]
struct CountArgs {
    count: usize,
}

#[derive(Deserialize)]
struct Promoted {
    promoted: usize,
    now: u64,
    #[serde(default)]
    next: Option<f64>,
}

#[derive(Deserialize)]
struct Hastened {
    moved: usize,
    #[serde(default)]
    next: Option<f64>,
}

fn is_due(due: Option<f64>, now: u64) -> bool {
    due.is_some_and(|due| until(due, now).is_zero())
}

/// How long until `due`, at most until the next look; both in milliseconds since the epoch.
fn until(due: f64, now: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch fit into 53 bits")]
    let left = (due - now as f64).clamp(0.0, DELAYED_INTERVAL.as_secs_f64() * 1000.0);
    Duration::try_from_secs_f64(left / 1000.0).unwrap_or(DELAYED_INTERVAL)
}

impl Leadership {
    /// Asks for `worker`.
    pub fn new(store: &Store, worker: WorkerName) -> Self {
        Self { store: store.clone(), worker }
    }

    /// Whether this worker leads; it takes the lead where nobody has it.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn lead(&self, control: &Control) -> Result<bool, QueueError> {
        match control.leader.as_deref() {
            Some(leader) if leader != self.worker.as_str() => Ok(false),
            _ => self.run(LEADERSHIP).await,
        }
    }

    /// Gives the lead up, for the next worker to take at once.
    ///
    /// # Errors
    /// If Redis does not answer; the lead then ends by itself.
    pub async fn resign(&self) -> Result<(), QueueError> {
        self.run(Duration::ZERO).await.map(drop)
    }

    async fn run(&self, length: Duration) -> Result<bool, QueueError> {
        let args = LeadArgs { worker: self.worker.as_str(), length_ms: millis(length) };
        script::run(self.store.shared(), &SCRIPTS.lead, &keys::queue(Shard::default()), &args).await
    }
}

impl Maintenance {
    /// That of `shard` in `lane`, for leases of the length `lease`.
    pub fn new(store: &Store, lane: Lane, shard: Shard, lease: Duration) -> Self {
        let connection = if store.is_cluster() { store.connection(shard) } else { store.shared().clone() };
        let now = Instant::now();
        let lists = (lane == Lane::Jobs).then(|| ListTrim::new(shard));
        Self {
            store: store.clone(),
            lane,
            shard,
            lease,
            connection,
            next_due: now,
            next_look: now,
            lists,
            next_fold: now,
        }
    }

    /// Does what is due: is to be called each second while this worker leads. `shards` is how many there are.
    ///
    /// # Errors
    /// If the shard's server does not answer.
    pub async fn run(&mut self, shards: ShardCount) -> Result<(), QueueError> {
        let now = Instant::now();
        if now >= self.next_due {
            self.do_due().await?;
        }
        if now >= self.next_look {
            self.next_look = now
                + (LOOK_INTERVAL * shards.get().into() / LOOKS_PER_SECOND)
                    .clamp(LOOK_INTERVAL, LOOK_INTERVAL_MAX);
            self.look().await?;
        }
        if let Some(lists) = &mut self.lists {
            lists.run(&self.connection).await?;
            if now >= self.next_fold {
                self.next_fold = now + FOLD_INTERVAL;
                history::fold(&self.connection, self.shard, shards).await?;
            }
        }
        Ok(())
    }

    /// Does what has a time, and is due.
    async fn do_due(&mut self) -> Result<(), QueueError> {
        let Self { lane, shard, connection, .. } = &*self;
        let timed = match lane {
            Lane::Jobs => vec![lane.delayed(*shard), keys::closed(*shard), keys::deadlines(*shard)],
            Lane::Deliveries => vec![lane.delayed(*shard)],
        };
        let mut firsts = Pipeline::with_capacity(timed.len());
        for key in timed {
            firsts.cmd("ZRANGE").arg(key).arg(0).arg(0).arg("WITHSCORES");
        }
        let firsts: Vec<Vec<(String, f64)>> = connection.run(Call::Pipeline(&firsts)).await?;
        let mut firsts = firsts.into_iter().map(|first| first.first().map(|(_, due)| *due));
        let mut dues = [(); 3].map(|()| firsts.next().flatten());
        if dues.iter().any(Option::is_some) {
            let now = connection.ask_time().await?;
            let [delayed, closed, latest] = &mut dues;
            self.promote(delayed, now).await?;
            self.open_lanes(closed, now).await?;
            self.hasten(latest, now).await?;
            let wait = dues.iter().flatten().map(|due| until(*due, now)).min();
            self.next_due = Instant::now() + wait.unwrap_or(DELAYED_INTERVAL);
        } else {
            self.next_due = Instant::now() + DELAYED_INTERVAL;
        }
        Ok(())
    }

    /// Queues delayed jobs while the next one is due.
    async fn promote(&self, due: &mut Option<f64>, mut now: u64) -> Result<(), QueueError> {
        let Self { lane, shard, connection, .. } = self;
        while is_due(*due, now) {
            let args = CountArgs { count: PROMOTED };
            let promoted: Promoted =
                script::run(connection, &SCRIPTS.promote, &lane.queue(*shard), &args).await?;
            if promoted.promoted > 0 {
                tracing::debug!(shard = shard.number(), jobs = promoted.promoted, "delayed jobs queued");
            }
            (*due, now) = (promoted.next, promoted.now);
        }
        Ok(())
    }

    /// Opens lanes that wait for a limit while the next one's time has come.
    async fn open_lanes(&self, due: &mut Option<f64>, now: u64) -> Result<(), QueueError> {
        while is_due(*due, now) {
            let opened = park::open(&self.connection, &self.lane.queue(self.shard), false).await?;
            *due = opened.next;
        }
        Ok(())
    }

    /// Lets jobs end in lanes whose latest start has passed.
    async fn hasten(&self, due: &mut Option<f64>, now: u64) -> Result<(), QueueError> {
        let Self { lane, shard, connection, .. } = self;
        while is_due(*due, now) {
            let args = CountArgs { count: PROMOTED };
            let hastened: Hastened =
                script::run(connection, &SCRIPTS.hasten, &lane.queue(*shard), &args).await?;
            if hastened.moved > 0 {
                tracing::debug!(shard = shard.number(), jobs = hastened.moved, "jobs have waited too long");
            }
            *due = hastened.next;
        }
        Ok(())
    }

    /// Wakes a worker where jobs wait that nobody was woken for, or run and have no holder any more.
    async fn look(&self) -> Result<(), QueueError> {
        let Self { lane, shard, connection, .. } = self;
        let queue = lane.queue(*shard);
        let (entries, lanes) = self.waiting(&queue).await?;
        if entries + lanes == 0 {
            return Ok(());
        }
        let mut expired = false;
        if entries > 0 && self.store.may_reclaim(*shard, self.lease) && self.has_expired(&queue).await? {
            // What seems to have ended may be the work of a clock that has stepped just now.
            connection.ask_time().await?;
            expired = self.store.may_reclaim(*shard, self.lease);
        }
        // A wake-up may have been lost with the worker that it was given to.
        let args = WakeArgs { queue: true, expired };
        script::run(connection, &SCRIPTS.wake, &queue, &args).await.map(|_: bool| ())
    }

    /// How many entries and open lanes there are.
    async fn waiting(&self, queue: &str) -> Result<(u64, u64), QueueError> {
        let mut command = redis::cmd("XLEN");
        command.arg(queue);
        if self.lane == Lane::Deliveries {
            return Ok((self.connection.run(Call::Command(&command)).await?, 0));
        }
        let mut both = Pipeline::with_capacity(2);
        both.add_command(command).cmd("ZCARD").arg(keys::lanes(self.shard));
        self.connection.run(Call::Pipeline(&both)).await
    }

    async fn has_expired(&self, queue: &str) -> Result<bool, QueueError> {
        let mut command = redis::cmd("XPENDING");
        command.arg(queue).arg(GROUP).arg("IDLE").arg(millis(self.lease)).arg("-").arg("+").arg(1);
        let found: StreamPendingCountReply = match self.connection.run(Call::Command(&command)).await {
            // No worker has come yet.
            Err(QueueError::NoGroup) => return Ok(false),
            outcome => outcome?,
        };
        Ok(!found.ids.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Part;

    const LEASE: Duration = Duration::from_secs(10);
    const NOW: u64 = 1_700_000_000_000;

    /// One whose Redis has answered for long; nothing connects.
    async fn maintenance(lease: Duration) -> Maintenance {
        let store = Store::new(&"redis://127.0.0.1:1".parse().unwrap()).unwrap();
        let maintenance = Maintenance::new(&store, Lane::Jobs, Shard::default(), lease);
        tokio::time::advance(Duration::from_secs(3600)).await;
        maintenance.connection.clock().note(NOW, Instant::now());
        maintenance
    }

    fn fails(maintenance: &Maintenance) {
        let away: Result<(), _> = Err(QueueError::Unanswered("test".to_owned()));
        maintenance.store.health().note(Part::Whole, &away, false);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_reclaimed_by_a_worker_that_has_just_started() {
        let store = Store::new(&"redis://127.0.0.1:1".parse().unwrap()).unwrap();
        let maintenance = Maintenance::new(&store, Lane::Jobs, Shard::default(), LEASE);
        assert!(!maintenance.store.may_reclaim(maintenance.shard, maintenance.lease));
        tokio::time::advance(LEASE).await;
        assert!(maintenance.store.may_reclaim(maintenance.shard, maintenance.lease));
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_holders_have_time_to_renew() {
        for (lease, patience) in [(LEASE, 5), (Duration::from_secs(2), 4), (Duration::from_secs(60), 30)] {
            let maintenance = maintenance(lease).await;
            assert!(maintenance.store.may_reclaim(maintenance.shard, maintenance.lease));
            fails(&maintenance);
            tokio::time::advance(Duration::from_millis(patience * 1000 - 1)).await;
            assert!(!maintenance.store.may_reclaim(maintenance.shard, maintenance.lease), "{lease:?}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(maintenance.store.may_reclaim(maintenance.shard, maintenance.lease), "{lease:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_step_of_the_clock_holders_have_a_lease_to_renew() {
        for (step, reclaims) in [(20_000, false), (-20_000, false), (500, true), (-500, true)] {
            let maintenance = maintenance(LEASE).await;
            tokio::time::advance(Duration::from_secs(1)).await;
            maintenance.connection.clock().note((NOW + 1000).saturating_add_signed(step), Instant::now());
            assert_eq!(
                maintenance.store.may_reclaim(maintenance.shard, maintenance.lease),
                reclaims,
                "{step} ms"
            );
            tokio::time::advance(LEASE).await;
            assert!(maintenance.store.may_reclaim(maintenance.shard, maintenance.lease), "{step} ms");
        }
    }
}
