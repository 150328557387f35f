use std::sync::Arc;
use std::time::Duration;

use hermod_queue::{Claimer, Entry, QueueError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::job;
use crate::lease::LeaseBook;
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

/// Claims jobs while there are free slots, and starts each as a task.
pub(crate) struct Intake {
    pub(crate) bench: Arc<Bench>,
    pub(crate) claimer: Claimer,
    /// Whether the operator has paused the queue.
    pub(crate) paused: watch::Receiver<bool>,
    pub(crate) book: LeaseBook,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) jobs: TaskTracker,
    pub(crate) hand_back: CancellationToken,
}

impl Intake {
    /// Runs until `drain`.
    pub(crate) async fn run(mut self, drain: CancellationToken) {
        let mut next_reclaim = Instant::now();
        let mut backoff = BACKOFF_INITIAL;
        loop {
            let resumed = self.paused.wait_for(|paused| !paused);
            let Some(Ok(_)) = drain.run_until_cancelled(resumed).await else { return };
            let Some(Some(slots)) = drain.run_until_cancelled(free_slots(&self.slots)).await else { return };
            if drain.is_cancelled() {
                return;
            }
            match self.step(slots, &mut next_reclaim).await {
                Ok(()) => backoff = BACKOFF_INITIAL,
                Err(error) => {
                    tracing::debug!(%error, "no jobs claimed");
                    next_reclaim = Instant::now() + AFTER_OUTAGE;
                    let mended =
                        matches!(error, QueueError::NoGroup) && self.claimer.ensure_group().await.is_ok();
                    if !mended {
                        drain.run_until_cancelled(sleep(backoff.mul_f64(0.8 + 0.4 * fastrand::f64()))).await;
                        backoff = (backoff * 2).min(BACKOFF_MAX);
                    }
                }
            }
        }
    }

    /// Claims once, and starts what it got.
    async fn step(
        &mut self,
        slots: OwnedSemaphorePermit,
        next_reclaim: &mut Instant,
    ) -> Result<(), QueueError> {
        let free = slots.num_permits();
        let mut entries = Vec::new();
        if *next_reclaim <= Instant::now() {
            entries = self.claimer.reclaim(free).await?;
            if entries.len() < free {
                *next_reclaim = Instant::now() + RECLAIM_INTERVAL.mul_f64(0.5 + fastrand::f64());
            }
        }
        if entries.is_empty() {
            let block = next_reclaim.saturating_duration_since(Instant::now());
            entries = self.claimer.claim(free, block).await?;
        }
        // A lost group that was made again gives out what already runs here.
        entries.retain(|entry| !self.book.holds(entry.id));
        if entries.is_empty() { Ok(()) } else { self.start(&entries, slots).await }
    }

    async fn start(&self, entries: &[Entry], mut slots: OwnedSemaphorePermit) -> Result<(), QueueError> {
        let since = Instant::now();
        for started in self.bench.queue.start(entries).await? {
            let Some(slot) = slots.split(1) else { break };
            metrics::counter!("hermod_jobs_started_total").increment(1);
            let lease = self.book.hold(started.held.clone(), since, self.bench.work.lease);
            let running = job::run(Arc::clone(&self.bench), started, lease, self.hand_back.clone());
            metrics::gauge!("hermod_jobs_running").increment(1);
            self.jobs.spawn(async move {
                running.await;
                metrics::gauge!("hermod_jobs_running").decrement(1);
                drop(slot);
            });
        }
        Ok(())
    }
}

/// All slots that are free, up to [`BATCH`], once there is one.
async fn free_slots(slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    let mut free = Arc::clone(slots).acquire_owned().await.ok()?;
    let more = slots.available_permits().min(BATCH - 1);
    if let Ok(more) = Arc::clone(slots).try_acquire_many_owned(u32::try_from(more).unwrap_or_default()) {
        free.merge(more);
    }
    Some(free)
}
