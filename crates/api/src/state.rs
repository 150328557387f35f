use std::sync::Arc;
use std::time::Duration;

use hermod_governance::{LiveRules, Prices};
use hermod_queue::governance::Limits;
use hermod_queue::{Events, Lists, OutcomeReader, Positions, Queue, Store};
use hermod_service::Tracing;
use hermod_types::{ApiConfig, Ttl};
use hermod_webhooks::Sender;
use tokio_util::sync::CancellationToken;

use crate::body::BodyLimits;
use crate::governance::Governance;
use crate::limits::Remaining;
use crate::memory::MemoryBudget;
use crate::once::UnderWays;
use crate::webhooks::Endpoints;

/// What requests are served with. Each server thread has its own, as it has its own connections and forms its own batches.
pub(crate) struct State {
    pub(crate) config: Arc<ApiConfig>,
    /// Who may use what, and how much of it: one for all threads.
    pub(crate) rules: LiveRules,
    /// What models cost.
    pub(crate) prices: Prices,
    /// What was used of it.
    pub(crate) admission: Limits,
    /// What answers say of that.
    pub(crate) remaining: Remaining,
    pub(crate) queue: Queue,
    pub(crate) outcomes: OutcomeReader,
    /// None where jobs are not listed.
    pub(crate) lists: Option<Lists>,
    /// One for all threads.
    pub(crate) positions: Positions,
    /// What is heard of jobs: one for all threads.
    pub(crate) events: Events,
    /// Cancelled when the process is to stop: whoever waits for a job waits no longer.
    pub(crate) draining: CancellationToken,
    pub(crate) memory: MemoryBudget,
    pub(crate) limits: BodyLimits,
    pub(crate) under_way: UnderWays,
    /// The receivers of webhooks.
    pub(crate) endpoints: Endpoints,
    /// Virtual keys, teams, limits and prices.
    pub(crate) governance: Governance,
    /// What sends tests to them.
    pub(crate) sender: Sender,
    pub(crate) store: Store,
    pub(crate) tracing: Tracing,
    /// The longest that a result is kept, whatever its client wants.
    pub(crate) max_ttl: Ttl,
    /// How long a client that wants a Response at once waits for it.
    pub(crate) longest_sync: Duration,
    /// The longest that a job waits.
    pub(crate) longest_wait: Duration,
}
