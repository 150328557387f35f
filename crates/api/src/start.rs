//! Jobs that are not to be started at once.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderValue};
use hermod_queue::Start;
use hermod_types::Timestamp;

use crate::error::ApiError;

const RUN_AT: &str = "x-hermod-run-at";
const DELAY: &str = "x-hermod-delay";
const MOST_DAYS: u64 = 30;
const MOST: Duration = Duration::from_secs(MOST_DAYS * 24 * 3600);

/// The earliest start that a submit asks for; none for at once.
///
/// # Errors
/// If it is no time, too late, or said twice.
pub(crate) fn start_of(headers: &HeaderMap) -> Result<Option<Start>, ApiError> {
    let invalid = |name, what: &str| Err(ApiError::invalid(format!("header {name} {what}")));
    let too_late = |name| invalid(name, &format!("must be at most {MOST_DAYS} days ahead"));
    match (only(headers, RUN_AT)?, only(headers, DELAY)?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(ApiError::invalid(format!("only one of {RUN_AT} and {DELAY} may be given")))
        }
        (Some(at), None) => {
            let Some(at) = Timestamp::from_rfc3339(at) else {
                return invalid(RUN_AT, "must be a time of RFC 3339, such as 2026-02-19T08:10:17Z");
            };
            let ahead = at.as_millis().saturating_sub(Timestamp::now().as_millis());
            if Duration::from_millis(ahead) > MOST {
                return too_late(RUN_AT);
            }
            Ok(Some(Start::At(at)))
        }
        (None, Some(delay)) => {
            if delay.is_empty() || !delay.bytes().all(|byte| byte.is_ascii_digit()) {
                return invalid(DELAY, "must be a whole number of seconds");
            }
            let delay = Duration::from_secs(delay.parse().unwrap_or(u64::MAX));
            if delay > MOST {
                return too_late(DELAY);
            }
            Ok(Some(Start::After(delay)))
        }
    }
}

/// The value of a header that is there once at most.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::invalid(format!("header {name} may be given once")));
    }
    let text = |value: &'a HeaderValue| value.to_str().map(str::trim).unwrap_or_default();
    Ok(Some(text(value)))
}
