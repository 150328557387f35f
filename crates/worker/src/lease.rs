use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hermod_queue::{Held, Leases, QueueError, ShardLeases};
use hermod_types::{JobId, Shard};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::orders::Orders;

/// Everything that this worker holds, and until when. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct LeaseBook(Arc<Mutex<HashMap<JobId, Lease>>>);

struct Lease {
    held: Held,
    /// Until when nobody else may take it, by our clock: counted from when its renewal was sent.
    until: Instant,
    lost: CancellationToken,
    /// Its result is there, and only has to be written.
    settling: bool,
}

impl Lease {
    fn is_of(&self, shard: Shard) -> bool {
        self.held.id.shard() == shard
    }
}

/// A job's place in the book: dropped when the job is settled.
pub(crate) struct LeaseGuard {
    book: LeaseBook,
    held: Held,
    lost: CancellationToken,
}

impl LeaseBook {
    /// Enters a job that was started at `since`. An older start of the same job, which this worker has
    /// lost without noticing, is told so.
    pub(crate) fn hold(&self, held: Held, since: Instant, lease: Duration) -> LeaseGuard {
        let lost = CancellationToken::new();
        let entry = Lease { held: held.clone(), until: since + lease, lost: lost.clone(), settling: false };
        if let Some(older) = self.lock().insert(held.id, entry) {
            older.lost.cancel();
        }
        LeaseGuard { book: self.clone(), held, lost }
    }

    /// Whether this job must not be started here: it runs here and is not lost, or its result waits for Redis.
    pub(crate) fn holds(&self, id: JobId) -> bool {
        self.lock().get(&id).is_some_and(|lease| lease.settling || !lease.lost.is_cancelled())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Lease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, shard: Shard) -> Vec<Held> {
        let book = self.lock();
        book.values().map(|lease| &lease.held).filter(|held| held.id.shard() == shard).cloned().collect()
    }

    fn earliest_end(&self, shard: Shard) -> Option<Instant> {
        let book = self.lock();
        let running = book.values().filter(|lease| lease.is_of(shard) && !lease.lost.is_cancelled());
        running.map(|lease| lease.until).min()
    }

    /// Tells those whose lease is over. Their results, should they have one already, are still offered: the
    /// fence decides.
    fn expire(&self, shard: Shard, now: Instant) {
        let book = self.lock();
        let over = |lease: &&Lease| lease.is_of(shard) && lease.until <= now && !lease.lost.is_cancelled();
        for lease in book.values().filter(over) {
            tracing::warn!(job = %lease.held.id, "lease not renewed in time; the call is aborted");
            metrics::counter!("hermod_leases_lost_total").increment(1);
            lease.lost.cancel();
        }
    }

    fn renewed(&self, held: &[Held], lost: &[JobId], until: Instant) {
        let mut book = self.lock();
        for held in held {
            let Some(lease) = book.get_mut(&held.id).filter(|lease| lease.held == *held) else { continue };
            if lost.contains(&held.id) {
                // Its end may be written already, and the answer on its way; if not, the fence decides.
                if lease.settling {
                    continue;
                }
                tracing::warn!(job = %held.id, "lease lost to another worker; the call is aborted");
                metrics::counter!("hermod_leases_lost_total").increment(1);
                lease.lost.cancel();
            } else {
                lease.until = until;
            }
        }
    }
}

impl LeaseGuard {
    /// What every write must show.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Notes that the result is there. A lease that ends now does not abort anything.
    pub(crate) fn settling(&self) {
        if let Some(lease) = self.book.lock().get_mut(&self.held.id).filter(|lease| lease.held == self.held) {
            lease.settling = true;
        }
    }

    /// Returns once the job is no longer this worker's.
    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        let mut book = self.book.lock();
        if book.get(&self.held.id).is_some_and(|lease| lease.held == self.held) {
            book.remove(&self.held.id);
        }
    }
}

/// Renews all leases of a book each third of their length. It has a thread and a runtime of its own, so that a busy
/// worker cannot starve it; and each shard is renewed by itself, so that none waits for the server of another.
pub(crate) struct Keeper {
    pub(crate) book: LeaseBook,
    pub(crate) lease: Duration,
    /// Which shards there are.
    pub(crate) orders: watch::Receiver<Orders>,
}

impl Keeper {
    /// Keeps on until `stop`; `leases` is made on the thread. `alarm` is dropped when it ends.
    pub(crate) fn spawn(
        self,
        stop: CancellationToken,
        alarm: DropGuard,
        leases: impl FnOnce() -> Result<Leases, QueueError> + Send + 'static,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("leases".to_owned()).spawn(move || {
            let _alarm = alarm;
            runtime.block_on(async move {
                match leases() {
                    Ok(leases) => {
                        stop.run_until_cancelled(Box::pin(self.keep(leases))).await;
                    }
                    Err(error) => tracing::error!(%error, "leases cannot be renewed"),
                }
            });
        })
    }

    async fn keep(mut self, leases: Leases) {
        let mut shards = FuturesUnordered::new();
        loop {
            let wanted = self.orders.borrow_and_update().shards;
            for shard in wanted.shards().skip(shards.len()) {
                shards.push(keep_renewing(self.book.clone(), shard, self.lease, leases.of(shard)));
            }
            // None of them ever ends.
            tokio::select! {
                changed = self.orders.changed() => if changed.is_err() { break },
                _ = shards.next() => {}
            }
        }
        shards.collect::<()>().await;
    }
}

async fn keep_renewing(book: LeaseBook, shard: Shard, lease: Duration, mut leases: ShardLeases) {
    let mut next = Instant::now();
    loop {
        sleep_until(next.min(book.earliest_end(shard).unwrap_or(next))).await;
        let sent = Instant::now();
        book.expire(shard, sent);
        let held = book.held(shard);
        if held.is_empty() {
            next = sent + lease / 3;
            continue;
        }
        // Not longer than until the first lease ends: then its call must be aborted, answer or not.
        let patience = book.earliest_end(shard).unwrap_or(sent + lease).max(sent + lease / 12);
        next = match timeout_at(patience, leases.renew(&held)).await {
            Ok(Ok(lost)) => {
                book.renewed(&held, &lost, sent + lease);
                sent + lease / 3
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "leases not renewed; trying again");
                Instant::now() + lease / 12
            }
            Err(_) => Instant::now(),
        };
    }
}
