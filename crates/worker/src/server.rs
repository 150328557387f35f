use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hermod_providers::Providers;
use hermod_queue::{Admin, Held, Sleepers, Store, Tolerance, Unblock, WorkerName, WorkerQueue};
use hermod_service::{Metrics, Shutdown, watch_redis};
use hermod_types::config::VirtualKey;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cooldown::Cooldowns;
use crate::intake::Intake;
use crate::lease::{self, LeaseBook};
use crate::probe;

/// The longest that handing back, and writing the last ends, may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often a claim that waits is told to end, while the worker drains.
const UNBLOCK_INTERVAL: Duration = Duration::from_millis(200);
/// How often the operator's pause, and jobs whose sleep is over, are looked for.
const TICK: Duration = Duration::from_secs(1);

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
    /// Jobs that it runs at once.
    pub concurrency: usize,
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

    let queue = WorkerQueue::spawn(&work.store, work.name.clone(), work.lease, &tasks);
    let book = LeaseBook::default();
    let renewals = queue.clone();
    // A worker whose leases or whose intake have ended, for whatever reason, is none: it drains.
    let alarm = || shutdown.drain.clone().drop_guard();
    let leases = lease::keep(book.clone(), work.lease, stop.clone(), alarm(), move || renewals.leases())?;

    let (grace, concurrency, queue_store) = (work.grace, work.concurrency, work.store.clone());
    let cooldowns = Cooldowns::new(&queue_store);
    let bench = Arc::new(Bench { work, queue: queue.clone(), cooldowns, handed_back: Mutex::default() });
    let claimer = queue.claimer();
    let unblock = claimer.unblock();
    let (pause, paused) = watch::channel(false);
    tasks.spawn(watch_pause(queue_store.clone(), pause, claimer.unblock(), stop.clone()));
    tasks.spawn(wake_sleepers(Sleepers::new(&queue_store), stop.clone()));
    tasks.spawn(learn_cooldowns(Arc::clone(&bench), stop.clone()));
    let hand_back = CancellationToken::new();
    let intake = Intake {
        bench: Arc::clone(&bench),
        claimer,
        paused,
        book,
        slots: Arc::new(Semaphore::new(concurrency)),
        jobs: jobs.clone(),
        hand_back: hand_back.clone(),
    };
    let (ends, drain) = (alarm(), shutdown.drain.clone());
    let intake = tasks.spawn(async move {
        intake.run(drain).await;
        drop(ends);
    });
    tracing::info!(%address, concurrency, "working");

    shutdown.drain.cancelled().await;
    tracing::info!(running = jobs.len(), grace_seconds = grace.as_secs(), "draining");
    end_intake(intake, &unblock).await;
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
    if timeout(LAST_WORDS, leave(&queue, &handed_back)).await.is_err() {
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

/// Waits until nothing more is claimed. The claim that waits is told to end again and again, as it may be on its way
/// to Redis only now.
async fn end_intake(mut intake: JoinHandle<()>, unblock: &Unblock) {
    loop {
        if let Err(error) = unblock.run().await {
            tracing::debug!(%error, "the claim ends by itself");
        }
        if let Ok(ended) = timeout(UNBLOCK_INTERVAL, &mut intake).await {
            if ended.is_err() {
                tracing::error!("the intake has panicked");
            }
            return;
        }
    }
}

/// Hands back what still runs, and leaves the group unless others have yet to reclaim something.
async fn leave(queue: &WorkerQueue, held: &[Held]) {
    if !held.is_empty() {
        match queue.release(held).await {
            Ok(jobs) => tracing::info!(jobs, "handed back"),
            Err(error) => tracing::warn!(%error, "not handed back; others will reclaim them after the lease"),
        }
    }
    if let Err(error) = queue.leave().await {
        tracing::debug!(%error, "still a consumer of the group; a later check removes it");
    }
}

/// Mends what disagrees between records and entries, once Redis is there. It finds something only where
/// something else than Hermod wrote, or Redis lost data.
async fn repair_at_start(store: Store, stop: CancellationToken) {
    loop {
        match Admin::new(&store).check_at_start().await {
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

/// Queues the jobs whose sleep is over.
async fn wake_sleepers(mut sleepers: Sleepers, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
        match sleepers.wake().await {
            Ok(0) => {}
            Ok(jobs) => tracing::debug!(jobs, "woken"),
            Err(error) => tracing::debug!(%error, "no jobs woken"),
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

/// Tells the intake whether the operator has paused the queue.
async fn watch_pause(store: Store, pause: watch::Sender<bool>, unblock: Unblock, stop: CancellationToken) {
    let mut admin = Admin::new(&store);
    loop {
        // While Redis is away, nothing is claimed anyway.
        if let Ok(paused) = admin.is_paused().await
            && pause.send_replace(paused) != paused
        {
            tracing::info!(paused, "the operator has paused the queue, or resumed it");
            if paused && let Err(error) = unblock.run().await {
                tracing::debug!(%error, "the claim ends by itself");
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_none() {
            return;
        }
    }
}
