use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Ending, EndpointId, Event, PrivateNetwork, SigningSecret, TargetUrl};
use crate::Timestamp;

/// A receiver that an operator has registered.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub id: EndpointId,
    /// What a submit calls it.
    pub name: String,
    pub url: TargetUrl,
    /// What it is told of; never empty.
    pub events: Vec<Event>,
    /// Sent with each delivery.
    pub headers: Vec<(String, SecretString)>,
    /// Whether the result or the error goes along.
    pub include_response: bool,
    pub limits: Limits,
    /// Whether it may be at a private or loopback address.
    pub private_network: PrivateNetwork,
    /// By the operator. See also [`EndpointState::disabled_reason`].
    pub disabled: bool,
    /// Ids of the virtual keys that may name it; none means any.
    pub virtual_key_ids: Option<Vec<String>>,
    pub secret: SigningSecret,
    /// What deliveries are signed with besides, for a time after a rotation.
    pub old_secret: Option<OldSecret>,
    /// None for one of `config.json`.
    pub created_at: Option<Timestamp>,
    /// None for one of `config.json`.
    pub updated_at: Option<Timestamp>,
    /// Whether it stands in `config.json`, and cannot be changed over HTTP.
    pub is_from_file: bool,
}

/// A secret that was replaced.
#[derive(Clone, Debug)]
pub struct OldSecret {
    pub secret: SigningSecret,
    /// From then on it signs no more.
    pub until: Timestamp,
}

/// The numbers of an [`Endpoint`] as they were given: 0 stands for the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    #[serde(default)]
    pub max_retries: u32,
    #[serde(default)]
    pub retry_backoff_initial_seconds: u32,
    #[serde(default)]
    pub retry_backoff_max_seconds: u32,
    #[serde(default)]
    pub attempt_timeout_seconds: u32,
    #[serde(default)]
    pub max_response_payload_kbs: u32,
    #[serde(default)]
    pub max_concurrent_deliveries: u32,
}

/// What is known of an endpoint besides its definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointState {
    /// Attempts that failed since the last that did not.
    pub consecutive_failures: u64,
    pub last_success_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
    /// Set where it was disabled without the operator.
    pub disabled_reason: Option<DisabledReason>,
}

/// Why an endpoint was disabled without the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// It has answered 410.
    Gone,
    /// It has failed for five days.
    Failing,
}

impl Endpoint {
    /// What it is told of a job that ended like this; none where it does not take it.
    pub fn event_of(&self, ending: Ending) -> Option<Event> {
        let takes = |event: &Event| self.events.contains(event);
        let event = Some(Event::from(ending)).filter(takes);
        event.or_else(|| (ending == Ending::Cancelled).then_some(Event::Failed).filter(takes))
    }

    /// What a delivery at `now` is signed with, the newest first.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &SigningSecret> {
        let old = self.old_secret.as_ref().filter(move |old| now < old.until).map(|old| &old.secret);
        std::iter::once(&self.secret).chain(old)
    }

    /// Whether a job of this owner may name it.
    pub fn serves(&self, owner: Option<&str>) -> bool {
        match &self.virtual_key_ids {
            None => true,
            Some(ids) => owner.is_some_and(|owner| ids.iter().any(|id| id == owner)),
        }
    }
}

impl Limits {
    /// Attempts after the first.
    pub const fn retries(self) -> u32 {
        or_default(self.max_retries, 4)
    }

    /// The wait before the first retry; it doubles with each further one.
    pub const fn backoff_initial(self) -> Duration {
        Duration::from_secs(or_default(self.retry_backoff_initial_seconds, 30) as u64)
    }

    /// The longest such wait.
    pub const fn backoff_max(self) -> Duration {
        Duration::from_secs(or_default(self.retry_backoff_max_seconds, 1800) as u64)
    }

    /// How long an attempt may take, from DNS to the answer's last byte.
    pub const fn attempt_timeout(self) -> Duration {
        Duration::from_secs(or_default(self.attempt_timeout_seconds, 10) as u64)
    }

    /// Bytes of a result or error that go along at most.
    pub const fn response_bytes(self) -> u64 {
        or_default(self.max_response_payload_kbs, 256) as u64 * 1024
    }

    /// Deliveries under way at once, over all workers.
    pub const fn concurrent_deliveries(self) -> u32 {
        or_default(self.max_concurrent_deliveries, 10)
    }
}

const fn or_default(value: u32, default: u32) -> u32 {
    if value == 0 { default } else { value }
}
