//! A job's place among those that wait.

use actix_web::http::header::HeaderMap;
use hermod_queue::Share;

use crate::error::ApiError;

const PRIORITY: &str = "x-hermod-priority";

/// The priority that a submit asks for among its owner's jobs: 1 to 5, 1 first.
///
/// # Errors
/// If it is no such number, or said twice.
pub(crate) fn priority_of(headers: &HeaderMap) -> Result<u8, ApiError> {
    let mut values = headers.get_all(PRIORITY);
    let Some(value) = values.next() else { return Ok(Share::USUAL_PRIORITY) };
    match value.as_bytes() {
        [digit @ b'1'..=b'5'] if values.next().is_none() => Ok(digit - b'0'),
        _ => Err(ApiError::invalid(format!("header {PRIORITY} must be one number from 1 to 5"))),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn priority(values: &[&str]) -> Option<u8> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_static(PRIORITY), HeaderValue::from_str(value).unwrap());
        }
        priority_of(&headers).ok()
    }

    #[test]
    fn a_priority_is_one_to_five() {
        for (values, expected) in [
            (&[][..], Some(3)),
            (&["1"], Some(1)),
            (&["5"], Some(5)),
            (&["0"], None),
            (&["6"], None),
            (&["1.0"], None),
            (&["high"], None),
            (&[""], None),
            (&["1", "1"], None),
        ] {
            assert_eq!(priority(values), expected, "{values:?}");
        }
    }
}
