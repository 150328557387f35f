//! What one worker does for all: finding jobs that nobody holds any more, and queueing delayed ones whose time has come. All of
//! it is safe to do twice, so the lock need not be perfect: it saves work, and protects nothing.

use std::time::Duration;

use hermod_types::{Shard, ShardCount};
use redis::streams::StreamPendingCountReply;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::millis;
use crate::connection::{Call, Connection};
use crate::keys::{self, GROUP, LEADER};
use crate::script::{self, SCRIPTS};
use crate::{Control, QueueError, Store, WorkerName};

/// How long a leader stays one without a renewal.
const LEADERSHIP: Duration = Duration::from_secs(3);
/// Looks for jobs that nobody holds, in one second: each is two commands, and a fleet makes at most ten a second.
const LOOKS_PER_SECOND: u32 = 5;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Every shard's delayed jobs are looked at this often: a worker gives a job back only for longer waits than that.
const DELAYED_INTERVAL: Duration = Duration::from_secs(4);
/// Delayed jobs queued by one call: few enough not to hold up Redis for long.
const PROMOTED: usize = 500;
/// How long after a failure of Redis nothing is reclaimed: leases ended meanwhile, and whoever has a result that is paid
/// for is to write it first. Longer than a third of the lease, within which all holders renew.
const AFTER_OUTAGE: Duration = Duration::from_secs(4);

/// Which worker looks after the queue for all. Every worker asks with each [`Control`] whether it is the one.
pub struct Leadership {
    store: Store,
    worker: WorkerName,
}

/// What the leader does for one shard. Each shard has its own, so that none waits for the node of another.
pub struct Maintenance {
    store: Store,
    shard: Shard,
    lease: Duration,
    connection: Connection,
    /// When its delayed jobs are looked at next.
    next_promotion: Instant,
    next_look: Instant,
}

#[derive(Serialize)]
struct PromoteArgs {
    count: usize,
}

#[derive(Deserialize)]
struct Promoted {
    promoted: usize,
    next: Option<u64>,
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
        let mut command = redis::cmd("SET");
        command.arg(LEADER).arg(self.worker.as_str()).arg("PX").arg(millis(LEADERSHIP));
        match control.leader.as_deref() {
            None => command.arg("NX"),
            Some(leader) if leader == self.worker.as_str() => command.arg("XX"),
            Some(_) => return Ok(false),
        };
        let set: Option<String> = self.store.shared().run(Call::Command(&command)).await?;
        Ok(set.is_some())
    }

    /// Gives the lead up, for the next worker to take at once.
    ///
    /// # Errors
    /// If Redis does not answer; the lead then ends by itself.
    pub async fn resign(&self) -> Result<(), QueueError> {
        // Between the two it may become another's, who then takes it once more.
        let leader: Option<String> =
            self.store.shared().run(Call::Command(redis::cmd("GET").arg(LEADER))).await?;
        if leader.as_deref() == Some(self.worker.as_str()) {
            self.store.shared().run::<()>(Call::Command(redis::cmd("DEL").arg(LEADER))).await?;
        }
        Ok(())
    }
}

impl Maintenance {
    /// That of `shard`, for leases of the length `lease`.
    pub fn new(store: &Store, shard: Shard, lease: Duration) -> Self {
        let connection = if store.is_cluster() { store.connection(shard) } else { store.shared().clone() };
        let now = Instant::now();
        Self { store: store.clone(), shard, lease, connection, next_promotion: now, next_look: now }
    }

    /// Does what is due: is to be called each second while this worker leads. `shards` is how many there are.
    ///
    /// # Errors
    /// If the shard's server does not answer.
    pub async fn run(&mut self, shards: ShardCount) -> Result<(), QueueError> {
        let now = Instant::now();
        if now >= self.next_promotion {
            self.promote().await?;
        }
        if now >= self.next_look {
            self.next_look = now + LOOK_INTERVAL.max(LOOK_INTERVAL * shards.get().into() / LOOKS_PER_SECOND);
            self.look().await?;
        }
        Ok(())
    }

    /// Queues the delayed jobs that are due.
    async fn promote(&mut self) -> Result<(), QueueError> {
        let Self { shard, connection, .. } = &*self;
        let first: Vec<(String, f64)> = {
            let mut command = redis::cmd("ZRANGE");
            command.arg(keys::delayed(*shard)).arg(0).arg(0).arg("WITHSCORES");
            connection.run(Call::Command(&command)).await?
        };
        let mut next = first.first().map(|(_, due)| Duration::from_secs_f64(due.max(0.0) / 1000.0));
        let now = Duration::from_millis(connection.now_ms().await?);
        while next.is_some_and(|next| next <= now) {
            let args = PromoteArgs { count: PROMOTED };
            let reply: Promoted =
                script::run(connection, &SCRIPTS.promote, &keys::queue(*shard), &args).await?;
            if reply.promoted > 0 {
                tracing::debug!(shard = shard.number(), jobs = reply.promoted, "delayed jobs queued");
            }
            next = reply.next.map(Duration::from_millis);
        }
        let wait = next.map_or(DELAYED_INTERVAL, |next| next.saturating_sub(now).min(DELAYED_INTERVAL));
        self.next_promotion = Instant::now() + wait;
        Ok(())
    }

    /// Wakes a worker where jobs wait that nobody was woken for, or run and have no holder any more.
    async fn look(&self) -> Result<(), QueueError> {
        let Self { shard, connection, .. } = self;
        let queue = keys::queue(*shard);
        let entries: u64 = connection.run(Call::Command(redis::cmd("XLEN").arg(&queue))).await?;
        if entries == 0 {
            return Ok(());
        }
        let mut wake = redis::cmd("ZADD");
        wake.arg(keys::wake(*shard));
        if self.may_reclaim() && self.has_expired(&queue).await? {
            // What seems to have ended may be the work of a clock that has stepped just now.
            connection.ask_time().await?;
            if self.may_reclaim() {
                wake.arg(0).arg("expired");
            }
        }
        // A wake-up may have been lost with the worker that it was given to.
        wake.arg(1).arg("queue");
        connection.run(Call::Command(&wake)).await
    }

    /// Whether an idle time says that a holder is gone. After an outage it may only have been cut off, and after a step of
    /// Redis's clock all seem to be: within a lease each of them has renewed.
    fn may_reclaim(&self) -> bool {
        let well_for = self.store.health().well_for(self.store.part(self.shard));
        well_for >= AFTER_OUTAGE.max(self.lease / 2)
            && !self.connection.clock().has_stepped_within(self.lease)
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
        let maintenance = Maintenance::new(&store, Shard::default(), lease);
        tokio::time::advance(Duration::from_secs(3600)).await;
        maintenance.connection.clock().note(NOW);
        maintenance
    }

    fn fails(maintenance: &Maintenance) {
        let away: Result<(), _> = Err(QueueError::Unanswered("test".to_owned()));
        maintenance.store.health().note(Part::Whole, &away, false);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_reclaimed_by_a_worker_that_has_just_started() {
        let store = Store::new(&"redis://127.0.0.1:1".parse().unwrap()).unwrap();
        let maintenance = Maintenance::new(&store, Shard::default(), LEASE);
        assert!(!maintenance.may_reclaim());
        tokio::time::advance(LEASE).await;
        assert!(maintenance.may_reclaim());
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_holders_have_time_to_renew() {
        for (lease, patience) in [(LEASE, 5), (Duration::from_secs(2), 4), (Duration::from_secs(60), 30)] {
            let maintenance = maintenance(lease).await;
            assert!(maintenance.may_reclaim());
            fails(&maintenance);
            tokio::time::advance(Duration::from_millis(patience * 1000 - 1)).await;
            assert!(!maintenance.may_reclaim(), "{lease:?}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(maintenance.may_reclaim(), "{lease:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_step_of_the_clock_holders_have_a_lease_to_renew() {
        for (step, reclaims) in [(20_000, false), (-20_000, false), (500, true), (-500, true)] {
            let maintenance = maintenance(LEASE).await;
            tokio::time::advance(Duration::from_secs(1)).await;
            maintenance.connection.clock().note((NOW + 1000).saturating_add_signed(step));
            assert_eq!(maintenance.may_reclaim(), reclaims, "{step} ms");
            tokio::time::advance(LEASE).await;
            assert!(maintenance.may_reclaim(), "{step} ms");
        }
    }
}
