use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hermod_governance::Rules;
use hermod_types::Timestamp;
use hermod_types::governance::VirtualKey;

use crate::error::ApiError;
use crate::state::State;

/// Outside `x-bf-vk`, only what starts like this, in upper or lower case, is a virtual key: an OpenAI SDK always sends
/// some key.
const PREFIX: &str = "sk-bf-";

/// The virtual key that a request carries, as sent.
enum Presented<'a> {
    Nothing,
    Key(&'a str),
    /// Not text, so certainly none of ours.
    Garbage,
}

/// Who asks, and the rules of that moment.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) rules: Arc<Rules>,
    /// The id of the virtual key to act for; none without a key.
    pub(crate) owner: Option<String>,
}

impl Caller {
    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    pub(crate) fn key(&self) -> Option<&VirtualKey> {
        self.rules.key(self.owner()?)
    }
}

/// Who submits: the virtual key to act for, if one is given.
///
/// # Errors
/// For a key that is unknown, inactive or has expired, or none where one is required.
pub(crate) async fn authenticate(headers: &HeaderMap, state: &State) -> Result<Caller, ApiError> {
    learn(headers, state).await?;
    let rules = state.rules.current();
    match presented(headers) {
        Presented::Nothing if state.config.require_virtual_key => Err(ApiError::VirtualKeyRequired),
        Presented::Nothing => Ok(Caller { rules, owner: None }),
        Presented::Garbage => Err(ApiError::VirtualKeyNotFound),
        Presented::Key(value) => {
            let now = Timestamp::now();
            let owner = rules.key_of_value(value, now).ok_or(ApiError::VirtualKeyNotFound)?.id.clone();
            rules.admits(Some(&owner), now)?;
            Ok(Caller { rules, owner: Some(owner) })
        }
    }
}

/// Sees to it that a key is known that another process has made just now.
///
/// # Errors
/// If that cannot be found out.
pub(crate) async fn learn(headers: &HeaderMap, state: &State) -> Result<(), ApiError> {
    if let Presented::Key(value) = presented(headers)
        && state.rules.current().key_of_value(value, Timestamp::now()).is_none()
    {
        state.governance.live.refresh().await.map_err(ApiError::Unavailable)?;
    }
    Ok(())
}

/// Whether the caller of a poll may see a job of `owner`: one without an owner is open to all who know its
/// id, one with an owner to the same key only, as long as that may be used.
pub(crate) fn may_see(headers: &HeaderMap, state: &State, owner: Option<&str>) -> bool {
    let Some(owner) = owner else { return true };
    let now = Timestamp::now();
    match presented(headers) {
        Presented::Key(value) => state
            .rules
            .current()
            .key_of_value(value, now)
            .is_some_and(|key| key.id == owner && key.check(now).is_ok()),
        Presented::Nothing | Presented::Garbage => false,
    }
}

/// The value of the virtual key that a request carries.
pub(crate) fn virtual_key_of(headers: &HeaderMap) -> Option<&str> {
    match presented(headers) {
        Presented::Key(value) => Some(value),
        Presented::Nothing | Presented::Garbage => None,
    }
}

fn presented(headers: &HeaderMap) -> Presented<'_> {
    if let Some(value) = headers.get("x-bf-vk").filter(|value| !value.is_empty()) {
        return value.to_str().map_or(Presented::Garbage, |value| Presented::Key(value.trim()));
    }
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let plain = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    [bearer, plain("x-api-key"), plain("x-goog-api-key"), plain("api-key")]
        .into_iter()
        .flatten()
        .find(|value| value.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)))
        .map_or(Presented::Nothing, Presented::Key)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
