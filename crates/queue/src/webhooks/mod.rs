//! Receivers of webhooks: what is registered of them, what is known of them, and what became of each attempt.
//!
//! All of it is on shard 0, so that it is exact over all processes.
//!
//! | key | type | |
//! |---|---|---|
//! | `{hermod:0}:webhooks` | hash | id → definition, as JSON that whoever reads it understands; `name`, `disabled` and `max_concurrent_deliveries` are looked at here |
//! | `{hermod:0}:webhook_names` | hash | name → id |
//! | `{hermod:0}:webhook:<id>` | hash | the state: `consecutive_failures`, `last_success_at`, `last_failure_at`, `failing_since`, `disabled_reason`, `disabled_at`; `service_ms` and `next_free`: how long an attempt takes, and when the next slot is free that nobody was told of |
//! | `{hermod:0}:webhook_running:<id>` | sorted set by the end of the lease (ms), expires | attempts, `<delivery id> <fence>`: those whose lease has not ended take a slot |
//! | `{hermod:0}:webhook_attempts:<id>` | stream, expires | the history: an entry an attempt |
//! | `{hermod:0}:webhook_histories` | sorted set by the last row (ms), expires | ids of endpoints that have a history |
//!
//! Definitions are read anew at each submit and each attempt, and kept nowhere else: a change counts for the very next one.

mod attempts;
mod history;
mod registry;
mod search;

use hermod_types::webhook::{DisabledReason, EndpointId, EndpointState};
use hermod_types::{Shard, Timestamp};
use serde::Deserialize;

pub use attempts::{Attempt, AttemptEnd, Begun, Recorded, Registration};
pub use history::{Page, RowId, StoredRow};
pub use registry::{MOST_ENDPOINTS, Put, Stored};
pub use search::{Filter, Found, StatusClass, Unsettled};

use crate::{Store, keys};

/// Everything about receivers. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    store: Store,
    queue: String,
}

impl Webhooks {
    /// Those in `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), queue: keys::queue(Shard::default()) }
    }
}

/// A state as the scripts give it.
#[derive(Debug, Default, Deserialize)]
struct StateRow {
    consecutive_failures: u64,
    last_success_at: Option<u64>,
    last_failure_at: Option<u64>,
    disabled_reason: Option<DisabledReason>,
}

impl From<StateRow> for EndpointState {
    fn from(row: StateRow) -> Self {
        Self {
            consecutive_failures: row.consecutive_failures,
            last_success_at: row.last_success_at.map(Timestamp::from_millis),
            last_failure_at: row.last_failure_at.map(Timestamp::from_millis),
            disabled_reason: row.disabled_reason,
        }
    }
}

/// Ids as the scripts take them.
fn texts(ids: &[EndpointId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
