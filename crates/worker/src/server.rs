use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hermod_governance::{LiveRules, Prices};
use hermod_providers::Providers;
use hermod_queue::governance::{Limits, LiveDefinitions};
use hermod_queue::{Lane, Store, Tolerance, WorkerName, WorkerQueue};
use hermod_service::{Metrics, Shutdown, follow_prices, watch_redis};
use hermod_types::ShardCount;
use hermod_types::governance::PricingSource;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::{Context, JobLimits};
use crate::control::{self, Signals};
use crate::cooldown::Cooldowns;
use crate::deliveries::{Deliveries, DeliverySettings, Stop};
use crate::figures::{Slots, Teller};
use crate::held::HeldJobs;
use crate::lane::{RunningLane, with_alarm};
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
    /// Who may use what, and how much of it.
    pub rules: LiveRules,
    pub prices: Prices,
    /// Where the operator's list of prices is.
    pub pricing: PricingSource,
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
    pub deliveries: DeliverySettings,
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
    let Worker { name, providers, rules, prices, pricing, store, tolerance, metrics, .. } = worker;
    let Worker { concurrency, memory, shards, lease, limits, deliveries, grace, .. } = worker;
    probe::describe_metrics();
    let tasks = TaskTracker::new();
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    tasks.spawn(follow_prices(pricing, prices.clone(), stop.clone()).await);
    let probes = probe::server(listener, &store, metrics.clone())?;
    let probes_handle = probes.handle();
    tasks.spawn(probes);
    let watched = Shutdown { drain: shutdown.drain.clone(), now: stop.clone() };
    let watch = tasks.spawn(watch_redis(store.clone(), tolerance, watched, false, |_| {}));
    tasks.spawn(metrics.keep_small(stop.clone()));

    let queue = WorkerQueue::new(&store, name.clone(), lease, &tasks);
    let delivery_queue = queue.of_lane();
    let signals = Arc::new(Signals::new(shards));
    let [held, held_deliveries] = Lane::ALL.map(HeldJobs::new);
    let renewal = Renewal {
        store: store.clone(),
        worker: name.clone(),
        jobs: held.clone(),
        deliveries: held_deliveries.clone(),
        lease,
        shards: signals.shards.subscribe(),
    };
    // A worker that renews no leases, or claims no jobs, for whatever reason, is none: it drains.
    let leases = renewal.spawn(stop.clone(), shutdown.drain.clone().drop_guard())?;

    let governance = Limits::of_worker(&queue, &store, &tasks);
    let release = CancellationToken::new();
    let memory = Memory::new(memory);
    let context = Arc::new(Context::new(
        (providers, rules.clone(), prices),
        (governance.clone(), LiveDefinitions::new(&store, rules)),
        limits,
        queue,
        Cooldowns::new(&store, &tasks),
        memory.clone(),
        release.clone(),
    ));
    let delivery_slots = deliveries.concurrency;
    let deliveries = Arc::new(Deliveries::new(
        &store,
        delivery_queue,
        deliveries,
        memory,
        lease,
        Stop { drain: shutdown.drain.clone(), release: release.clone() },
        &tasks,
    ));
    let slots = Slots { jobs: concurrency, deliveries: delivery_slots };
    let both_held = [held.clone(), held_deliveries.clone()];
    let teller = Teller::new(&store, name.clone(), &slots, both_held, shutdown.drain.clone());
    let context_of_control = Arc::clone(&context);
    let control =
        control::follow(store.clone(), name, context_of_control, Arc::clone(&signals), teller, stop.clone());
    // So does one that no longer hears the operator, or that leads and looks after nothing.
    tasks.spawn(with_alarm(control, shutdown.drain.clone()));
    let maintain = control::maintain(store, governance, lease, Arc::clone(&signals), stop.clone());
    tasks.spawn(with_alarm(maintain, shutdown.drain.clone()));
    tasks.spawn(Arc::clone(&deliveries).keep_slots(stop.clone()));
    let mut jobs = RunningLane::start(context, held, concurrency, &signals, &shutdown.drain, &tasks);
    let mut deliveries =
        RunningLane::start(deliveries, held_deliveries, delivery_slots, &signals, &shutdown.drain, &tasks);
    tracing::info!(%address, concurrency, delivery_slots, "working");

    shutdown.drain.cancelled().await;
    tracing::info!(
        running = jobs.len(),
        deliveries = deliveries.len(),
        grace_seconds = grace.as_secs(),
        "draining"
    );
    jobs.claims_no_more().await?;
    deliveries.claims_no_more().await?;
    let ended = || async { tokio::join!(jobs.ended(), deliveries.ended()) };
    let mut drained = tokio::select! {
        _ = ended() => Drained::Ended,
        () = shutdown.now.cancelled() => Drained::AtOnce,
        () = tokio::time::sleep(grace) => Drained::GraceOver,
    };
    release.cancel();
    if timeout(LAST_STEP, ended()).await.is_err() {
        tracing::error!(
            jobs = jobs.len(),
            deliveries = deliveries.len(),
            "outcomes could not be written; these will run again"
        );
    }
    if !jobs.has_more() && !deliveries.has_more() {
        drained = Drained::Ended;
    }
    let served = *signals.shards.borrow();
    let leave = async { tokio::join!(jobs.leave(served), deliveries.leave(served)) };
    if timeout(LAST_STEP, leave).await.is_err() {
        tracing::warn!("not released in time; others will claim them after the lease");
    }
    stop.cancel();
    probes_handle.stop(true).await;
    drop((jobs, deliveries));
    tasks.close();
    if timeout(LAST_STEP, tasks.wait()).await.is_err() || leases.join().is_err() {
        tracing::warn!("some tasks did not end");
    }
    tracing::info!(?drained, "stopped");
    watch.await??;
    Ok(drained)
}
