use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use hermod_types::Shard;

use crate::QueueError;

/// Whether Redis answers, as all that talk to it in this process have last seen it. Cheap to clone.
///
/// A change is logged once, here, however many calls fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<RwLock<BTreeMap<Part, QueueError>>>);

/// What can be away by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The one server, or the Cluster as a whole.
    Whole,
    /// The node of a Cluster that holds this shard.
    Shard(Shard),
}

impl Health {
    /// What is wrong with this part, if something is.
    pub(crate) fn fault_of(&self, part: Part) -> Option<QueueError> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&part).cloned()
    }

    /// Notes the outcome of a call, and whether it was one that writes: a Redis that refuses writes still answers
    /// the others, which does not make it well.
    pub(crate) fn note<T>(&self, part: Part, outcome: &Result<T, QueueError>, wrote: bool) {
        let shard = match part {
            Part::Whole => None,
            Part::Shard(shard) => Some(shard.number()),
        };
        match outcome {
            Ok(_) => {
                let before = self.fault_of(part);
                if before.is_some_and(|fault| wrote || !fault.refuses_writes())
                    && self.set(part, None).is_some()
                {
                    tracing::info!(shard, "Redis is back");
                }
            }
            // A missing group, or an answer that we did not expect, is still an answer.
            Err(QueueError::NoGroup | QueueError::Unexpected(_)) => {}
            Err(error) => {
                if self.set(part, Some(error.clone())).is_none() {
                    tracing::error!(%error, shard, "Redis is away");
                }
            }
        }
    }

    fn set(&self, part: Part, fault: Option<QueueError>) -> Option<QueueError> {
        let mut faults = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => faults.insert(part, fault),
            None => faults.remove(&part),
        }
    }
}
