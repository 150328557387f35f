use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::try_join;
use futures_util::stream::FuturesUnordered;
use hermod_queue::{Channel, Heard, Leases, QueueError, Store, Subscription, WorkerName};
use hermod_types::{Shard, ShardCount};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::held::HeldJobs;

/// A renewal that was asked for begins at a moment within this time.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// Renews the leases of all held jobs and deliveries each third of their length. It has a thread, a runtime and connections of its own, so
/// that a busy worker cannot starve it; and each shard is renewed by itself, so that none waits for the node of another. Here it is
/// heard, too, which jobs are to be cancelled.
///
/// While Redis is away nobody can take a job over, and a call under way is paid for: it goes on. Only Redis's word that a job
/// is another's by now ends it.
pub(crate) struct Renewal {
    pub(crate) store: Store,
    pub(crate) worker: WorkerName,
    pub(crate) jobs: HeldJobs,
    pub(crate) deliveries: HeldJobs,
    pub(crate) lease: Duration,
    pub(crate) shards: watch::Receiver<ShardCount>,
}

impl Renewal {
    /// Goes on until `stop`. `alarm` is dropped when it ends, for whatever reason.
    pub(crate) fn spawn(
        self,
        stop: CancellationToken,
        alarm: DropGuard,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("leases".to_owned()).spawn(move || {
            let _alarm = alarm;
            let run = Box::pin(self.run(stop.clone()));
            runtime.block_on(stop.run_until_cancelled(run));
        })
    }

    async fn run(mut self, stop: CancellationToken) {
        let (mut shards, tasks, looks) = (FuturesUnordered::new(), TaskTracker::new(), Looks::default());
        let (jobs, looked) = (self.jobs.clone(), looks.clone());
        let cancels = Subscription::new(&self.store, &tasks, stop, move |heard| match heard {
            Heard::Message { text, .. } => jobs.cancel(text.lines().filter_map(|id| id.parse().ok())),
            // What was said meanwhile is lost, and a renewal tells it.
            Heard::Restored(channel) => looked.ask(channel.shard()),
            Heard::Lost(_) | Heard::Away(_) => {}
        });
        loop {
            let wanted = *self.shards.borrow_and_update();
            for shard in wanted.shards().skip(shards.len()) {
                let leases = Leases::new(&self.store, self.worker.clone(), shard, self.lease);
                let held = [self.jobs.clone(), self.deliveries.clone()];
                shards.push(renew(held, shard, self.lease, leases, looks.clone()));
                cancels.add(Channel::cancels(shard, &self.worker));
            }
            // None of them ever ends.
            tokio::select! {
                changed = self.shards.changed() => if changed.is_err() { break },
                _ = shards.next() => {}
            }
        }
        shards.collect::<()>().await;
    }
}

async fn renew(held: [HeldJobs; 2], shard: Shard, lease: Duration, leases: Leases, looks: Looks) {
    let interval = lease / 3;
    let [jobs, deliveries] = &held;
    loop {
        match try_join(renew_lane(jobs, shard, &leases), renew_lane(deliveries, shard, &leases)).await {
            Ok(((), ())) => looks.asked(shard, interval).await,
            Err(error) => {
                tracing::debug!(shard = shard.number(), %error, "leases not renewed; trying again");
                // Nobody is in a hurry: after an outage nothing is reclaimed for longer than the interval. A fleet that renewed
                // all its leases in the moment that Redis is back would be its next outage.
                sleep(interval.mul_f64(fastrand::f64())).await;
            }
        }
    }
}

async fn renew_lane(jobs: &HeldJobs, shard: Shard, leases: &Leases) -> Result<(), QueueError> {
    let held = jobs.of(shard);
    if held.is_empty() {
        return Ok(());
    }
    let renewed = leases.renew(jobs.lane(), &held).await?;
    jobs.lost(&renewed.lost, &held);
    jobs.cancel(renewed.cancelled);
    Ok(())
}

/// Asks for a renewal before it is due, one for each shard. Cheap to clone.
#[derive(Clone)]
struct Looks(Arc<[Notify]>);

impl Default for Looks {
    fn default() -> Self {
        Self((0..Shard::LIMIT).map(|_| Notify::new()).collect())
    }
}

impl Looks {
    fn ask(&self, shard: Shard) {
        if let Some(look) = self.of(shard) {
            look.notify_one();
        }
    }

    /// Returns after this time, or soon after it was asked for.
    async fn asked(&self, shard: Shard, most: Duration) {
        let Some(look) = self.of(shard) else { return sleep(most).await };
        if timeout(most, look.notified()).await.is_ok() {
            // All workers are asked in the moment that Redis is back.
            sleep(LOOK_WITHIN.min(most).mul_f64(fastrand::f64())).await;
        }
    }

    fn of(&self, shard: Shard) -> Option<&Notify> {
        self.0.get(usize::from(shard.number()))
    }
}
