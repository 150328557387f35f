use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hermod_types::Config;
use hermod_types::config::VirtualKey;

use crate::error::ApiError;

/// Outside `x-bf-vk`, only what starts like this is a virtual key: an OpenAI SDK always sends some key.
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
/// For a key that is unknown or inactive, or none where one is required.
pub(crate) fn authenticate<'a>(
    headers: &HeaderMap,
    config: &'a Config,
) -> Result<Option<&'a VirtualKey>, ApiError> {
    match presented(headers) {
        Presented::Nothing if config.require_virtual_key => Err(ApiError::VirtualKeyRequired),
        Presented::Nothing => Ok(None),
        Presented::Garbage => Err(ApiError::VirtualKeyNotFound),
        Presented::Key(value) => {
            config.virtual_key(value).filter(|key| key.active).map(Some).ok_or(ApiError::VirtualKeyNotFound)
        }
    }
}

/// Whether the caller of a poll may see a job of `owner`: one without an owner is open to all who know its
/// id, one with an owner to the same, active key only.
pub(crate) fn may_see(headers: &HeaderMap, config: &Config, owner: Option<&str>) -> bool {
    let Some(owner) = owner else { return true };
    match presented(headers) {
        Presented::Key(value) => config.virtual_key(value).is_some_and(|key| key.active && key.id == owner),
        Presented::Nothing | Presented::Garbage => false,
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
        .find(|value| value.starts_with(PREFIX))
        .map_or(Presented::Nothing, Presented::Key)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
