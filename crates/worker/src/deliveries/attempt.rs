use std::time::Duration;

use hermod_providers::Meter;
use hermod_queue::webhooks::{Attempt, Begun, Registration};
use hermod_queue::{Delivery, Started};
use hermod_types::Timestamp;
use hermod_types::webhook::{self, Ending, Endpoint, Event, Limits, Outcome};
use hermod_webhooks::{Message, Verdict};
use tokio::time::Instant;

use super::Deliveries;
use super::content::{self, Wanted};
use super::insist::insist;
use super::places::Place;
use super::recipients::{Recipient, Unusable, registration_of};
use super::settle::{Done, finish};
use crate::held::HeldGuard;
use crate::trace::DeliverySpan;

/// The delay of a delivery that Redis refuses to begin.
const REFUSED: Duration = Duration::from_secs(60);
/// How long a delivery waits in the line. Other workers may hand on the slots that they have for as long as they have deliveries:
/// one of these will take it over.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the first of those that wait asks for a slot, where other workers have them all.
const ASK_INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(1);

const DISABLED: &str = "the endpoint is disabled";

/// One start of a delivery.
pub(super) struct Run<'a> {
    pub(super) all: &'a Deliveries,
    pub(super) started: &'a Started<Delivery>,
    pub(super) delivery: &'a Delivery,
    pub(super) held: &'a HeldGuard,
    pub(super) attempt: Attempt,
    /// From 1.
    pub(super) attempt_no: u32,
    pub(super) registration: Registration,
}

/// What Redis says to an attempt that has its turn.
enum Turn {
    /// It has a slot; the endpoint's definition is as it is at this moment, if it is in Redis.
    Go { definition: Option<String>, failures: u64 },
    /// Nobody is to be told.
    Retired(&'static str),
}

/// What came of an attempt.
enum Tried {
    Done(Done),
    /// The receiver does not take the event.
    Unwanted,
    /// This worker cannot make it.
    Unusable(Unusable),
}

impl<'a> Run<'a> {
    pub(super) fn new(
        all: &'a Deliveries,
        started: &'a Started<Delivery>,
        delivery: &'a Delivery,
        held: &'a HeldGuard,
    ) -> Self {
        let receiver = &delivery.hook.receiver;
        Self {
            all,
            started,
            delivery,
            held,
            attempt: Attempt {
                endpoint: receiver.endpoint_id(),
                delivery: started.held.id,
                fence: started.held.fence,
            },
            attempt_no: u32::try_from(started.attempt).unwrap_or(u32::MAX),
            registration: registration_of(receiver),
        }
    }

    pub(super) async fn run(mut self) {
        let place = match self.all.places.enter(self.attempt.endpoint) {
            Ok(place) => place,
            Err(wait) => return self.park(wait, &self.started.progress).await,
        };
        let recipient = match self.all.settings.recipients.find(&self.delivery.hook.receiver) {
            Ok(recipient) => recipient,
            Err(unusable) => return self.cannot(unusable).await,
        };
        self.registration = recipient.registration;
        let turn = tokio::select! {
            biased;
            turn = self.turn(&place) => turn,
            () = self.held.lost() => return self.leave(&place).await,
            () = self.all.stop.drain.cancelled() => {
                self.leave(&place).await;
                return self.release().await;
            }
        };
        let tried = match turn {
            Err(wait) => return self.park(wait, &self.started.progress).await,
            Ok(Turn::Retired(why)) => Tried::Done(self.retired(why)),
            Ok(Turn::Go { definition, failures }) => {
                place.begins(failures);
                let _slot = self.all.slots.add(self.attempt);
                tokio::select! {
                    biased;
                    tried = self.tried(&recipient, definition) => tried,
                    () = self.held.lost() => return self.leave(&place).await,
                    () = self.all.stop.release.cancelled() => {
                        self.held.release(None);
                        return self.leave(&place).await;
                    }
                }
            }
        };
        self.held.settling();
        match tried {
            Tried::Done(done) => self.settle(&place, done).await,
            Tried::Unwanted => {
                self.leave(&place).await;
                finish(&self.all.queue, self.held, true).await;
            }
            Tried::Unusable(unusable) => {
                self.leave(&place).await;
                self.cannot(unusable).await;
            }
        }
    }

    /// Takes a slot of the receiver. Where all are taken, it waits in the line, or is told how long to be delayed.
    async fn turn(&self, place: &Place) -> Result<Turn, Duration> {
        let mut told = None;
        if place.is_first() {
            match self.begin(false).await {
                Err(wait) => told = Some(wait),
                turn => return turn,
            }
        }
        let Some(mut waiting) = place.wait() else {
            return match told {
                Some(wait) => Err(wait),
                None => self.begin(false).await,
            };
        };
        let begun = Instant::now();
        waiting.turn().await;
        loop {
            match self.begin(true).await {
                Err(wait) if begun.elapsed() < PATIENCE => {
                    waiting.freed(wait.clamp(*ASK_INTERVAL.start(), *ASK_INTERVAL.end())).await;
                }
                turn => return turn,
            }
        }
    }

    /// Asks for a slot, until Redis has answered; where none is free, it says when to ask again.
    async fn begin(&self, again: bool) -> Result<Turn, Duration> {
        let Deliveries { webhooks, lease, .. } = self.all;
        let begun = insist(self.attempt.delivery, "begin", || async {
            if again {
                webhooks.begin_again(self.attempt, self.registration, *lease).await
            } else {
                webhooks.begin(self.attempt, self.registration, *lease).await
            }
        });
        match begun.await {
            Some(Begun::Go { definition, state }) => {
                Ok(Turn::Go { definition, failures: state.consecutive_failures })
            }
            Some(Begun::Busy { retry_in }) => Err(retry_in),
            Some(Begun::Disabled { .. }) => Ok(Turn::Retired(DISABLED)),
            Some(Begun::Gone) => Ok(Turn::Retired("the endpoint was deleted")),
            None => Err(REFUSED),
        }
    }

    /// The attempt itself, with a slot.
    async fn tried(&self, recipient: &Recipient<'_>, definition: Option<String>) -> Tried {
        let registered;
        let endpoint = match &recipient.endpoint {
            Some(endpoint) => &**endpoint,
            None => {
                match Endpoint::from_stored(&definition.unwrap_or_default(), &self.all.settings.vault) {
                    Ok(endpoint) => registered = endpoint,
                    Err(error) => return Tried::Unusable(Unusable::Here(error.to_string())),
                }
                &registered
            }
        };
        if endpoint.disabled {
            return Tried::Done(self.retired(DISABLED));
        }
        let Some(event) = endpoint.event_of(self.ending()) else { return Tried::Unwanted };
        let limits = endpoint.limits;
        if self.attempt_no > attempts_of(limits) {
            // Each of them has begun, and its worker has died.
            let error = format!("{} attempts were begun, and none has ended", attempts_of(limits));
            return Tried::Done(Done { event, ..Done::without_call(Outcome::Exhausted, error) });
        }
        let wanted = endpoint.include_response.then(|| limits.response_bytes());
        let memory = self.all.memory.of_job();
        let (body, bytes) = self.body(event, wanted).await;
        memory.add(bytes + body.len());
        let id = self.attempt.delivery.to_string();
        let mut message = Message::to(endpoint, &id, event.as_str(), body);
        let span = DeliverySpan::begin(&self.all.settings.tracing, self.delivery, &message, self.attempt_no);
        message.trace = span.told();
        let done = self.done(event, limits, self.all.settings.sender.send(message).await);
        span.end(done.outcome, done.status);
        Tried::Done(done)
    }

    /// The body, and how many bytes it was made of.
    async fn body(&self, event: Event, wanted: Wanted) -> (String, usize) {
        let delivery = self.delivery;
        let content = content::read(&self.all.records, delivery, wanted).await;
        let body = webhook::Delivery {
            id: self.attempt.delivery,
            job: delivery.job,
            hook: &delivery.hook,
            event,
            ending: self.ending(),
            now: Timestamp::now(),
            status_code: delivery.code,
            completed_at: delivery.completed,
            expires_at: delivery.expires,
            payload: content.part.payload(),
            response_status: content.response_status.as_deref(),
        };
        (body.body(), content.part.bytes())
    }

    /// What follows from the call.
    fn done(&self, event: Event, limits: Limits, made: hermod_webhooks::Attempt) -> Done {
        let (outcome, retry_in) = match made.verdict {
            Verdict::Delivered => (Outcome::Delivered, None),
            Verdict::Retry { .. } if self.attempt_no >= attempts_of(limits) => (Outcome::Exhausted, None),
            Verdict::Retry { after } => {
                let backoff = limits.backoff(self.attempt_no.saturating_sub(1));
                (Outcome::RetryableFailure, Some(backoff.max(after.unwrap_or_default())))
            }
            Verdict::Permanent { .. } => (Outcome::PermanentFailure, None),
        };
        Done {
            event,
            outcome,
            retry_in,
            status: made.status,
            error: made.error,
            took: Some(made.duration),
            wants_no_more: made.verdict == Verdict::Permanent { disable: true },
        }
    }

    /// An end without a call, as nobody is to be told.
    fn retired(&self, why: &str) -> Done {
        Done { event: self.ending().into(), ..Done::without_call(Outcome::PermanentFailure, why.to_owned()) }
    }

    /// How the job has ended.
    pub(super) const fn ending(&self) -> Ending {
        match (self.delivery.is_cancelled, self.delivery.code) {
            (true, _) => Ending::Cancelled,
            (false, 200) => Ending::Completed,
            (false, _) => Ending::Failed,
        }
    }
}

/// Attempts that a delivery has.
const fn attempts_of(limits: Limits) -> u32 {
    limits.retries().saturating_add(1)
}
