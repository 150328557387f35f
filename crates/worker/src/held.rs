use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hermod_queue::governance::Owed;
use hermod_queue::{Held, Lane, Release};
use hermod_types::{JobId, Shard};
use tokio_util::sync::CancellationToken;

/// How long it is remembered that a job is to be cancelled which is not held here, and of how many. A claim's answer may still be
/// on its way; what is forgotten is learnt with the next renewal.
const EARLY: Duration = Duration::from_secs(10);
const MOST_EARLY: usize = 10_000;

/// The jobs of one lane that this worker holds: their leases are to be renewed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HeldJobs {
    lane: Lane,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    jobs: HashMap<JobId, HeldJob>,
    early: EarlyCancels,
    /// Jobs that are to be released when the worker stops.
    released: Vec<Release>,
}

/// Jobs that are to be cancelled and are not held, and when that was heard. One that is to be cancelled ends so, whoever runs
/// it: none of these can be wrong later.
#[derive(Default)]
struct EarlyCancels(HashMap<JobId, Instant>);

impl EarlyCancels {
    fn add(&mut self, id: JobId, now: Instant) {
        if self.0.len() >= MOST_EARLY {
            self.0.retain(|_, heard| now.duration_since(*heard) < EARLY);
        }
        if self.0.len() < MOST_EARLY {
            self.0.insert(id, now);
        }
    }

    /// Whether it was among them.
    fn take(&mut self, id: JobId) -> bool {
        self.0.remove(&id).is_some()
    }
}

struct HeldJob {
    held: Held,
    lost: CancellationToken,
    cancelled: CancellationToken,
    /// Its outcome is there, and only has to be written.
    is_settling: bool,
}

/// One job among them, until it is dropped.
pub(crate) struct HeldGuard {
    jobs: HeldJobs,
    held: Held,
    lost: CancellationToken,
    cancelled: CancellationToken,
}

impl HeldJobs {
    /// None yet.
    pub(crate) fn new(lane: Lane) -> Self {
        Self { lane, inner: Arc::default() }
    }

    pub(crate) const fn lane(&self) -> Lane {
        self.lane
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Takes all that were put among those to be released.
    pub(crate) fn take_released(&self) -> Vec<Release> {
        std::mem::take(&mut self.lock().released)
    }

    /// Whether there are any.
    pub(crate) fn has_released(&self) -> bool {
        !self.lock().released.is_empty()
    }

    /// Adds a job that was just started. An older start of the same job, which this worker has lost without noticing, is
    /// told so.
    pub(crate) fn add(&self, held: Held) -> HeldGuard {
        let (lost, cancelled) = (CancellationToken::new(), CancellationToken::new());
        let entry = HeldJob {
            held: held.clone(),
            lost: lost.clone(),
            cancelled: cancelled.clone(),
            is_settling: false,
        };
        let mut inner = self.lock();
        if inner.early.take(held.id) {
            cancelled.cancel();
        }
        if let Some(older) = inner.jobs.insert(held.id, entry) {
            older.lost.cancel();
        }
        drop(inner);
        HeldGuard { jobs: self.clone(), held, lost, cancelled }
    }

    /// Those of one shard.
    pub(crate) fn of(&self, shard: Shard) -> Vec<Held> {
        let inner = self.lock();
        inner.jobs.values().map(|job| &job.held).filter(|held| held.id.shard() == shard).cloned().collect()
    }

    /// Notes that these jobs are to be ended as cancelled.
    pub(crate) fn cancel(&self, ids: impl IntoIterator<Item = JobId>) {
        let Inner { jobs, early, .. } = &mut *self.lock();
        for id in ids {
            match jobs.get(&id) {
                Some(job) => job.cancelled.cancel(),
                None => early.add(id, Instant::now()),
            }
        }
    }

    /// Notes that Redis has said that these jobs are another's by now.
    pub(crate) fn lost(&self, ids: &[JobId], held: &[Held]) {
        let inner = self.lock();
        for held in held.iter().filter(|held| ids.contains(&held.id)) {
            let Some(job) = inner.jobs.get(&held.id).filter(|job| job.held == *held) else { continue };
            // Its end may be written already, and the answer on its way; if not, the fence decides.
            if job.is_settling || job.lost.is_cancelled() {
                continue;
            }
            tracing::warn!(lane = ?self.lane, job = %held.id, "lease lost to another worker; the call is aborted");
            metrics::counter!("hermod_leases_lost_total").increment(1);
            job.lost.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldGuard {
    /// What every write must show.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Notes that the outcome is there. A lease that is lost now aborts nothing.
    pub(crate) fn settling(&self) {
        if let Some(job) = self.jobs.lock().jobs.get_mut(&self.held.id).filter(|job| job.held == self.held) {
            job.is_settling = true;
        }
    }

    /// Puts the job among those that are to be released when the worker stops. `note`: how far it has come and what it has used,
    /// if it holds limits.
    pub(crate) fn release(&self, note: Option<(String, Owed)>) {
        self.jobs.lock().released.push(Release { held: self.held.clone(), note });
    }

    /// Cancelled once the job is to be ended as such.
    pub(crate) const fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Returns once the job is no longer this worker's.
    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for HeldGuard {
    fn drop(&mut self) {
        let jobs = &mut self.jobs.lock().jobs;
        if jobs.get(&self.held.id).is_some_and(|job| job.held == self.held) {
            jobs.remove(&self.held.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_early_is_remembered_once_and_within_bounds() {
        let (mut early, start) = (EarlyCancels::default(), Instant::now());
        let ids: Vec<_> = (0..=MOST_EARLY).map(|_| JobId::new(Shard::default())).collect();
        for id in &ids {
            early.add(*id, start);
        }
        assert!(early.take(ids[0]) && !early.take(ids[0]));
        assert!(!early.take(ids[MOST_EARLY]), "there was no room for it");
        early.add(ids[0], start + EARLY);
        early.add(ids[MOST_EARLY], start + EARLY);
        assert_eq!(early.0.len(), 2, "the old ones made room");
        assert!(early.take(ids[0]) && early.take(ids[MOST_EARLY]));
    }
}
