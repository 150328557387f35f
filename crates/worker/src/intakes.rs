use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::intake::Intake;
use crate::lease::LeaseBook;
use crate::orders::{Orders, Unblocks};
use crate::server::Bench;

/// An [`Intake`] for each shard; all share the worker's slots.
pub(crate) struct Intakes {
    pub(crate) bench: Arc<Bench>,
    pub(crate) orders: watch::Receiver<Orders>,
    pub(crate) book: LeaseBook,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) jobs: TaskTracker,
    pub(crate) hand_back: CancellationToken,
    pub(crate) unblocks: Unblocks,
}

impl Intakes {
    /// Runs until `drain`, and starts more when there are more shards. One that ends, for whatever reason, drains the
    /// worker: it would serve all shards but one.
    pub(crate) async fn run(mut self, drain: CancellationToken) {
        let tasks = TaskTracker::new();
        let mut intakes = Vec::new();
        loop {
            let wanted = self.orders.borrow_and_update().shards;
            for shard in wanted.shards().skip(intakes.len()) {
                let claimer = self.bench.queue.claimer(shard);
                self.unblocks.add(claimer.unblock());
                let intake = Intake {
                    bench: Arc::clone(&self.bench),
                    claimer,
                    orders: self.orders.clone(),
                    book: self.book.clone(),
                    slots: Arc::clone(&self.slots),
                    jobs: self.jobs.clone(),
                    hand_back: self.hand_back.clone(),
                    next_reclaim: Instant::now(),
                    more: false,
                };
                let (drain, alarm) = (drain.clone(), drain.clone().drop_guard());
                intakes.push(tasks.spawn(async move {
                    intake.run(drain).await;
                    drop(alarm);
                }));
            }
            if !matches!(drain.run_until_cancelled(self.orders.changed()).await, Some(Ok(()))) {
                break;
            }
        }
        // Its sender ends after this, but may have failed.
        drain.cancel();
        for intake in intakes {
            if intake.await.is_err() {
                tracing::error!("an intake has panicked");
            }
        }
    }
}
