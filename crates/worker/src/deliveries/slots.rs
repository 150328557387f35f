use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hermod_queue::webhooks::Attempt;
use hermod_types::JobId;

/// The attempts of this worker that have a slot of their receiver: the slots' leases are to be renewed. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Slots(Arc<Mutex<HashMap<JobId, Attempt>>>);

/// One of them, until it is dropped.
pub(super) struct Slot {
    slots: Slots,
    attempt: Attempt,
}

impl Slots {
    pub(super) fn add(&self, attempt: Attempt) -> Slot {
        self.lock().insert(attempt.delivery, attempt);
        Slot { slots: self.clone(), attempt }
    }

    pub(super) fn all(&self) -> Vec<Attempt> {
        self.lock().values().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = self.slots.lock();
        // A later start of the same delivery may have taken its place.
        if slots.get(&self.attempt.delivery) == Some(&self.attempt) {
            slots.remove(&self.attempt.delivery);
        }
    }
}
