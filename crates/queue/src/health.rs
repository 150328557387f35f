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

    /// Notes the outcome of a call.
    pub(crate) fn note<T>(&self, outcome: &Result<T, QueueError>) {
        let fault = outcome.as_ref().err();
        let is_down = self.0.read().unwrap_or_else(PoisonError::into_inner).is_some();
        // A missing group says that Redis is there; who asked for it makes it again.
        let fault = fault.filter(|error| !matches!(error, QueueError::NoGroup));
        match (is_down, fault) {
            (false, None) => {}
            (true, None) => {
                if self.set(None).is_some() {
                    tracing::info!("Redis is back");
                }
            }
            (_, Some(error)) => {
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
