use std::sync::Arc;

use hermod_types::ShardCount;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::Signals;
use crate::fetch::Fetcher;
use crate::held::HeldJobs;
use crate::work::Work;

/// What a worker claims and runs of one lane.
pub(crate) struct RunningLane<W> {
    work: Arc<W>,
    held: HeldJobs,
    /// What runs.
    running: TaskTracker,
    fetchers: JoinHandle<()>,
}

impl<W: Work> RunningLane<W> {
    /// Claims and runs up to `slots` at once, of all shards together, until `drain`.
    pub(crate) fn start(
        work: Arc<W>,
        held: HeldJobs,
        slots: usize,
        signals: &Signals,
        drain: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        let running = TaskTracker::new();
        let fetcher = Fetcher {
            work: Arc::clone(&work),
            held: held.clone(),
            slots: Arc::new(Semaphore::new(slots)),
            running: running.clone(),
            paused: signals.paused.subscribe(),
        };
        let shards = signals.shards.subscribe();
        // Without slots nothing is claimed, and nobody is to wait for a wake-up.
        let drain = drain.clone();
        let fetchers = tasks.spawn(async move {
            if slots == 0 { drain.cancelled().await } else { fetch(fetcher, shards, drain).await }
        });
        Self { work, held, running, fetchers }
    }

    /// How many run.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Returns once nothing more is claimed, which is after `drain`.
    pub(crate) async fn claims_no_more(&mut self) -> anyhow::Result<()> {
        (&mut self.fetchers).await?;
        self.running.close();
        Ok(())
    }

    /// Returns once all that ran has ended.
    pub(crate) async fn ended(&self) {
        self.running.wait().await;
    }

    /// Whether something still runs, or is to be released.
    pub(crate) fn has_more(&self) -> bool {
        self.len() > 0 || self.held.has_released()
    }

    /// Releases what is to be released, and leaves the groups.
    pub(crate) async fn leave(&self, shards: ShardCount) {
        let (queue, lane, released) = (self.work.queue(), self.held.lane(), self.held.take_released());
        if !released.is_empty() {
            match queue.release(&released).await {
                Ok(released) => tracing::info!(?lane, released, "released"),
                Err(error) => {
                    tracing::warn!(?lane, %error, "not released; others will claim them after the lease");
                }
            }
        }
        if let Err(error) = queue.leave(shards.shards()).await {
            tracing::debug!(?lane, %error, "still a consumer of the group; a later check removes it");
        }
    }
}

/// Runs `task`, and drains the worker when it ends, for whatever reason.
pub(crate) async fn with_alarm(task: impl Future<Output = ()>, drain: CancellationToken) {
    let _alarm = drain.drop_guard();
    task.await;
}

/// Claims from each shard until `drain`. One shard whose task ends, for whatever reason, drains the worker: it would serve all
/// but that one.
async fn fetch<W: Work>(
    fetcher: Fetcher<W>,
    mut shards: watch::Receiver<ShardCount>,
    drain: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let mut started = 0;
    loop {
        let wanted = *shards.borrow_and_update();
        for shard in wanted.shards().skip(started) {
            started += 1;
            let Ok(claimer) = fetcher.work.queue().claimer(shard) else { continue };
            tasks.spawn(with_alarm(fetcher.clone().run(claimer, drain.clone()), drain.clone()));
        }
        if !matches!(drain.run_until_cancelled(shards.changed()).await, Some(Ok(()))) {
            break;
        }
    }
    drain.cancel();
    tasks.close();
    tasks.wait().await;
}
