use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hermod_providers::Providers;
use hermod_queue::{Admin, Held, Store, Tolerance, WorkerName, WorkerQueue};
use hermod_service::{Metrics, Shutdown, watch_redis};
use hermod_types::ShardCount;
use hermod_types::config::VirtualKey;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cooldown::Cooldowns;
use crate::counters::Counters;
use crate::intakes::Intakes;
use crate::lease::{Keeper, LeaseBook};
use crate::orders::{self, Orders, TICK, Unblocks};
use crate::probe;

/// The longest that handing back, and writing the last ends, may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often a claim that waits is told to end, while the worker drains.
const UNBLOCK_INTERVAL: Duration = Duration::from_millis(200);
/// How long that may take.
const UNBLOCK_PATIENCE: Duration = Duration::from_secs(1);

/// What a worker works with.
pub struct Work {
    /// Its name, unique to this start of it.
    pub name: WorkerName,
    /// The providers to call.
    pub providers: Providers,
    /// The virtual keys that jobs may have been submitted with.
    pub virtual_keys: Vec<VirtualKey>,
    /// Its connections to Redis.
    pub store: Store,
    /// What is accepted of that Redis.
    pub tolerance: Tolerance,
    /// Its metrics.
    pub metrics: Metrics,
    /// Jobs that it runs at once, of all shards together.
    pub concurrency: usize,
    /// Shards that it serves at least; more as soon as Redis says that there are.
    pub shards: ShardCount,
    /// Time without renewal after which a job is another worker's.
    pub lease: Duration,
    /// Starts of one job before it is given up.
    pub max_attempts: u64,
    /// The longest that a job may have waited.
    pub max_wait: Duration,
    /// The longest that one start of a job may run.
    pub max_run: Duration,
    /// Time that running jobs have once it is told to drain.
    pub grace: Duration,
}

/// How a worker stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All that ran has ended.
    Ended,
    /// The grace time ran out; what still ran was handed back.
    GraceOver,
    /// It was told to stop at once; what still ran was handed back.
    AtOnce,
}

impl Drained {
    /// What the process exits with: 0, 3 or 4.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Ended => ExitCode::SUCCESS,
            Self::GraceOver => ExitCode::from(3),
            Self::AtOnce => ExitCode::from(4),
        }
    }
}

/// What every running job reaches.
pub(crate) struct Bench {
    pub(crate) work: Work,
    pub(crate) queue: WorkerQueue,
    pub(crate) cooldowns: Cooldowns,
    pub(crate) counters: Counters,
    handed_back: Mutex<Vec<Held>>,
}

impl Bench {
    /// Puts a job on the pile of those that go back to the queue.
    pub(crate) fn hand_back(&self, held: Held) {
        self.handed_back.lock().unwrap_or_else(PoisonError::into_inner).push(held);
    }
}

/// Works until `shutdown`, with health and metrics on `listener`.
///
/// # Errors
/// If it cannot run at all, or Redis must not be used. Redis being away is not such a reason: it is waited for.
pub async fn run(work: Work, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<Drained> {
    probe::describe_metrics();
    let (tasks, jobs) = (TaskTracker::new(), TaskTracker::new());
    let address = listener.local_addr()?;
    let probes = probe::server(listener, &work.store, work.metrics.clone())?;
    let probes_handle = probes.handle();
    tasks.spawn(probes);
    let stop = CancellationToken::new();
    let watched = Shutdown { drain: shutdown.drain.clone(), now: stop.clone() };
    let watch = tasks.spawn(watch_redis(work.store.clone(), work.tolerance, watched));
    tasks.spawn(work.metrics.clone().keep_small(stop.clone()));
    tasks.spawn(repair_at_start(work.store.clone(), stop.clone()));

    let queue = WorkerQueue::new(&work.store, work.name.clone(), work.lease, &tasks);
    let book = LeaseBook::default();
    let renewals = queue.clone();
    let (orders, told) = watch::channel(Orders { paused: true, shards: work.shards });
    // A worker whose leases or whose intake have ended, for whatever reason, is none: it drains.
    let alarm = shutdown.drain.clone().drop_guard();
    let keeper = Keeper { book: book.clone(), lease: work.lease, orders: told.clone() };
    let leases = keeper.spawn(stop.clone(), alarm, move || renewals.leases())?;

    let (grace, concurrency, queue_store) = (work.grace, work.concurrency, work.store.clone());
    let cooldowns = Cooldowns::new(&queue_store, &tasks);
    let counters = Counters::new(work.providers.names());
    let bench =
        Arc::new(Bench { work, queue: queue.clone(), cooldowns, counters, handed_back: Mutex::default() });
    let unblocks = Unblocks::default();
    tasks.spawn(orders::follow(queue_store.clone(), orders, unblocks.clone(), stop.clone()));
    tasks.spawn(orders::wake_sleepers(queue_store, told.clone(), stop.clone()));
    tasks.spawn(learn_cooldowns(Arc::clone(&bench), stop.clone()));
    let hand_back = CancellationToken::new();
    let intakes = Intakes {
        bench: Arc::clone(&bench),
        orders: told.clone(),
        book,
        slots: Arc::new(Semaphore::new(concurrency)),
        jobs: jobs.clone(),
        hand_back: hand_back.clone(),
        unblocks: unblocks.clone(),
    };
    let intakes = tasks.spawn(intakes.run(shutdown.drain.clone()));
    tracing::info!(%address, concurrency, "working");

    shutdown.drain.cancelled().await;
    tracing::info!(running = jobs.len(), grace_seconds = grace.as_secs(), "draining");
    end_intakes(intakes, &unblocks).await;
    jobs.close();
    let mut drained = tokio::select! {
        () = jobs.wait() => Drained::Ended,
        () = shutdown.now.cancelled() => Drained::AtOnce,
        () = tokio::time::sleep(grace) => Drained::GraceOver,
    };
    hand_back.cancel();
    if timeout(LAST_WORDS, jobs.wait()).await.is_err() {
        tracing::error!(jobs = jobs.len(), "ends could not be written; these jobs will run again");
    }
    let handed_back = std::mem::take(&mut *bench.handed_back.lock().unwrap_or_else(PoisonError::into_inner));
    if handed_back.is_empty() && jobs.is_empty() {
        drained = Drained::Ended;
    }
    if timeout(LAST_WORDS, leave(&queue, &handed_back, told.borrow().shards)).await.is_err() {
        tracing::warn!("not handed back in time; others will reclaim them after the lease");
    }
    stop.cancel();
    probes_handle.stop(true).await;
    drop((bench, queue));
    tasks.close();
    if timeout(LAST_WORDS, tasks.wait()).await.is_err() || leases.join().is_err() {
        tracing::warn!("some tasks did not end");
    }
    tracing::info!(?drained, "stopped");
    watch.await??;
    Ok(drained)
}

/// Waits until nothing more is claimed. The claims that wait are told to end again and again, as one may be on its way
/// to Redis only now.
async fn end_intakes(mut intakes: JoinHandle<()>, unblocks: &Unblocks) {
    loop {
        // One whose server hangs must not keep the others.
        let unblocked = timeout(UNBLOCK_PATIENCE, unblocks.run());
        let (_, ended) = tokio::join!(unblocked, timeout(UNBLOCK_INTERVAL, &mut intakes));
        if ended.is_ok() {
            return;
        }
    }
}

/// Hands back what still runs, and leaves the groups unless others have yet to reclaim something.
async fn leave(queue: &WorkerQueue, held: &[Held], shards: ShardCount) {
    if !held.is_empty() {
        match queue.release(held).await {
            Ok(jobs) => tracing::info!(jobs, "handed back"),
            Err(error) => tracing::warn!(%error, "not handed back; others will reclaim them after the lease"),
        }
    }
    if let Err(error) = queue.leave(shards.shards()).await {
        tracing::debug!(%error, "still a consumer of the group; a later check removes it");
    }
}

/// Mends what disagrees between records and entries, once Redis is there. It finds something only where
/// something else than Hermod wrote, or Redis lost data.
async fn repair_at_start(store: Store, stop: CancellationToken) {
    loop {
        let mut admin = Admin::new(&store);
        // With many jobs it takes minutes.
        let Some(checked) = stop.run_until_cancelled(admin.check_at_start()).await else { return };
        match checked {
            Ok(Some(findings)) if !findings.agree() => {
                tracing::warn!(?findings, "records and entries disagreed; mended");
                return;
            }
            Ok(findings) => {
                tracing::debug!(?findings, "records and entries agree");
                return;
            }
            Err(error) => tracing::debug!(%error, "records and entries not compared yet"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_none() {
            return;
        }
    }
}

/// Learns what other workers have found not worth trying.
async fn learn_cooldowns(bench: Arc<Bench>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
        if let Err(error) = bench.cooldowns.refresh().await {
            tracing::debug!(%error, "cooldowns not read");
        }
    }
}
