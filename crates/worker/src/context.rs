use std::sync::Arc;
use std::time::Duration;

use hermod_governance::{LiveRules, Prices, Rules};
use hermod_providers::{Meter, Providers};
use hermod_queue::governance::{Limits, LiveDefinitions};
use hermod_queue::{JobRequest, Started, WorkerQueue};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cooldown::Cooldowns;
use crate::counters::Counters;
use crate::figures::Calls;
use crate::held::HeldGuard;
use crate::job;
use crate::memory::Memory;
use crate::spend::Spending;
use crate::work::Work;

/// How often an owner that nobody knows is looked for while Redis is away, and how far apart.
const LOOKS: u32 = 20;
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What every running job reaches.
pub(crate) struct Context {
    pub(crate) providers: Providers,
    /// Who may use what, and how much of it.
    pub(crate) rules: LiveRules,
    /// How much of it is used.
    pub(crate) governance: Limits,
    /// What the rules follow from.
    pub(crate) definitions: LiveDefinitions,
    pub(crate) limits: JobLimits,
    pub(crate) queue: WorkerQueue,
    pub(crate) cooldowns: Cooldowns,
    pub(crate) counters: Counters,
    /// What calls have come to, for operators.
    pub(crate) calls: Calls,
    pub(crate) spending: Spending,
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
        (providers, rules, prices): (Providers, LiveRules, Prices),
        (governance, definitions): (Limits, LiveDefinitions),
        limits: JobLimits,
        queue: WorkerQueue,
        cooldowns: Cooldowns,
        memory: Memory,
        release: CancellationToken,
    ) -> Self {
        let counters = Counters::new(providers.names());
        let spending = Spending::new(prices);
        Self {
            providers,
            rules,
            governance,
            definitions,
            limits,
            queue,
            cooldowns,
            counters,
            calls: Calls::default(),
            spending,
            memory,
            release,
        }
    }
}

impl Context {
    /// The rules of now. Those of an owner that nobody here knows are asked for: another process may have made it just now.
    pub(crate) async fn rules_of(&self, owner: Option<&str>) -> Arc<Rules> {
        let is_known = |rules: &Rules| owner.is_none_or(|owner| rules.key(owner).is_some());
        let rules = self.rules.current();
        if is_known(&rules) {
            return rules;
        }
        for _ in 0..LOOKS {
            match self.definitions.refresh().await {
                Ok(_) => break,
                Err(error) => tracing::debug!(%error, "what is defined is not read"),
            }
            sleep(LOOK_INTERVAL).await;
        }
        self.rules.current()
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
