use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hermod_types::config::VirtualKey;
use hermod_types::{ApiConfig, Timestamp};

use crate::error::ApiError;

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

/// Who submits: the virtual key to act for, if one is given.
///
/// # Errors
/// For a key that is unknown, inactive or has expired, or none where one is required.
pub(crate) fn authenticate<'a>(
    headers: &HeaderMap,
    config: &'a ApiConfig,
) -> Result<Option<&'a VirtualKey>, ApiError> {
    match presented(headers) {
        Presented::Nothing if config.require_virtual_key => Err(ApiError::VirtualKeyRequired),
        Presented::Nothing => Ok(None),
        Presented::Garbage => Err(ApiError::VirtualKeyNotFound),
        Presented::Key(value) => {
            let key = config.virtual_key(value).ok_or(ApiError::VirtualKeyNotFound)?;
            key.check(Timestamp::now()).map_err(ApiError::AccessBlocked)?;
            Ok(Some(key))
        }
    }
}

/// Whether the caller of a poll may see a job of `owner`: one without an owner is open to all who know its
/// id, one with an owner to the same key only, as long as that may be used.
pub(crate) fn may_see(headers: &HeaderMap, config: &ApiConfig, owner: Option<&str>) -> bool {
    let Some(owner) = owner else { return true };
    match presented(headers) {
        Presented::Key(value) => config
            .virtual_key(value)
            .is_some_and(|key| key.id == owner && key.check(Timestamp::now()).is_ok()),
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
    [bearer, plain("x-api-key"), plain("x-goog-api-key")]
        .into_iter()
        .flatten()
        .find(|value| value.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)))
        .map_or(Presented::Nothing, Presented::Key)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
