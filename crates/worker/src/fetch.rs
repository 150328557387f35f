use std::sync::Arc;
use std::time::Duration;

use hermod_queue::{Claimer, QueueError, Release, Source, Started};
use hermod_types::Backoff;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::held::HeldJobs;
use crate::work::Work;

/// Jobs claimed at once: enough to spread the cost of a claim, few enough to leave some to other workers.
const BATCH: usize = 64;
/// How often a worker that always finds more jobs looks for a wake-up.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The wait after a failure of Redis.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Claims jobs of one lane while there are free slots, and starts each as a task.
pub(crate) struct Fetcher<W> {
    pub(crate) work: Arc<W>,
    pub(crate) held: HeldJobs,
    /// Jobs that the worker runs at once, of all shards together.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) running: TaskTracker,
    pub(crate) paused: watch::Receiver<bool>,
}

impl<W> Clone for Fetcher<W> {
    fn clone(&self) -> Self {
        Self {
            work: Arc::clone(&self.work),
            held: self.held.clone(),
            slots: Arc::clone(&self.slots),
            running: self.running.clone(),
            paused: self.paused.clone(),
        }
    }
}

impl<W: Work> Fetcher<W> {
    /// Claims jobs of one shard until `drain`.
    pub(crate) async fn run(mut self, mut claimer: Claimer<W::Payload>, drain: CancellationToken) {
        let mut failures = 0;
        // Where there may be more, without a wait.
        let mut next = Some(Source::Queue);
        let mut looked = Instant::now();
        while !drain.is_cancelled() {
            match self.step(&mut claimer, &mut next, &mut looked, &drain).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::debug!(shard = claimer.shard().number(), %error, "no jobs claimed");
                    drain.run_until_cancelled(sleep(BACKOFF.wait(failures))).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
        claimer.stop_waiting();
        // What a claim gave whose answer was lost is not to wait for a lease.
        if let Ok(lost) = claimer.lost().await {
            let lost: Vec<Release> = lost.into_iter().map(|started| started.held.into()).collect();
            self.release(&lost).await;
        }
    }

    /// Claims once, when there is a slot and something to claim.
    async fn step(
        &mut self,
        claimer: &mut Claimer<W::Payload>,
        next: &mut Option<Source>,
        looked: &mut Instant,
        drain: &CancellationToken,
    ) -> Result<(), QueueError> {
        if drain.run_until_cancelled(self.may_claim()).await.is_none() {
            return Ok(());
        }
        let source = match next.take() {
            // Under a backlog it never waits, and would not hear of the jobs of gone workers.
            Some(_) if looked.elapsed() >= LOOK_INTERVAL => {
                *looked = Instant::now();
                claimer.look().await?.unwrap_or(Source::Queue)
            }
            Some(source) => source,
            None => match self.wait(claimer, drain).await? {
                Some(source) => source,
                // Nothing is missed: what there was to be woken for is still in the set, or the leader's look finds it. After an
                // outage, a claim of every worker would be a storm.
                None => return Ok(()),
            },
        };
        // None is held during the wait: it would be missing in the other shards.
        let Some(slots) = free_slots(&self.slots, self.work.most().min(BATCH)) else {
            return claimer.pass_on(source).await;
        };
        if drain.is_cancelled() || *self.paused.borrow() {
            return claimer.pass_on(source).await;
        }
        let held = self.held.of(claimer.shard());
        // Should it fail, it is tried again.
        *next = Some(source);
        let claimed = claimer.claim(source, slots.num_permits(), &held).await?;
        *next = match (claimed.more, source) {
            (true, source) => Some(source),
            // Those of gone workers came first.
            (false, Source::Expired) => Some(Source::Queue),
            (false, Source::Queue) => None,
        };
        self.start(claimed.jobs, slots).await;
        Ok(())
    }

    /// Waits until the queue is not paused, a slot is free, and there is memory for a job.
    async fn may_claim(&mut self) {
        // Its sender lives as long as the worker.
        drop(self.paused.wait_for(|paused| !paused).await);
        self.work.room().await;
        drop(self.slots.acquire().await);
    }

    /// Waits to be woken; none where something else has come up.
    async fn wait(
        &mut self,
        claimer: &mut Claimer<W::Payload>,
        drain: &CancellationToken,
    ) -> Result<Option<Source>, QueueError> {
        let mut recoveries = claimer.recoveries();
        let woken = tokio::select! {
            woken = claimer.wait() => Some(woken),
            () = drain.cancelled() => None,
            _ = self.paused.changed() => None,
            // A wait from before an outage may never end.
            _ = recoveries.changed() => None,
        };
        match woken {
            Some(source) => source.map(Some),
            None => {
                claimer.stop_waiting();
                Ok(None)
            }
        }
    }

    /// Starts jobs, as far as there are slots. What an earlier claim gave, whose answer was lost, may be more: it is released.
    async fn start(&self, jobs: Vec<Started<W::Payload>>, mut slots: OwnedSemaphorePermit) {
        let mut rest = Vec::new();
        for started in jobs {
            let Some(slot) = slots.split(1) else {
                rest.push(Release::from(started.held));
                continue;
            };
            let guard = self.held.add(started.held.clone());
            // Boxed where it is made: it is some kilobytes, which would be moved several times.
            let running = Box::pin(Arc::clone(&self.work).run(started, guard));
            self.running.spawn(async move {
                running.await;
                drop(slot);
            });
        }
        self.release(&rest).await;
    }

    async fn release(&self, jobs: &[Release]) {
        if jobs.is_empty() {
            return;
        }
        if let Err(error) = self.work.queue().release(jobs).await {
            tracing::debug!(%error, jobs = jobs.len(), "not released; others will claim them after the lease");
        }
    }
}

/// Slots that are free now, up to `most`; none for none.
fn free_slots(slots: &Arc<Semaphore>, most: usize) -> Option<OwnedSemaphorePermit> {
    let free = u32::try_from(slots.available_permits().min(most)).unwrap_or_default();
    if free == 0 { None } else { Arc::clone(slots).try_acquire_many_owned(free).ok() }
}
