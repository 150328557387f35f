use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::definition::{Checked, Definition, REDACTED, Wrong};
use super::{Ending, EndpointId, Event, PrivateNetwork, SigningSecret, TargetUrl};
use crate::config::read_webhook_body;
use crate::{Backoff, Timestamp};

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

/// Why a request's body makes no endpoint: a text for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEndpoint(String);

impl Endpoint {
    /// A new one, as the body of a request has it, with a secret of ours.
    ///
    /// # Errors
    /// The first thing that is wrong with the body.
    pub fn from_body(body: &str, now: Timestamp) -> Result<Self, InvalidEndpoint> {
        let checked = checked(read_body(body)?)?;
        let made = Self::new(EndpointId::random(), checked, SigningSecret::random());
        Ok(Self { created_at: Some(now), updated_at: Some(now), ..made })
    }

    /// This one as the body of a request has it: what is absent there is cleared, but for the secrets. A header that has its
    /// placeholder for a value keeps its value.
    ///
    /// # Errors
    /// The first thing that is wrong with the body.
    pub fn replaced_by(&self, body: &str, now: Timestamp) -> Result<Self, InvalidEndpoint> {
        let mut definition = read_body(body)?;
        for (name, value) in &mut definition.headers {
            let is_it = |(kept, _): &&(String, _)| kept.eq_ignore_ascii_case(name);
            if value.expose_secret() == REDACTED
                && let Some((_, kept)) = self.headers.iter().find(is_it)
            {
                value.clone_from(kept);
            }
        }
        let replaced = Self::new(self.id, checked(definition)?, self.secret.clone());
        Ok(Self {
            old_secret: self.old_secret.clone(),
            created_at: self.created_at,
            updated_at: Some(now),
            ..replaced
        })
    }

    /// This one with a new secret. The old one signs besides for as long as `keep_old` says.
    #[must_use]
    pub fn with_new_secret(&self, keep_old: Duration, now: Timestamp) -> Self {
        let keep_millis = u64::try_from(keep_old.as_millis()).unwrap_or(u64::MAX);
        let until = Timestamp::from_millis(now.as_millis().saturating_add(keep_millis));
        Self {
            secret: SigningSecret::random(),
            old_secret: (now < until).then(|| OldSecret { secret: self.secret.clone(), until }),
            updated_at: Some(now),
            ..self.clone()
        }
    }

    /// One that stands in `config.json`.
    pub(crate) fn of_file(id: EndpointId, checked: Checked, secret: SigningSecret) -> Self {
        Self { is_from_file: true, ..Self::new(id, checked, secret) }
    }

    fn new(id: EndpointId, checked: Checked, secret: SigningSecret) -> Self {
        Self {
            id,
            name: checked.name,
            url: checked.url,
            events: checked.events,
            headers: checked.headers,
            include_response: checked.include_response,
            limits: checked.limits,
            private_network: checked.private_network,
            disabled: checked.disabled,
            virtual_key_ids: checked.virtual_key_ids,
            secret,
            old_secret: None,
            created_at: None,
            updated_at: None,
            is_from_file: false,
        }
    }

    /// Whether nothing is sent to it.
    pub const fn is_disabled(&self, state: &EndpointState) -> bool {
        self.disabled || state.disabled_reason.is_some()
    }

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

fn read_body(body: &str) -> Result<Definition, InvalidEndpoint> {
    read_webhook_body(body).map_err(InvalidEndpoint)
}

fn checked(definition: Definition) -> Result<Checked, InvalidEndpoint> {
    let first = |found: Vec<Wrong>| found.into_iter().next().map(|wrong| wrong.message).unwrap_or_default();
    definition.check().map_err(|found| InvalidEndpoint(first(found)))
}

impl Limits {
    /// Attempts after the first.
    pub const fn retries(self) -> u32 {
        or_default(self.max_retries, 4)
    }

    /// The wait before retry `n`, counted from 0; never longer than the longest.
    pub fn backoff(self, n: u32) -> Duration {
        let (initial, max) = (self.backoff_initial(), self.backoff_max());
        Backoff::new(initial, max).wait(n).min(max)
    }

    const fn backoff_initial(self) -> Duration {
        Duration::from_secs(or_default(self.retry_backoff_initial_seconds, 30) as u64)
    }

    const fn backoff_max(self) -> Duration {
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
