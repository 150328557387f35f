use std::sync::Arc;
use std::time::Duration;

use hermod_queue::webhooks::{AttemptEnd, Recorded};
use hermod_queue::{Delayed, Delivery, Ended, Settled, WorkerQueue};
use hermod_types::webhook::{Event, Outcome};
use hermod_types::{Backoff, Timestamp, Ttl};
use serde::{Deserialize, Serialize};

use super::attempt::Run;
use super::insist::insist;
use super::places::Place;
use super::recipients::Unusable;
use crate::held::HeldGuard;

/// How long the record of a delivery is kept that has ended, in seconds: if it is asked for anew meanwhile, its fence goes on.
const KEPT_SECONDS: u64 = 3600;
/// How long a delivery is kept that no worker can make: those that can may yet be started, with another configuration.
const LONGEST_UNUSABLE: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked for one.
const LOOKS: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) event: Event,
    pub(super) outcome: Outcome,
    /// When to make the next one, if there is to be one.
    pub(super) retry_in: Option<Duration>,
    /// None where there was no answer.
    pub(super) status: Option<u16>,
    /// What went wrong, with the beginning of the answer.
    pub(super) error: String,
    /// None where nothing was sent.
    pub(super) took: Option<Duration>,
    /// Whether the receiver wants nothing more, ever.
    pub(super) wants_no_more: bool,
}

/// What the record of a delivery says of its way so far.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Since when no worker could make it (ms).
    unusable_since: u64,
    /// How often it was tried since.
    looks: u32,
}

impl Done {
    /// One for which nothing was sent.
    pub(super) const fn without_call(outcome: Outcome, error: String) -> Self {
        Self {
            event: Event::Completed,
            outcome,
            retry_in: None,
            status: None,
            error,
            took: None,
            wants_no_more: false,
        }
    }
}

impl Run<'_> {
    /// Writes what became of an attempt: its row, and the delivery's end or its next time. It does not give up while the process
    /// lives.
    pub(super) async fn settle(&self, place: &Place, done: Done) {
        let recorded = self.record(&done).await;
        if let Some(took) = done.took {
            place.ended(took, done.outcome == Outcome::Delivered);
            self.all.counters.seconds.record(took);
        }
        place.frees_slot();
        self.note(&done, recorded);
        match done.retry_in {
            Some(wait) => self.delay(wait, "", true).await,
            None => finish(&self.all.queue, self.held, done.outcome == Outcome::Delivered).await,
        }
    }

    /// Gives the delivery back, for another time. This start of it does not count.
    pub(super) async fn park(&self, wait: Duration, progress: &str) {
        self.held.settling();
        self.delay(wait, progress, false).await;
    }

    /// What becomes of a delivery that this worker cannot make.
    pub(super) async fn cannot(&self, unusable: Unusable) {
        let why = match unusable {
            Unusable::Anywhere(why) => why,
            Unusable::Here(why) => {
                let now = Timestamp::now().as_millis();
                let mut progress: Progress = serde_json::from_str(&self.started.progress).unwrap_or_default();
                if progress.unusable_since == 0 {
                    progress.unusable_since = now;
                }
                if Duration::from_millis(now.saturating_sub(progress.unusable_since)) < LONGEST_UNUSABLE {
                    let wait = LOOKS.wait(progress.looks);
                    progress.looks = progress.looks.saturating_add(1);
                    tracing::info!(endpoint = %self.attempt.endpoint, delivery = %self.attempt.delivery, why, "not to be delivered from here; it waits");
                    // Integers have no way to fail to be written to memory.
                    let progress = serde_json::to_string(&progress).unwrap_or_default();
                    return self.park(wait, &progress).await;
                }
                why
            }
        };
        self.held.settling();
        let done = Done { event: self.ending().into(), ..Done::without_call(Outcome::PermanentFailure, why) };
        let recorded = self.record(&done).await;
        self.note(&done, recorded);
        finish(&self.all.queue, self.held, false).await;
    }

    /// Frees the slot of an attempt that came to nothing, if it had one.
    pub(super) async fn leave(&self, place: &Place) {
        if let Err(error) = self.all.webhooks.leave(self.attempt).await {
            tracing::debug!(delivery = %self.attempt.delivery, %error, "its slot is free after its lease");
        }
        place.frees_slot();
    }

    /// Writes the row, and counts the attempt for its endpoint, which frees its slot.
    async fn record(&self, done: &Done) -> Recorded {
        let request = self.delivery.to_stored();
        let end = AttemptEnd {
            attempt: self.attempt,
            registration: self.registration,
            attempt_no: self.attempt_no,
            job: self.delivery.job,
            request_id: &self.delivery.hook.request_id,
            event: done.event,
            outcome: done.outcome,
            status_code: done.status.unwrap_or_default(),
            error: &done.error,
            took: done.took,
            wants_no_more: done.wants_no_more,
            request: &request,
            retention: self.all.settings.history,
        };
        let recorded = insist(self.attempt.delivery, "record", || self.all.webhooks.end(&end));
        recorded.await.unwrap_or(Recorded { is_new: false, disabled: None })
    }

    /// Counts the attempt, and tells the operator of one that failed. The beginning of an answer is not for the log.
    fn note(&self, done: &Done, recorded: Recorded) {
        self.all.counters.ended(done.outcome);
        let (endpoint, delivery, job) = (self.attempt.endpoint, self.attempt.delivery, self.delivery.job);
        let (attempt, status) = (self.attempt_no, done.status);
        let error = status.is_none().then_some(done.error.as_str());
        let duration_ms = done.took.map(|took| took.as_millis());
        match done.outcome {
            Outcome::Delivered => {
                tracing::debug!(%endpoint, %delivery, %job, attempt, status, duration_ms, "delivered");
            }
            Outcome::RetryableFailure => {
                let retry_in_ms = done.retry_in.map(|wait| wait.as_millis());
                tracing::info!(%endpoint, %delivery, %job, attempt, status, error, duration_ms, retry_in_ms, "not delivered; it is tried again");
            }
            Outcome::PermanentFailure => {
                tracing::info!(%endpoint, %delivery, %job, attempt, status, error, duration_ms, "not delivered, and not tried again");
            }
            Outcome::Exhausted => {
                tracing::warn!(%endpoint, %delivery, %job, attempt, status, error, duration_ms, "not delivered; all attempts have failed");
            }
        }
        if let Some(reason) = recorded.disabled {
            metrics::counter!("hermod_webhook_endpoints_disabled_total").increment(1);
            tracing::warn!(%endpoint, ?reason, "the endpoint is disabled; nothing more is delivered to it until an operator changes that");
        }
    }

    async fn delay(&self, wait: Duration, progress: &str, counts: bool) {
        let (queue, held) = (&self.all.queue, self.held.held());
        let delayed =
            insist(self.attempt.delivery, "delay", || queue.delay(held, wait, progress, counts, None));
        if matches!(delayed.await, Some(Delayed::Cancelled | Delayed::Lost)) {
            is_lost(self.held);
        }
    }

    /// Gives the delivery back at once, for another worker.
    pub(super) async fn release(&self) {
        if let Err(error) = self.all.queue.release(&[self.held.held().clone().into()]).await {
            tracing::debug!(delivery = %self.attempt.delivery, %error, "not released; others will claim it after the lease");
        }
    }
}

/// Ends a delivery, and does not give up while the process lives.
pub(super) async fn finish(queue: &WorkerQueue<Delivery>, held: &HeldGuard, is_delivered: bool) {
    let ended = Arc::new(Ended {
        held: held.held().clone(),
        code: if is_delivered { 200 } else { 500 },
        outcome: String::new(),
        media: None,
        ttl: Ttl::from_seconds(KEPT_SECONDS).unwrap_or(Ttl::MAX),
        cancelled: false,
        given_up: None,
        owed: None,
    });
    let settled = insist(held.held().id, "finish", || queue.finish(Arc::clone(&ended)));
    match settled.await.map(|finished| finished.settled) {
        Some(Settled::Done | Settled::AlreadyDone) | None => {}
        Some(Settled::Lost | Settled::Gone | Settled::Cancelled | Settled::Expired) => is_lost(held),
    }
}

/// The receiver may be told twice, by the same id.
fn is_lost(held: &HeldGuard) {
    metrics::counter!("hermod_stale_results_total").increment(1);
    tracing::warn!(delivery = %held.held().id, "the end of a delivery was discarded: it is no longer this worker's");
}
