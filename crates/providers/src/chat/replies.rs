use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Reply;

/// The replies of a provider that is asked prompt by prompt, kept from one attempt to the next: a prompt that was
/// answered is not paid for again because another failed.
#[derive(Debug, Default)]
pub struct Replies(Mutex<BTreeMap<usize, Reply>>);

impl Replies {
    /// Whether nothing was answered yet.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Bytes of text in them.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().values().flat_map(|reply| &reply.choices).map(|choice| choice.text.len()).sum()
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
