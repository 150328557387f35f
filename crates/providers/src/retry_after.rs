//! When a provider wants to be asked again.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Headers that count milliseconds. OpenAI's and Azure's.
const MILLIS: [&str; 2] = ["retry-after-ms", "x-ms-retry-after-ms"];

/// The wait that an answer asks for: the milliseconds where it has them, else `Retry-After` in seconds or as a date
/// (RFC 9110, 10.2.3). What is negative or unreadable is no wish.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = MILLIS.iter().find_map(|name| number(text(name)?, 1000.0));
    millis.or_else(|| hermod_types::retry_after(text(RETRY_AFTER.as_str())?, now))
}

/// A count of which `per_second` make a second. A fraction is allowed.
fn number(text: &str, per_second: f64) -> Option<Duration> {
    let count: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(count / per_second).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn asked(headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        retry_after(&pairs.collect(), now)
    }

    #[test]
    fn each_form_is_read() {
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!(asked(&[("retry-after", "7")]), secs(7));
        assert_eq!(asked(&[("retry-after", " 86400 ")]), secs(86_400));
        assert_eq!(asked(&[("retry-after", "1.5")]), Some(Duration::from_millis(1500)));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")]), secs(60));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), secs(0), "it has passed");
        assert_eq!(
            asked(&[("retry-after-ms", "250"), ("retry-after", "1")]),
            Some(Duration::from_millis(250))
        );
        assert_eq!(asked(&[("x-ms-retry-after-ms", "40")]), Some(Duration::from_millis(40)));
        assert_eq!(asked(&[("retry-after-ms", "soon"), ("retry-after", "1")]), secs(1));
    }

    #[test]
    fn garbage_is_no_wish() {
        for value in ["-1", "soon", "", "NaN", "inf", "1e400", "99 bottles", "Someday, 06 Nov 1994"] {
            assert_eq!(asked(&[("retry-after", value)]), None, "{value}");
        }
        assert_eq!(asked(&[]), None);
    }
}
