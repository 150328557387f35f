use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The replies of a provider to a request that is several calls, kept from one attempt to the next: a call that was answered is not
/// paid for again because another failed.
#[derive(Debug, Default)]
pub struct Replies(Mutex<Answered>);

#[derive(Debug, Default)]
struct Answered {
    /// Who has answered, by the provider's name.
    model: String,
    /// By the number of the call.
    kept: BTreeMap<usize, Kept>,
}

#[derive(Debug)]
struct Kept {
    reply: Box<dyn Any + Send>,
    bytes: usize,
}

impl Replies {
    /// Whether nothing was answered yet.
    pub fn is_empty(&self) -> bool {
        self.lock().kept.is_empty()
    }

    /// Bytes of text in them.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().kept.values().map(|kept| kept.bytes).sum()
    }

    /// Whether the call of this number was answered.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.lock().kept.contains_key(&number)
    }

    pub(crate) fn put<R: Send + 'static>(&self, number: usize, reply: R, bytes: usize) {
        self.lock().kept.insert(number, Kept { reply: Box::new(reply), bytes });
    }

    /// All of them, in the order of the calls.
    pub(crate) fn take<R: 'static>(&self) -> Vec<R> {
        let kept = std::mem::take(&mut self.lock().kept);
        kept.into_values().filter_map(|kept| kept.reply.downcast().ok()).map(|reply| *reply).collect()
    }

    /// Drops what another model has answered: one key may mean another by the same name than the next, with other calls.
    pub(crate) fn keep_those_of(&self, model: &str) {
        let mut answered = self.lock();
        if answered.model != model {
            *answered = Answered { model: model.to_owned(), kept: BTreeMap::new() };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_two_models_are_not_mixed() {
        let replies = Replies::default();
        replies.keep_those_of("one");
        replies.put(0, 'a', 1);
        replies.keep_those_of("one");
        assert!(replies.has(0));
        replies.keep_those_of("other");
        assert_eq!((replies.has(0), replies.bytes()), (false, 0));
        replies.put(1, 'b', 1);
        assert_eq!(replies.take::<char>(), ['b']);
    }
}
