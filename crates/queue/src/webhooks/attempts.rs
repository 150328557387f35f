use std::time::Duration;

use hermod_types::JobId;
use hermod_types::webhook::{DisabledReason, EndpointId, EndpointState, Event, Outcome};
use serde::{Deserialize, Serialize};

use super::{StateRow, Webhooks};
use crate::QueueError;
use crate::clock::millis;
use crate::script::{self, SCRIPTS};

/// How long an attempt is known after its lease, so that it is recorded once, be it late.
const KEPT: Duration = Duration::from_secs(3600);
/// The longest that one is asked to wait for a slot.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Rows that an endpoint has at most.
const MOST_ROWS: u32 = 10_000;
/// Bytes of a row's `error` at most.
const LONGEST_ERROR: usize = 1024;
/// An endpoint is disabled if it has only failed for so long, and so often.
const FAILING: Duration = Duration::from_secs(5 * 24 * 3600);
const LEAST_FAILURES: u32 = 10;
/// How long the state is kept of an endpoint that is not registered here, after its last attempt.
const STATE_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Slots of an endpoint whose definition does not say: Bifrost's default.
const DEFAULT_SLOTS: u32 = 10;

/// How an endpoint is known, and to how many attempts at once it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It was made over HTTP: its definition is in Redis, and says so.
    Registered,
    /// It stands in `config.json`.
    File { slots: u32 },
    /// A submit has named its address. It is never disabled.
    Address { slots: u32 },
}

/// One attempt of a delivery, over all of Hermod and all time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub endpoint: EndpointId,
    pub delivery: JobId,
    /// Of the delivery's record: it grows with each start, and goes on when the delivery is asked for anew.
    pub fence: u64,
}

/// What was asked for with [`Webhooks::begin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It has a slot until its lease ends.
    Go {
        /// As it is at this moment; none unless it is registered.
        definition: Option<String>,
        state: EndpointState,
    },
    /// All slots are taken; none of them before this time. The times spread those that wait.
    Busy { retry_in: Duration },
    /// The endpoint is disabled, by the operator if there is no reason. It is recorded with [`Webhooks::end`] all the same.
    Disabled { definition: Option<String>, reason: Option<DisabledReason> },
    /// The endpoint was deleted. It is recorded likewise.
    Gone,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct AttemptEnd<'a> {
    pub attempt: Attempt,
    pub registration: Registration,
    /// From 1, and again from 1 when the delivery was asked for anew.
    pub attempt_no: u32,
    pub job: JobId,
    pub request_id: &'a str,
    pub event: Event,
    pub outcome: Outcome,
    /// 0 where there was no answer.
    pub status_code: u16,
    /// What went wrong, or the beginning of the receiver's answer; the first KiB is kept.
    pub error: &'a str,
    /// How long it took; none where nothing was sent. It then counts for nothing, and is recorded alone.
    pub took: Option<Duration>,
    /// Whether the receiver wants nothing more, ever: the endpoint is disabled.
    pub wants_no_more: bool,
    /// The delivery's `request`, for a redelivery.
    pub request: &'a str,
    /// How long the row is kept.
    pub retention: Duration,
}

/// What came of [`Webhooks::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Recorded {
    /// Whether it was not recorded before.
    #[serde(rename = "recorded")]
    pub is_new: bool,
    /// Why the endpoint is disabled from now on; none if it is not, or was before.
    pub disabled: Option<DisabledReason>,
}

#[derive(Serialize)]
struct BeginArgs<'a> {
    endpoint: String,
    attempt: &'a str,
    lease_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    default_limit: u32,
    kept_ms: u64,
    longest_ms: u64,
    state_kept_ms: u64,
    again: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum BeginResult {
    Go,
    Busy,
    Disabled,
    Gone,
}

#[derive(Deserialize)]
struct BeginReply {
    result: BeginResult,
    #[serde(default)]
    retry_ms: u64,
    definition: Option<String>,
    #[serde(default)]
    state: StateRow,
}

#[derive(Serialize)]
struct SlotArgs {
    endpoint: String,
    attempt: String,
}

#[derive(Serialize)]
struct RenewArgs {
    slots: Vec<SlotArgs>,
    lease_ms: u64,
    kept_ms: u64,
}

#[derive(Serialize)]
struct EndArgs<'a> {
    endpoint: String,
    attempt: &'a str,
    kind: &'static str,
    delivery: String,
    attempt_no: u32,
    job: String,
    request_id: &'a str,
    event: Event,
    outcome: Outcome,
    code: u16,
    error: &'a str,
    request: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    gone: bool,
    retention_ms: u64,
    most_rows: u32,
    failing_ms: u64,
    least_failures: u32,
    state_kept_ms: u64,
}

impl Registration {
    const fn slots(self) -> Option<u32> {
        match self {
            Self::Registered => None,
            Self::File { slots } | Self::Address { slots } => Some(slots),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::File { .. } => "file",
            Self::Address { .. } => "address",
        }
    }
}

impl Attempt {
    fn name(self) -> String {
        format!("{} {}", self.delivery, self.fence)
    }
}

impl Webhooks {
    /// Takes a slot of the endpoint for `lease`, if one is free. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn begin(
        &self,
        attempt: Attempt,
        registration: Registration,
        lease: Duration,
    ) -> Result<Begun, QueueError> {
        self.ask(attempt, registration, lease, false).await
    }

    /// The same for one that was told to wait, and is the first of those that wait where it is. How long it is to wait now is how
    /// often slots become free: no time is set aside for it again.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn begin_again(
        &self,
        attempt: Attempt,
        registration: Registration,
        lease: Duration,
    ) -> Result<Begun, QueueError> {
        self.ask(attempt, registration, lease, true).await
    }

    /// Frees the slot of an attempt that comes to nothing: it is neither recorded nor counted. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer; the slot is then free once its lease has ended.
    pub async fn leave(&self, attempt: Attempt) -> Result<(), QueueError> {
        let args = SlotArgs { endpoint: attempt.endpoint.to_string(), attempt: attempt.name() };
        script::run(self.store.shared(), &SCRIPTS.webhook_leave, &self.queue, &args).await.map(|_: bool| ())
    }

    async fn ask(
        &self,
        attempt: Attempt,
        registration: Registration,
        lease: Duration,
        again: bool,
    ) -> Result<Begun, QueueError> {
        let args = BeginArgs {
            endpoint: attempt.endpoint.to_string(),
            attempt: &attempt.name(),
            lease_ms: millis(lease),
            limit: registration.slots(),
            default_limit: DEFAULT_SLOTS,
            kept_ms: millis(KEPT),
            longest_ms: millis(LONGEST_WAIT),
            state_kept_ms: millis(STATE_KEPT),
            again,
        };
        let reply: BeginReply =
            script::run(self.store.shared(), &SCRIPTS.webhook_begin, &self.queue, &args).await?;
        let BeginReply { result, retry_ms, definition, state } = reply;
        Ok(match result {
            BeginResult::Go => Begun::Go { definition, state: state.into() },
            BeginResult::Busy => Begun::Busy { retry_in: spread(Duration::from_millis(retry_ms)) },
            BeginResult::Disabled => Begun::Disabled { definition, reason: state.disabled_reason },
            BeginResult::Gone => Begun::Gone,
        })
    }

    /// Keeps the slots of attempts that take long, for `lease` from now. Returns how many of them had one.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn renew(&self, attempts: &[Attempt], lease: Duration) -> Result<usize, QueueError> {
        if attempts.is_empty() {
            return Ok(0);
        }
        let slot =
            |attempt: &Attempt| SlotArgs { endpoint: attempt.endpoint.to_string(), attempt: attempt.name() };
        let args = RenewArgs {
            slots: attempts.iter().map(slot).collect(),
            lease_ms: millis(lease),
            kept_ms: millis(KEPT),
        };
        script::run(self.store.shared(), &SCRIPTS.webhook_renew, &self.queue, &args).await
    }

    /// Frees the slot, records the attempt, and counts it for its endpoint: once, however often it is called.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn end(&self, end: &AttemptEnd<'_>) -> Result<Recorded, QueueError> {
        let args = EndArgs {
            endpoint: end.attempt.endpoint.to_string(),
            attempt: &end.attempt.name(),
            kind: end.registration.name(),
            delivery: end.attempt.delivery.to_string(),
            attempt_no: end.attempt_no,
            job: end.job.to_string(),
            request_id: end.request_id,
            event: end.event,
            outcome: end.outcome,
            code: end.status_code,
            error: beginning(end.error, LONGEST_ERROR),
            request: end.request,
            took_ms: end.took.map(millis),
            gone: end.wants_no_more,
            retention_ms: millis(end.retention),
            most_rows: MOST_ROWS,
            failing_ms: millis(FAILING),
            least_failures: LEAST_FAILURES,
            state_kept_ms: millis(STATE_KEPT),
        };
        script::run(self.store.shared(), &SCRIPTS.webhook_end, &self.queue, &args).await
    }
}

/// Those that are told the longest wait have no time of their own: they come back spread over half of it.
fn spread(told: Duration) -> Duration {
    if told < LONGEST_WAIT { told } else { LONGEST_WAIT.mul_f64(0.5 + fastrand::f64() / 2.0) }
}

fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_between_characters() {
        assert_eq!((beginning("", 3), beginning("abc", 3), beginning("abcd", 3)), ("", "abc", "abc"));
        assert_eq!((beginning("aüb", 2), beginning("aüb", 3)), ("a", "aü"));
    }

    #[test]
    fn those_without_a_time_of_their_own_come_back_spread() {
        let told = Duration::from_secs(7);
        assert_eq!(spread(told), told);
        for _ in 0..100 {
            let wait = spread(LONGEST_WAIT);
            assert!((LONGEST_WAIT / 2..=LONGEST_WAIT).contains(&wait), "{wait:?}");
        }
    }
}
