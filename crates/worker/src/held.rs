use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hermod_queue::Held;
use hermod_types::{JobId, Shard};
use tokio_util::sync::CancellationToken;

/// The jobs that this worker holds: their leases are to be renewed. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct HeldJobs(Arc<Mutex<HashMap<JobId, HeldJob>>>);

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
        if let Some(older) = self.lock().insert(held.id, entry) {
            older.lost.cancel();
        }
        HeldGuard { jobs: self.clone(), held, lost, cancelled }
    }

    /// Those of one shard.
    pub(crate) fn of(&self, shard: Shard) -> Vec<Held> {
        let jobs = self.lock();
        jobs.values().map(|job| &job.held).filter(|held| held.id.shard() == shard).cloned().collect()
    }

    /// Notes that these jobs are to be ended as cancelled, as far as they are held here.
    pub(crate) fn cancel(&self, ids: &[JobId]) {
        let jobs = self.lock();
        for job in ids.iter().filter_map(|id| jobs.get(id)) {
            job.cancelled.cancel();
        }
    }

    /// Notes that Redis has said that these jobs are another's by now.
    pub(crate) fn lost(&self, ids: &[JobId], held: &[Held]) {
        let jobs = self.lock();
        for held in held.iter().filter(|held| ids.contains(&held.id)) {
            let Some(job) = jobs.get(&held.id).filter(|job| job.held == *held) else { continue };
            // Its end may be written already, and the answer on its way; if not, the fence decides.
            if job.is_settling || job.lost.is_cancelled() {
                continue;
            }
            tracing::warn!(job = %held.id, "lease lost to another worker; the call is aborted");
            metrics::counter!("hermod_leases_lost_total").increment(1);
            job.lost.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, HeldJob>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldGuard {
    /// What every write must show.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Notes that the outcome is there. A lease that is lost now aborts nothing.
    pub(crate) fn settling(&self) {
        if let Some(job) = self.jobs.lock().get_mut(&self.held.id).filter(|job| job.held == self.held) {
            job.is_settling = true;
        }
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
        let mut jobs = self.jobs.lock();
        if jobs.get(&self.held.id).is_some_and(|job| job.held == self.held) {
            jobs.remove(&self.held.id);
        }
    }
}
