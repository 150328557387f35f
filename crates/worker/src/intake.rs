use std::sync::Arc;
use std::time::Duration;

use hermod_queue::{Claimer, Entry, QueueError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::job;
use crate::lease::LeaseBook;
use crate::orders::Orders;
use crate::server::Bench;

/// Jobs claimed at once: enough to spread the cost of a claim, few enough that their requests fit in memory.
const BATCH: usize = 64;
/// How often entries of workers that are gone are looked for, give or take half: far below the 5 s after
/// its lease in which a job must run again.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(2);
/// How long after a failure of Redis nothing is reclaimed: leases ended meanwhile, and whoever has a result that is paid
/// for is to write it first.
const AFTER_OUTAGE: Duration = Duration::from_secs(4);
/// The wait after a failure of Redis, doubled up to the longest.
const BACKOFF_INITIAL: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// With so many slots a shard or more, a shard that waits for jobs keeps one of them.
const SLOTS_TO_RESERVE: usize = 4;

/// Claims jobs of one shard while there are free slots, and starts each as a task.
pub(crate) struct Intake {
    pub(crate) bench: Arc<Bench>,
    pub(crate) claimer: Claimer,
    pub(crate) orders: watch::Receiver<Orders>,
    pub(crate) book: LeaseBook,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) jobs: TaskTracker,
    pub(crate) hand_back: CancellationToken,
    /// When entries of workers that are gone are next looked for.
    pub(crate) next_reclaim: Instant,
    /// The last claim got all that it asked for, so there may be more.
    pub(crate) more: bool,
}

/// How an intake waits for jobs. It never claims one for which it has no slot, so a slot that one shard holds
/// while it waits is missing in the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// There is but this shard: it holds all slots.
    Alone,
    /// It holds one slot, and so claims what comes at once.
    Reserving,
    /// Slots are too few for that: it watches without one, and then takes its turn.
    Watching,
}

impl Intake {
    /// Runs until `drain`.
    pub(crate) async fn run(mut self, drain: CancellationToken) {
        let mut backoff = BACKOFF_INITIAL;
        loop {
            let resumed = self.orders.wait_for(|orders| !orders.paused);
            let Some(Ok(_)) = drain.run_until_cancelled(resumed).await else { return };
            match self.turn(&drain).await {
                Ok(()) => backoff = BACKOFF_INITIAL,
                Err(error) => {
                    tracing::debug!(%error, "no jobs claimed");
                    self.next_reclaim = Instant::now() + AFTER_OUTAGE;
                    let mended =
                        matches!(error, QueueError::NoGroup) && self.claimer.ensure_group().await.is_ok();
                    if !mended {
                        drain.run_until_cancelled(sleep(backoff.mul_f64(0.8 + 0.4 * fastrand::f64()))).await;
                        backoff = (backoff * 2).min(BACKOFF_MAX);
                    }
                }
            }
            if drain.is_cancelled() {
                return;
            }
        }
    }

    fn manner(&self) -> Manner {
        match usize::from(self.orders.borrow().shards.get()) {
            1 => Manner::Alone,
            shards if self.bench.work.concurrency >= SLOTS_TO_RESERVE * shards => Manner::Reserving,
            _ => Manner::Watching,
        }
    }

    /// Waits for a slot and for entries, in the order that the manner asks for; claims once, and starts what it got.
    async fn turn(&mut self, drain: &CancellationToken) -> Result<(), QueueError> {
        let manner = self.manner();
        let due = self.next_reclaim <= Instant::now();
        if manner == Manner::Watching && !due {
            let block = self.until_reclaim();
            match drain.run_until_cancelled(self.claimer.watch(block)).await {
                Some(Ok(true)) => {}
                Some(Ok(false)) | None => return Ok(()),
                Some(Err(error)) => return Err(error),
            }
        }
        let most = if manner == Manner::Reserving && !due && !self.more { 1 } else { BATCH };
        let Some(Some(slots)) = drain.run_until_cancelled(free_slots(&self.slots, most)).await else {
            return Ok(());
        };
        if drain.is_cancelled() || self.orders.borrow().paused {
            return Ok(());
        }
        self.step(slots, manner).await
    }

    async fn step(&mut self, mut slots: OwnedSemaphorePermit, manner: Manner) -> Result<(), QueueError> {
        let free = slots.num_permits();
        let mut entries = Vec::new();
        if self.next_reclaim <= Instant::now() {
            entries = self.claimer.reclaim(free).await?;
            if entries.len() < free {
                self.next_reclaim = Instant::now() + RECLAIM_INTERVAL.mul_f64(0.5 + fastrand::f64());
            }
        }
        if entries.is_empty() {
            entries = match manner {
                Manner::Alone => self.claimer.claim(free, self.until_reclaim()).await?,
                Manner::Reserving if !self.more => {
                    drop(slots.split(free - 1));
                    self.claim_with_one(&mut slots).await?
                }
                Manner::Reserving | Manner::Watching => self.claimer.claim_waiting(free).await?,
            };
            self.more = entries.len() == slots.num_permits();
        }
        // A lost group that was made again gives out what already runs here.
        entries.retain(|entry| !self.book.holds(entry.id));
        if entries.is_empty() { Ok(()) } else { self.start(&entries, slots).await }
    }

    /// Waits for one entry, and then claims as many more as there are slots.
    async fn claim_with_one(&mut self, slots: &mut OwnedSemaphorePermit) -> Result<Vec<Entry>, QueueError> {
        let mut entries = self.claimer.claim(1, self.until_reclaim()).await?;
        if !entries.is_empty()
            && let Some(more) = free_now(&self.slots, BATCH - 1)
        {
            match self.claimer.claim_waiting(more.num_permits()).await {
                Ok(others) => entries.extend(others),
                // The first one is there all the same.
                Err(error) => tracing::debug!(%error, "no more jobs claimed"),
            }
            slots.merge(more);
        }
        Ok(entries)
    }

    fn until_reclaim(&self) -> Duration {
        self.next_reclaim.saturating_duration_since(Instant::now())
    }

    async fn start(&self, entries: &[Entry], mut slots: OwnedSemaphorePermit) -> Result<(), QueueError> {
        let since = Instant::now();
        for started in self.bench.queue.start(entries).await? {
            let Some(slot) = slots.split(1) else { break };
            self.bench.counters.started.increment(1);
            let lease = self.book.hold(started.held.clone(), since, self.bench.work.lease);
            let bench = Arc::clone(&self.bench);
            // Boxed where it is made: it is some kilobytes, which would be moved several times.
            let running = Box::pin(job::run(Arc::clone(&bench), started, lease, self.hand_back.clone()));
            bench.counters.running.increment(1);
            self.jobs.spawn(async move {
                running.await;
                bench.counters.running.decrement(1);
                drop(slot);
            });
        }
        Ok(())
    }
}

/// All slots that are free, up to `most`, once there is one. Who asked first is served first, so that each shard has
/// its turn.
async fn free_slots(slots: &Arc<Semaphore>, most: usize) -> Option<OwnedSemaphorePermit> {
    let mut free = Arc::clone(slots).acquire_owned().await.ok()?;
    if let Some(more) = free_now(slots, most - 1) {
        free.merge(more);
    }
    Some(free)
}

/// All slots that are free now, up to `most`; none for none.
fn free_now(slots: &Arc<Semaphore>, most: usize) -> Option<OwnedSemaphorePermit> {
    let more = u32::try_from(slots.available_permits().min(most)).unwrap_or_default();
    if more == 0 { None } else { Arc::clone(slots).try_acquire_many_owned(more).ok() }
}
