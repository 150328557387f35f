use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Reply;

/// What a provider that is asked prompt by prompt has answered, kept from one attempt to the next: a prompt that was
/// answered is not paid for again because another failed.
#[derive(Debug, Default)]
pub struct Answered(Mutex<BTreeMap<usize, Reply>>);

impl Answered {
    /// Whether nothing was answered yet.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Whether the call of this number was answered.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.lock().contains_key(&number)
    }

    pub(crate) fn put(&self, number: usize, reply: Reply) {
        self.lock().insert(number, reply);
    }

    /// All of them, in the order of the calls.
    pub(crate) fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut *self.lock()).into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Reply>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
