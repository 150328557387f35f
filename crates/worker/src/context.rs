use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hermod_providers::Providers;
use hermod_queue::{Held, WorkerQueue};
use hermod_types::config::VirtualKey;

use crate::cooldown::Cooldowns;
use crate::counters::Counters;
use crate::memory::Memory;

/// What every running job reaches.
pub(crate) struct Context {
    pub(crate) providers: Providers,
    /// The virtual keys that jobs may have been submitted with.
    pub(crate) virtual_keys: Vec<VirtualKey>,
    pub(crate) limits: JobLimits,
    pub(crate) queue: WorkerQueue,
    pub(crate) cooldowns: Cooldowns,
    pub(crate) counters: Counters,
    pub(crate) memory: Memory,
    released: Mutex<Vec<Held>>,
}

/// What one job may take.
#[derive(Clone, Copy, Debug)]
pub struct JobLimits {
    /// Starts of one job before it is given up.
    pub attempts: u64,
    /// The longest that it may wait in one go.
    pub wait: Duration,
    /// The longest that it may run, with all retries and fallbacks.
    pub run: Duration,
}

impl Context {
    pub(crate) fn new(
        (providers, virtual_keys): (Providers, Vec<VirtualKey>),
        limits: JobLimits,
        queue: WorkerQueue,
        cooldowns: Cooldowns,
        memory: Memory,
    ) -> Self {
        let counters = Counters::new(providers.names());
        Self {
            providers,
            virtual_keys,
            limits,
            queue,
            cooldowns,
            counters,
            memory,
            released: Mutex::default(),
        }
    }

    /// Puts a job among those that are to be released when the worker stops.
    pub(crate) fn release(&self, held: Held) {
        self.released.lock().unwrap_or_else(PoisonError::into_inner).push(held);
    }

    /// Takes all of those.
    pub(crate) fn take_released(&self) -> Vec<Held> {
        std::mem::take(&mut *self.released.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
