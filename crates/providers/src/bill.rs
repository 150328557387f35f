use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hermod_types::CallUsage;

/// What the requests of one call have used, as far as their answers say. It outlives a call that is cut off, so that what was
/// answered before is not lost.
#[derive(Debug, Default)]
pub struct Bill {
    usages: Mutex<Vec<CallUsage>>,
    /// Requests that a provider has, or may have, and that it has not answered.
    open: AtomicU64,
}

impl Bill {
    /// What each answer says that was used. An answer with an error counts only if it says something.
    pub fn usages(&self) -> Vec<CallUsage> {
        self.usages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests that may have cost something, and of which nobody knows what.
    pub fn unknown(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// A request goes out.
    pub(crate) fn open(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// It has not reached the provider, or was answered in full.
    pub(crate) fn close(&self) {
        // Each was opened before.
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds what an answer that is of no use has used, if it says so.
    pub(crate) fn add_told(&self, usage: Option<CallUsage>) {
        if let Some(usage) = usage {
            self.add(usage);
        }
    }

    pub(crate) fn add(&self, usage: CallUsage) {
        self.usages.lock().unwrap_or_else(PoisonError::into_inner).push(usage);
    }
}
