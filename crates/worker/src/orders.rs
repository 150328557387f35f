//! What the worker is told from outside while it runs, and what it does each second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use hermod_queue::{Admin, ShardRoll, Sleepers, Store, Unblock};
use hermod_types::ShardCount;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often orders, and jobs whose sleep is over, are looked for.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// What the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Nothing is to be claimed. So it is until Redis has said otherwise for the first time.
    pub(crate) paused: bool,
    /// Shards to serve. Never shrinks while the worker lives.
    pub(crate) shards: ShardCount,
}

/// What ends the reads that wait, of all shards. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Unblocks(Arc<Mutex<Vec<Unblock>>>);

impl Unblocks {
    /// Adds that of one more shard.
    pub(crate) fn add(&self, unblock: Unblock) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(unblock);
    }

    /// Makes the reads return.
    pub(crate) async fn run(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for outcome in join_all(all.iter().map(Unblock::run)).await {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a claim ends by itself");
            }
        }
    }
}

/// Keeps `orders` up to date, and writes the number of shards that this worker serves again should Redis have lost it.
pub(crate) async fn follow(
    store: Store,
    orders: watch::Sender<Orders>,
    unblocks: Unblocks,
    stop: CancellationToken,
) {
    let (mut admin, mut roll) = (Admin::new(&store), ShardRoll::new(&store));
    let mut said = false;
    loop {
        let before = *orders.borrow();
        let mut now = before;
        // While Redis is away, nothing is claimed anyway.
        if let Ok(paused) = admin.is_paused().await {
            now.paused = paused;
            if paused != said {
                tracing::info!(paused, "the operator has paused the queue, or resumed it");
                said = paused;
            }
        }
        if let Ok(shards) = roll.raise(before.shards).await {
            now.shards = shards.max(before.shards);
        }
        if now.shards != before.shards {
            tracing::info!(shards = now.shards.get(), "serving more shards");
        }
        if now != before {
            orders.send_replace(now);
            // Who waits must claim nothing more, or leave slots to the new shards.
            unblocks.run().await;
        }
        if stop.run_until_cancelled(sleep(TICK)).await.is_none() {
            return;
        }
    }
}

/// Queues the jobs whose sleep is over.
pub(crate) async fn wake_sleepers(store: Store, orders: watch::Receiver<Orders>, stop: CancellationToken) {
    let mut sleepers: Vec<Sleepers> = Vec::new();
    while stop.run_until_cancelled(sleep(TICK)).await.is_some() {
        let shards = orders.borrow().shards;
        sleepers.extend(shards.shards().skip(sleepers.len()).map(|shard| Sleepers::new(&store, shard)));
        for woken in join_all(sleepers.iter_mut().map(Sleepers::wake)).await {
            match woken {
                Ok(0) => {}
                Ok(jobs) => tracing::debug!(jobs, "woken"),
                Err(error) => tracing::debug!(%error, "no jobs woken"),
            }
        }
    }
}
