use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hermod_types::Shard;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::QueueError;

/// Whether Redis answers, as all that talk to it in this process have last seen it. Cheap to clone.
///
/// A change is logged once, here, however many calls fail.
#[derive(Clone, Debug)]
pub(crate) struct Health(Arc<State>);

#[derive(Debug)]
struct State {
    since: Instant,
    faults: RwLock<BTreeMap<Part, QueueError>>,
    /// When a part last failed.
    failures: RwLock<BTreeMap<Part, Instant>>,
    /// How often a part has come back, or a connection broke.
    recoveries: watch::Sender<u64>,
}

/// What can be away by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The one server, or the Cluster as a whole.
    Whole,
    /// The node of a Cluster that holds this shard.
    Shard(Shard),
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(State {
            since: Instant::now(),
            faults: RwLock::default(),
            failures: RwLock::default(),
            recoveries: watch::Sender::default(),
        }))
    }
}

impl Health {
    /// How long this part has answered without a failure; at most since this process has started.
    pub(crate) fn well_for(&self, part: Part) -> Duration {
        let failures = self.0.failures.read().unwrap_or_else(PoisonError::into_inner);
        failures.get(&part).unwrap_or(&self.0.since).elapsed()
    }

    /// What is wrong with this part, if something is.
    pub(crate) fn fault_of(&self, part: Part) -> Option<QueueError> {
        self.0.faults.read().unwrap_or_else(PoisonError::into_inner).get(&part).cloned()
    }

    /// Changes each time that a part has come back, or a connection broke: those that were made before may lead nowhere.
    pub(crate) fn recoveries(&self) -> watch::Receiver<u64> {
        self.0.recoveries.subscribe()
    }

    /// A connection broke: others to the same server may have broken without a word.
    pub(crate) fn note_break(&self) {
        self.0.recoveries.send_modify(|count| *count += 1);
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
                    // The failure lasted until now.
                    self.0
                        .failures
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(part, Instant::now());
                    tracing::info!(shard, "Redis is back");
                    self.0.recoveries.send_modify(|count| *count += 1);
                }
            }
            // It is an answer, though not the one that was hoped for; and a lack of connections is ours.
            Err(QueueError::NoGroup | QueueError::NoConnection | QueueError::Unexpected(_)) => {}
            Err(error) => {
                self.0.failures.write().unwrap_or_else(PoisonError::into_inner).insert(part, Instant::now());
                if self.set(part, Some(error.clone())).is_none() {
                    tracing::error!(%error, shard, "Redis is away");
                }
            }
        }
    }

    fn set(&self, part: Part, fault: Option<QueueError>) -> Option<QueueError> {
        let mut faults = self.0.faults.write().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => faults.insert(part, fault),
            None => faults.remove(&part),
        }
    }
}
