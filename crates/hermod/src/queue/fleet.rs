use std::time::Duration;

use hermod_queue::{Admin, WorkerFigures};
use hermod_types::Timestamp;
use serde::Serialize;

use super::age;
use crate::table::table;

/// A worker, as it is printed.
#[derive(Serialize)]
pub(super) struct WorkerRow {
    name: String,
    version: String,
    started_at: Timestamp,
    seen_at: Timestamp,
    slots: usize,
    running: usize,
    delivery_slots: usize,
    deliveries_running: usize,
    /// It claims no more and is about to stop.
    draining: bool,
    /// It looks after the queue for all.
    leads: bool,
}

impl WorkerRow {
    fn of(worker: WorkerFigures) -> Self {
        let WorkerFigures { name, version, slots, running, delivery_slots, deliveries_running, .. } = worker;
        let (started_at, seen_at) =
            (Timestamp::from_millis(worker.started_ms), Timestamp::from_millis(worker.seen_ms));
        let (draining, leads) = (worker.draining, worker.leads);
        Self {
            name,
            version,
            started_at,
            seen_at,
            slots,
            running,
            delivery_slots,
            deliveries_running,
            draining,
            leads,
        }
    }

    fn state(&self) -> &'static str {
        match (self.draining, self.leads) {
            (true, _) => "drains",
            (false, true) => "works, leads",
            (false, false) => "works",
        }
    }
}

pub(super) async fn read(admin: &Admin) -> anyhow::Result<Vec<WorkerRow>> {
    Ok(admin.fleet().await?.into_iter().map(WorkerRow::of).collect())
}

pub(super) fn text(workers: &[WorkerRow]) -> String {
    if workers.is_empty() {
        return "no worker has told of itself within 20 seconds".to_owned();
    }
    let mut rows = table(["WORKER", "VERSION", "STATE", "JOBS", "DELIVERIES", "UP", "SEEN"]);
    let now = Timestamp::now().as_millis();
    for worker in workers {
        let since = |at: Timestamp| age(Duration::from_millis(now.saturating_sub(at.as_millis())));
        rows.add_row([
            worker.name.clone(),
            worker.version.clone(),
            worker.state().to_owned(),
            format!("{} of {}", worker.running, worker.slots),
            format!("{} of {}", worker.deliveries_running, worker.delivery_slots),
            since(worker.started_at),
            format!("{} ago", since(worker.seen_at)),
        ]);
    }
    rows.trim_fmt()
}
