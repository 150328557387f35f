use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use hermod_types::{JobId, JobStatus, JobView};
use tokio::sync::Notify;

use super::{Hub, Standing, lock};
use crate::lists::listed;

/// Ends that wait for one who watches a virtual key.
const MOST_ENDS: usize = 1024;
/// Of them, those that are told together.
const ENDS_AT_ONCE: usize = 64;

/// A job that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Which.
    pub id: JobId,
    /// 200, or the code of what failed it.
    pub code: u16,
}

impl End {
    /// As much of a poll as it tells.
    fn view(&self) -> JobView {
        let mut view = JobView::accepted(self.id);
        view.status = if self.code == 200 { JobStatus::Completed } else { JobStatus::Failed };
        view.status_code = Some(self.code);
        view
    }
}

/// What one who watches a virtual key hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerNews {
    /// Some of its jobs have ended.
    Ended(Vec<End>),
    /// Ends may have been missed: a connection broke, or they were not taken fast enough.
    Missed,
    /// Redis is away. [`OwnerNews::Missed`] comes when it is back.
    Away,
}

/// What is to be told to one who watches a virtual key.
#[derive(Default)]
pub(super) struct OwnerSlot {
    pending: Mutex<Pending>,
    notify: Notify,
}

#[derive(Default)]
struct Pending {
    ends: VecDeque<End>,
    missed: bool,
    away: bool,
}

impl OwnerSlot {
    pub(super) fn tell(&self, end: End) {
        let mut pending = lock(&self.pending);
        if pending.ends.len() < MOST_ENDS {
            pending.ends.push_back(end);
        } else {
            pending.missed = true;
        }
        drop(pending);
        self.notify.notify_one();
    }

    pub(super) fn missed(&self) {
        lock(&self.pending).missed = true;
        self.notify.notify_one();
    }

    pub(super) fn away(&self) {
        lock(&self.pending).away = true;
        self.notify.notify_one();
    }
}

/// One who watches a virtual key. Dropping it ends that.
pub struct OwnerWatch {
    hub: Arc<Hub>,
    owner: String,
    slot: Arc<OwnerSlot>,
}

impl OwnerWatch {
    pub(super) fn new(hub: &Arc<Hub>, owner: &str, slot: Arc<OwnerSlot>) -> Self {
        Self { hub: Arc::clone(hub), owner: owner.to_owned(), slot }
    }

    /// Waits until all shards are listened to, or Redis is known to be away, which is told next. Safe to drop before.
    pub async fn ready(&mut self) {
        let mut away = false;
        for mut standing in self.hub.listen_to_all().await {
            // An error means that the process stops.
            let known = standing.wait_for(|standing| *standing != Standing::Starting).await;
            away |= known.is_ok_and(|standing| *standing == Standing::Away);
        }
        let mut pending = lock(&self.slot.pending);
        (pending.missed, pending.away) = (false, away);
    }

    /// Waits for something to be told. Safe to drop before.
    pub async fn next(&mut self) -> OwnerNews {
        loop {
            if let Some(news) = self.take() {
                return news;
            }
            self.slot.notify.notified().await;
        }
    }

    /// What polls of these jobs would say, less result and error, in their order. Of a record that cannot be read it is what was
    /// told of it.
    pub async fn views(&self, ends: &[End]) -> Vec<JobView> {
        let ids: Vec<JobId> = ends.iter().map(|end| end.id).collect();
        let mut read = listed(&self.hub.store, &ids).await.unwrap_or_default().into_iter();
        let view = |end: &End| {
            let read = read.next().flatten().map(|job| job.view);
            read.filter(|view| view.status.is_ended()).unwrap_or_else(|| end.view())
        };
        ends.iter().map(view).collect()
    }

    fn take(&self) -> Option<OwnerNews> {
        let mut pending = lock(&self.slot.pending);
        if !pending.ends.is_empty() {
            let next = pending.ends.len().min(ENDS_AT_ONCE);
            return Some(OwnerNews::Ended(pending.ends.drain(..next).collect()));
        }
        if std::mem::take(&mut pending.away) {
            return Some(OwnerNews::Away);
        }
        std::mem::take(&mut pending.missed).then_some(OwnerNews::Missed)
    }
}

impl Drop for OwnerWatch {
    fn drop(&mut self) {
        self.hub.forget_owner(&self.owner, &self.slot);
    }
}
