use std::time::Duration;

use actix_web::http::header::HeaderMap;

use crate::error::ApiError;

const MAX_WAIT: &str = "x-hermod-max-wait";

/// How long the client lets its job wait for its limits; none where it does not say. 0: now or not at all.
///
/// # Errors
/// If it is no natural number, or said twice.
pub(crate) fn max_wait_of(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let mut values = headers.get_all(MAX_WAIT);
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.as_bytes().trim_ascii();
    let is_natural = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if values.next().is_some() || !is_natural {
        return Err(ApiError::invalid(format!("header {MAX_WAIT} must be one whole number of seconds")));
    }
    let seconds = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    Ok(Some(Duration::from_secs(seconds.unwrap_or(u64::MAX))))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn seconds(values: &[&str]) -> Result<Option<u64>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_static(MAX_WAIT), HeaderValue::from_str(value).unwrap());
        }
        max_wait_of(&headers).map(|wait| wait.map(|wait| wait.as_secs())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_wait_is_a_whole_number_of_seconds() {
        assert_eq!(seconds(&[]), Ok(None));
        assert_eq!((seconds(&["0"]), seconds(&[" 60 "])), (Ok(Some(0)), Ok(Some(60))));
        assert_eq!(seconds(&["99999999999999999999999"]), Ok(Some(u64::MAX)));
        for wrong in [&[""][..], &["-1"], &["1.5"], &["+1"], &["1s"], &["soon"], &["1", "1"]] {
            assert!(seconds(wrong).unwrap_err().contains("whole number of seconds"), "{wrong:?}");
        }
    }
}
