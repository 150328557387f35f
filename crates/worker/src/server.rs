use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hermod_providers::Providers;
use hermod_queue::{Held, Store, Tolerance, WorkerName, WorkerQueue};
use hermod_service::{Metrics, Shutdown, watch_redis};
use hermod_types::ShardCount;
use hermod_types::config::VirtualKey;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::{Context, JobLimits};
use crate::control::{self, Signals};
use crate::cooldown::Cooldowns;
use crate::fetch::Fetcher;
use crate::held::HeldJobs;
use crate::memory::Memory;
use crate::probe;
use crate::renewal::Renewal;

/// The longest that each of the last steps may take: writing the last outcomes, releasing jobs, ending tasks.
const LAST_STEP: Duration = Duration::from_secs(5);

/// What a worker is made of.
pub struct Worker {
    /// Unique to this start of it.
    pub name: WorkerName,
    pub providers: Providers,
    /// The virtual keys that jobs may have been submitted with.
    pub virtual_keys: Vec<VirtualKey>,
    pub store: Store,
    /// What is accepted of that Redis.
    pub tolerance: Tolerance,
    pub metrics: Metrics,
    /// Jobs that it runs at once, of all shards together.
    pub concurrency: usize,
    /// Bytes of bodies and answers in memory beyond which it claims no more jobs.
    pub memory: usize,
    /// Shards that it serves until Redis has said how many there are.
    pub shards: ShardCount,
    /// Time without renewal after which a job is another worker's.
    pub lease: Duration,
    pub limits: JobLimits,
    /// Time that running jobs have once it is told to drain.
    pub grace: Duration,
}

/// How a worker stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All that ran has ended.
    Ended,
    /// The grace time ran out; what still ran was released.
    GraceOver,
    /// It was told to stop at once; what still ran was released.
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

/// Works until `shutdown`, with health and metrics on `listener`.
///
/// # Errors
/// If it cannot run at all, or Redis must not be used. Redis being away is not such a reason: it is waited for.
pub async fn run(worker: Worker, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<Drained> {
    let Worker { name, providers, virtual_keys, store, tolerance, metrics, concurrency, .. } = worker;
    let Worker { memory, shards, lease, limits, grace, .. } = worker;
    probe::describe_metrics();
    let (tasks, jobs) = (TaskTracker::new(), TaskTracker::new());
    let address = listener.local_addr()?;
    let probes = probe::server(listener, &store, metrics.clone())?;
    let probes_handle = probes.handle();
    tasks.spawn(probes);
    let stop = CancellationToken::new();
    let watched = Shutdown { drain: shutdown.drain.clone(), now: stop.clone() };
    let watch = tasks.spawn(watch_redis(store.clone(), tolerance, watched, false, |_| {}));
    tasks.spawn(metrics.keep_small(stop.clone()));

    let queue = WorkerQueue::new(&store, name.clone(), lease, &tasks);
    let (held, signals) = (HeldJobs::default(), Arc::new(Signals::new(shards)));
    let renewal = Renewal {
        store: store.clone(),
        worker: name.clone(),
        jobs: held.clone(),
        lease,
        shards: signals.shards.subscribe(),
    };
    // A worker that renews no leases, or claims no jobs, for whatever reason, is none: it drains.
    let leases = renewal.spawn(stop.clone(), shutdown.drain.clone().drop_guard())?;

    let context = Arc::new(Context::new(
        (providers, virtual_keys),
        limits,
        queue.clone(),
        Cooldowns::new(&store, &tasks),
        Memory::new(memory),
    ));
    let control =
        control::follow(store.clone(), name, Arc::clone(&context), Arc::clone(&signals), stop.clone());
    // So does one that no longer hears the operator, or that leads and looks after nothing.
    tasks.spawn(with_alarm(control, shutdown.drain.clone()));
    let maintain = control::maintain(store, lease, Arc::clone(&signals), stop.clone());
    tasks.spawn(with_alarm(maintain, shutdown.drain.clone()));
    let release = CancellationToken::new();
    let fetcher = Fetcher {
        context: Arc::clone(&context),
        held,
        slots: Arc::new(Semaphore::new(concurrency)),
        jobs: jobs.clone(),
        release: release.clone(),
        paused: signals.paused.subscribe(),
    };
    let fetchers = tasks.spawn(fetch(fetcher, signals.shards.subscribe(), shutdown.drain.clone()));
    tracing::info!(%address, concurrency, "working");

    shutdown.drain.cancelled().await;
    tracing::info!(running = jobs.len(), grace_seconds = grace.as_secs(), "draining");
    fetchers.await?;
    jobs.close();
    let mut drained = tokio::select! {
        () = jobs.wait() => Drained::Ended,
        () = shutdown.now.cancelled() => Drained::AtOnce,
        () = tokio::time::sleep(grace) => Drained::GraceOver,
    };
    release.cancel();
    if timeout(LAST_STEP, jobs.wait()).await.is_err() {
        tracing::error!(jobs = jobs.len(), "outcomes could not be written; these jobs will run again");
    }
    let released = context.take_released();
    if released.is_empty() && jobs.is_empty() {
        drained = Drained::Ended;
    }
    let served = *signals.shards.borrow();
    if timeout(LAST_STEP, leave(&queue, &released, served)).await.is_err() {
        tracing::warn!("not released in time; others will claim them after the lease");
    }
    stop.cancel();
    probes_handle.stop(true).await;
    drop((context, queue));
    tasks.close();
    if timeout(LAST_STEP, tasks.wait()).await.is_err() || leases.join().is_err() {
        tracing::warn!("some tasks did not end");
    }
    tracing::info!(?drained, "stopped");
    watch.await??;
    Ok(drained)
}

/// Runs `task`, and drains the worker when it ends, for whatever reason.
async fn with_alarm(task: impl Future<Output = ()>, drain: CancellationToken) {
    let _alarm = drain.drop_guard();
    task.await;
}

/// Claims jobs of each shard until `drain`. One shard whose task ends, for whatever reason, drains the worker: it would serve
/// all but that one.
async fn fetch(fetcher: Fetcher, mut shards: watch::Receiver<ShardCount>, drain: CancellationToken) {
    let tasks = TaskTracker::new();
    let mut started = 0;
    loop {
        let wanted = *shards.borrow_and_update();
        for shard in wanted.shards().skip(started) {
            started += 1;
            let Ok(claimer) = fetcher.context.queue.claimer(shard) else { continue };
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

/// Releases what still runs, and leaves the groups unless others have yet to claim something.
async fn leave(queue: &WorkerQueue, held: &[Held], shards: ShardCount) {
    if !held.is_empty() {
        match queue.release(held).await {
            Ok(jobs) => tracing::info!(jobs, "released"),
            Err(error) => tracing::warn!(%error, "not released; others will claim them after the lease"),
        }
    }
    if let Err(error) = queue.leave(shards.shards()).await {
        tracing::debug!(%error, "still a consumer of the group; a later check removes it");
    }
}
