use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hermod_providers::Meter;
use tokio::sync::Notify;

/// The largest body that an API process takes unless it is told otherwise, in bytes.
const USUAL_LARGEST: usize = 10 << 20;

/// How many bytes of bodies and answers a worker has in memory. What a running job needs is never refused; while the limit is
/// passed, nothing more is claimed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
    freed: Notify,
}

/// What one job has in memory; freed when dropped.
#[derive(Debug)]
pub(crate) struct JobMemory {
    memory: Memory,
    bytes: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Inner { limit, used: AtomicUsize::new(0), freed: Notify::new() }))
    }

    /// Returns once there is room.
    pub(crate) async fn room(&self) {
        loop {
            let freed = self.0.freed.notified();
            if self.0.used.load(Ordering::Acquire) < self.0.limit {
                return;
            }
            freed.await;
        }
    }

    /// Jobs that may be claimed now, at least one: there is room for so many of the largest usual bodies.
    pub(crate) fn most_jobs(&self) -> usize {
        (self.0.limit.saturating_sub(self.0.used.load(Ordering::Acquire)) / USUAL_LARGEST).max(1)
    }

    /// The account of one job.
    pub(crate) fn of_job(&self) -> JobMemory {
        JobMemory { memory: self.clone(), bytes: AtomicUsize::new(0) }
    }
}

impl Meter for JobMemory {
    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.memory.0.used.fetch_add(bytes, Ordering::AcqRel);
    }
}

impl Drop for JobMemory {
    fn drop(&mut self) {
        let Inner { limit, used, freed } = &*self.memory.0;
        let bytes = *self.bytes.get_mut();
        let before = used.fetch_sub(bytes, Ordering::AcqRel);
        if before >= *limit {
            freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_room_again_once_a_job_is_gone() {
        let memory = Memory::new(100);
        memory.room().await;
        let (small, large) = (memory.of_job(), memory.of_job());
        small.add(60);
        memory.room().await;
        large.add(60);
        let mut waiting = std::pin::pin!(memory.room());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(small);
        waiting.await;
        drop(large);
    }
}
