//! What this worker tells operators every few seconds: how it is, and what its calls to providers have come to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hermod_queue::{CallFigures, CallsOf, Fleet, Store, WorkerFigures, WorkerName};
use hermod_types::{Target, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::held::HeldJobs;

/// How often it is told.
const INTERVAL: Duration = Duration::from_secs(5);
/// Models that have names of their own. Clients choose the models, so their number is bounded here.
const MOST_NAMES: usize = 200;
/// Of these, those that may not have answered yet.
const MOST_UNPROVEN: usize = 50;
/// The longest name of a model that is kept, in bytes.
const LONGEST_NAME: usize = 256;
/// Stands for all other models of a provider.
const OTHER: &str = "other";

/// What calls to providers have come to, and were not told yet.
#[derive(Default)]
pub(crate) struct Calls(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Models that have names of their own, for as long as the worker lives.
    names: BTreeSet<(String, String)>,
    fresh: BTreeMap<(String, String), CallsOf>,
}

impl Calls {
    /// Adds a call to `target` that has ended, and was not cancelled.
    pub(crate) fn add(&self, target: &Target, took: Duration, succeeded: bool) {
        let mut inner = self.lock();
        let name = inner.name(target.provider(), target.model(), succeeded);
        inner.fresh.entry(name).or_default().add(took, succeeded);
    }

    fn take(&self) -> BTreeMap<(String, String), CallsOf> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// Puts back what could not be told.
    fn put_back(&self, calls: BTreeMap<(String, String), CallsOf>) {
        let mut inner = self.lock();
        for (name, calls) in calls {
            inner.fresh.entry(name).or_default().merge(calls);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The names under which a call is counted.
    fn name(&mut self, provider: &str, model: &str, succeeded: bool) -> (String, String) {
        let name = (provider.to_owned(), model.to_owned());
        if self.names.contains(&name) {
            return name;
        }
        let most = if succeeded { MOST_NAMES } else { MOST_UNPROVEN };
        if model.len() > LONGEST_NAME || self.names.len() >= most {
            return (provider.to_owned(), OTHER.to_owned());
        }
        self.names.insert(name.clone());
        name
    }
}

/// Tells it.
pub(crate) struct Teller {
    fleet: Fleet,
    calls: CallFigures,
    figures: WorkerFigures,
    held: HeldJobs,
    deliveries: HeldJobs,
    drain: CancellationToken,
    next: Instant,
}

/// What a worker is for as long as it runs.
pub(crate) struct Slots {
    pub(crate) jobs: usize,
    pub(crate) deliveries: usize,
}

impl Teller {
    /// For a worker that has just started. It drains once `drain` is cancelled.
    pub(crate) fn new(
        store: &Store,
        worker: WorkerName,
        slots: &Slots,
        held: [HeldJobs; 2],
        drain: CancellationToken,
    ) -> Self {
        let [held, deliveries] = held;
        let figures = WorkerFigures {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: Timestamp::now().as_millis(),
            slots: slots.jobs,
            delivery_slots: slots.deliveries,
            ..WorkerFigures::default()
        };
        let (fleet, calls) = (Fleet::new(store, worker), CallFigures::new(store));
        Self { fleet, calls, figures, held, deliveries, drain, next: Instant::now() }
    }

    /// Tells it if it is time, or if the worker begins to drain. Is to be called each second.
    pub(crate) async fn tell(&mut self, calls: &Calls, leads: bool) {
        let draining = self.drain.is_cancelled();
        if Instant::now() < self.next && draining == self.figures.draining {
            return;
        }
        self.next = Instant::now() + INTERVAL;
        self.figures.running = self.held.len();
        self.figures.deliveries_running = self.deliveries.len();
        self.figures.leads = leads;
        self.figures.draining = draining;
        if let Err(error) = self.fleet.tell(&self.figures).await {
            tracing::debug!(%error, "operators are not told how this worker is");
        }
        self.tell_calls(calls).await;
    }

    /// Tells what is left, and that the worker is no more.
    pub(crate) async fn leave(&self, calls: &Calls) {
        self.tell_calls(calls).await;
        if let Err(error) = self.fleet.leave().await {
            tracing::debug!(%error, "this worker is forgotten by itself");
        }
    }

    async fn tell_calls(&self, calls: &Calls) {
        let fresh = calls.take();
        if fresh.is_empty() {
            return;
        }
        if let Err(error) = self.calls.add(&fresh).await {
            tracing::debug!(%error, "what calls have come to is not told yet");
            if !error.may_be_done() {
                calls.put_back(fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn add(calls: &Calls, model: &str, succeeded: bool) {
        calls.add(&format!("a/{model}").parse().unwrap(), SECOND, succeeded);
    }

    fn names(calls: &Calls) -> usize {
        calls.lock().fresh.len()
    }

    #[test]
    fn models_that_never_answer_leave_names_for_those_that_do() {
        let calls = Calls::default();
        for number in 0..3 * MOST_NAMES {
            add(&calls, &format!("wrong-{number}"), false);
        }
        assert_eq!(names(&calls), MOST_UNPROVEN + 1);
        for number in 0..3 * MOST_NAMES {
            add(&calls, &format!("right-{number}"), true);
        }
        assert_eq!(names(&calls), MOST_NAMES + 1);
        add(&calls, "right-0", false);
        add(&calls, &"x".repeat(100), true);
        assert_eq!(names(&calls), MOST_NAMES + 1);
    }

    #[test]
    fn what_could_not_be_told_is_told_later() {
        let (calls, twice) = (Calls::default(), Calls::default());
        add(&calls, "m", true);
        let fresh = calls.take();
        assert_eq!(names(&calls), 0);
        add(&calls, "m", true);
        calls.put_back(fresh);
        add(&twice, "m", true);
        add(&twice, "m", true);
        assert_eq!(calls.take(), twice.take());
    }
}
