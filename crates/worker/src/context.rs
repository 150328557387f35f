use std::sync::Arc;
use std::time::Duration;

use hermod_governance::LiveRules;
use hermod_providers::{Meter, Providers};
use hermod_queue::governance::Limits;
use hermod_queue::{JobRequest, Started, WorkerQueue};
use tokio_util::sync::CancellationToken;

use crate::cooldown::Cooldowns;
use crate::counters::Counters;
use crate::held::HeldGuard;
use crate::job;
use crate::memory::Memory;
use crate::work::Work;

/// What every running job reaches.
pub(crate) struct Context {
    pub(crate) providers: Providers,
    /// Who may use what, and how much of it.
    pub(crate) rules: LiveRules,
    /// How much of it is used.
    pub(crate) governance: Limits,
    pub(crate) limits: JobLimits,
    pub(crate) queue: WorkerQueue,
    pub(crate) cooldowns: Cooldowns,
    pub(crate) counters: Counters,
    pub(crate) memory: Memory,
    /// Ends running jobs early: they are released.
    pub(crate) release: CancellationToken,
}

/// What one job may take.
#[derive(Clone, Copy, Debug)]
pub struct JobLimits {
    /// Starts of one job before it is given up.
    pub attempts: u64,
    /// The longest that it may wait in one go.
    pub wait: Duration,
    /// The longest that it may run, with all retries and fallbacks.
    pub run: Duration,
}

impl Context {
    pub(crate) fn new(
        (providers, rules): (Providers, LiveRules),
        governance: Limits,
        limits: JobLimits,
        queue: WorkerQueue,
        cooldowns: Cooldowns,
        memory: Memory,
        release: CancellationToken,
    ) -> Self {
        let counters = Counters::new(providers.names());
        Self { providers, rules, governance, limits, queue, cooldowns, counters, memory, release }
    }
}

impl Work for Context {
    type Payload = JobRequest;

    fn queue(&self) -> &WorkerQueue {
        &self.queue
    }

    async fn room(&self) {
        self.memory.room().await;
    }

    fn most(&self) -> usize {
        self.memory.most_jobs()
    }

    async fn run(self: Arc<Self>, started: Started, held: HeldGuard) {
        let memory = self.memory.of_job();
        memory.add(started.body_bytes());
        self.counters.started.increment(1);
        self.counters.running.increment(1);
        job::run(&self, started, held, memory).await;
        self.counters.running.decrement(1);
    }
}
