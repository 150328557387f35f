use std::sync::{Arc, PoisonError, RwLock};

use crate::QueueError;

/// Whether Redis answers, as all that talk to it in this process have last seen it. Cheap to clone.
///
/// A change is logged once, here, however many calls fail.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<RwLock<Option<QueueError>>>);

impl Health {
    /// What is wrong, if something is.
    pub fn fault(&self) -> Option<QueueError> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the outcome of a call, and whether it was one that writes: a Redis that refuses writes still answers
    /// the others, which does not make it well.
    pub(crate) fn note<T>(&self, outcome: &Result<T, QueueError>, wrote: bool) {
        let before = self.fault();
        match outcome {
            Ok(_) if before.as_ref().is_some_and(|fault| wrote || !fault.refuses_writes()) => {
                if self.set(None).is_some() {
                    tracing::info!("Redis is back");
                }
            }
            // A missing group, or an answer that we did not expect, is still an answer.
            Ok(_) | Err(QueueError::NoGroup | QueueError::Unexpected(_)) => {}
            Err(error) => {
                if self.set(Some(error.clone())).is_none() {
                    tracing::error!(%error, "Redis is away");
                }
            }
        }
    }

    fn set(&self, fault: Option<QueueError>) -> Option<QueueError> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), fault)
    }
}
