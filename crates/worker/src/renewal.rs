use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hermod_queue::{Lane, Leases, Store, WorkerName};
use hermod_types::{Shard, ShardCount};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::held::HeldJobs;

/// Renews the leases of all held jobs each third of their length. It has a thread, a runtime and connections of its own, so
/// that a busy worker cannot starve it; and each shard is renewed by itself, so that none waits for the node of another.
///
/// While Redis is away nobody can take a job over, and a call under way is paid for: it goes on. Only Redis's word that a job
/// is another's by now ends it.
pub(crate) struct Renewal {
    pub(crate) store: Store,
    pub(crate) worker: WorkerName,
    pub(crate) jobs: HeldJobs,
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
            runtime.block_on(stop.run_until_cancelled(Box::pin(self.run())));
        })
    }

    async fn run(mut self) {
        let mut shards = FuturesUnordered::new();
        loop {
            let wanted = *self.shards.borrow_and_update();
            for shard in wanted.shards().skip(shards.len()) {
                let leases = Leases::new(&self.store, self.worker.clone(), Lane::Jobs, shard, self.lease);
                shards.push(renew(self.jobs.clone(), shard, self.lease, leases));
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

async fn renew(jobs: HeldJobs, shard: Shard, lease: Duration, leases: Leases) {
    let interval = lease / 3;
    loop {
        let held = jobs.of(shard);
        if held.is_empty() {
            sleep(interval).await;
            continue;
        }
        match leases.renew(&held).await {
            Ok(renewed) => {
                jobs.lost(&renewed.lost, &held);
                jobs.cancel(&renewed.cancelled);
                sleep(interval).await;
            }
            Err(error) => {
                tracing::debug!(shard = shard.number(), %error, "leases not renewed; trying again");
                // Nobody is in a hurry: after an outage nothing is reclaimed for longer than the interval. A fleet that renewed
                // all its leases in the moment that Redis is back would be its next outage.
                sleep(interval.mul_f64(fastrand::f64())).await;
            }
        }
    }
}
