use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The replies of a provider to a request that is several calls, kept from one attempt to the next: a call that was answered is not
/// paid for again because another failed.
#[derive(Debug, Default)]
pub struct Replies(Mutex<BTreeMap<usize, Kept>>);

#[derive(Debug)]
struct Kept {
    reply: Box<dyn Any + Send>,
    bytes: usize,
}

impl Replies {
    /// Whether nothing was answered yet.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Bytes of text in them.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().values().map(|kept| kept.bytes).sum()
    }

    /// Whether the call of this number was answered.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.lock().contains_key(&number)
    }

    pub(crate) fn put<R: Send + 'static>(&self, number: usize, reply: R, bytes: usize) {
        self.lock().insert(number, Kept { reply: Box::new(reply), bytes });
    }

    /// All of them, in the order of the calls.
    pub(crate) fn take<R: 'static>(&self) -> Vec<R> {
        let kept = std::mem::take(&mut *self.lock());
        kept.into_values().filter_map(|kept| kept.reply.downcast().ok()).map(|reply| *reply).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
