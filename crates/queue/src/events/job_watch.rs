use std::sync::{Arc, Mutex};
use std::time::Duration;

use hermod_types::JobId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::{Hub, JobEvent, Standing, lock};

/// How often whoever waits looks at the record though nothing was told: a message may be lost without a trace.
const SLOW_LOOK: Duration = Duration::from_secs(30);

/// What one who waits for a job hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The job's newest transition.
    Event(JobEvent),
    /// Something may have been missed: look at the record.
    LookAgain,
    /// Redis is away. [`News::LookAgain`] comes when it is back.
    Away,
}

/// What is to be told to one who waits for a job.
#[derive(Default)]
pub(super) struct Slot {
    pending: Mutex<Pending>,
    notify: Notify,
}

#[derive(Default)]
struct Pending {
    event: Option<JobEvent>,
    /// When to look at the record.
    look_at: Option<Instant>,
    away: bool,
}

impl Slot {
    pub(super) fn tell(&self, event: JobEvent) {
        lock(&self.pending).event = Some(event);
        self.notify.notify_one();
    }

    pub(super) fn look_within(&self, time: Duration) {
        lock(&self.pending).look_at = Some(Instant::now() + time.mul_f64(fastrand::f64()));
        self.notify.notify_one();
    }

    pub(super) fn away(&self) {
        lock(&self.pending).away = true;
        self.notify.notify_one();
    }
}

/// One who waits for a job. Dropping it ends that.
pub struct JobWatch {
    hub: Arc<Hub>,
    id: JobId,
    slot: Arc<Slot>,
    standing: watch::Receiver<Standing>,
    look_at: Instant,
}

impl JobWatch {
    pub(super) fn new(
        hub: &Arc<Hub>,
        id: JobId,
        slot: Arc<Slot>,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        Self { hub: Arc::clone(hub), id, slot, standing, look_at: slow_look() }
    }

    /// Waits until the job's shard is listened to, or Redis is known to be away. Safe to drop before.
    pub async fn ready(&mut self) {
        // An error means that the process stops.
        if self.standing.wait_for(|standing| *standing != Standing::Starting).await.is_ok() {
            *lock(&self.slot.pending) = Pending::default();
        }
    }

    /// Waits for something to be told. Safe to drop before.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.take() {
                return news;
            }
            tokio::select! {
                () = self.slot.notify.notified() => {}
                () = sleep_until(self.look_at) => {
                    self.look_at = slow_look();
                    return News::LookAgain;
                }
            }
        }
    }

    /// Has [`News::LookAgain`] come within this time, at a random moment: a look has failed.
    pub fn look_within(&self, time: Duration) {
        self.slot.look_within(time);
    }

    fn take(&mut self) -> Option<News> {
        let mut pending = lock(&self.slot.pending);
        if let Some(event) = pending.event.take() {
            return Some(News::Event(event));
        }
        if std::mem::take(&mut pending.away) {
            return Some(News::Away);
        }
        if let Some(look_at) = pending.look_at.take() {
            self.look_at = self.look_at.min(look_at);
        }
        None
    }
}

fn slow_look() -> Instant {
    Instant::now() + SLOW_LOOK.mul_f64(0.8 + 0.4 * fastrand::f64())
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        self.hub.forget(self.id, &self.slot);
    }
}
