use std::collections::HashMap;

use askama::Template;
use hermod_queue::{WorkerFigures, WorkerState};
use hermod_types::Timestamp;

use super::super::Ui;
use super::super::respond::{Page, UiError};
use super::super::show::{Badge, Bar, Moment, count, from_now, span};
use super::page;
use super::summary::Summary;

#[derive(Template)]
#[template(path = "workers.html")]
struct Workers {
    summary: Summary,
    workers: Vec<Worker>,
    silent: Vec<Silent>,
    running: String,
    slots: String,
}

struct Worker {
    name: String,
    version: String,
    state: Badge,
    running: String,
    bar: Bar,
    deliveries: String,
    started: Moment,
    up: String,
    seen: String,
}

/// A worker that holds jobs, and has not told of itself for long.
struct Silent {
    name: String,
    holds: usize,
    idle: String,
}

impl Worker {
    fn of(worker: &WorkerFigures, now: Timestamp) -> Self {
        let state = if worker.draining {
            Badge::new("sleeping", "stopping")
        } else if worker.leads {
            Badge::new("running", "leads")
        } else {
            Badge::new("completed", "alive")
        };
        let at = Timestamp::from_millis;
        Self {
            name: worker.name.clone(),
            version: worker.version.clone(),
            state,
            running: format!("{} of {}", count(worker.running as u64), count(worker.slots as u64)),
            bar: Bar::new(worker.running as u64, worker.slots as u64),
            deliveries: format!(
                "{} of {}",
                count(worker.deliveries_running as u64),
                count(worker.delivery_slots as u64)
            ),
            started: Moment::at_ms(worker.started_ms),
            up: super::super::show::span_ms(now.as_millis().saturating_sub(worker.started_ms)),
            seen: from_now(at(worker.seen_ms.min(now.as_millis())), now),
        }
    }
}

/// `GET /ui/workers`
///
/// # Errors
/// If Redis does not answer.
pub(in crate::ui) async fn workers(ui: &Ui) -> Result<Page, UiError> {
    let summary = Summary::read(ui).await?;
    let (fleet, known) = (ui.admin.fleet().await?, ui.admin.workers().await?);
    let now = Timestamp::now();
    let sum = |of: fn(&WorkerFigures) -> usize| count(fleet.iter().map(of).sum::<usize>() as u64);
    let alive: HashMap<&str, ()> = fleet.iter().map(|worker| (worker.name.as_str(), ())).collect();
    let is_silent = |worker: &&WorkerState| worker.holds > 0 && !alive.contains_key(worker.name.as_str());
    let silent = known.iter().filter(is_silent).map(|worker| Silent {
        name: worker.name.clone(),
        holds: worker.holds,
        idle: span(worker.idle),
    });
    let workers = Workers {
        summary,
        silent: silent.collect(),
        running: sum(|worker| worker.running),
        slots: sum(|worker| worker.slots),
        workers: fleet.iter().map(|worker| Worker::of(worker, now)).collect(),
    };
    page("Workers", &workers)
}
