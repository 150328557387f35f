use std::time::{Duration, SystemTime};

/// The wait that a header `Retry-After` asks for, in seconds or as a date (RFC 9110, 10.2.3). A fraction is allowed. What is negative
/// or unreadable is no wish.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let seconds = value.parse().ok().map(Duration::try_from_secs_f64);
    if let Some(seconds) = seconds {
        return seconds.ok();
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let asked = |value| retry_after(value, now).map(|wait| wait.as_millis());
        assert_eq!((asked("7"), asked(" 86400 "), asked("1.5")), (Some(7000), Some(86_400_000), Some(1500)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60_000));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "it has passed");
        for value in ["-1", "soon", "", "NaN", "inf", "1e400", "99 bottles", "Someday, 06 Nov 1994"] {
            assert_eq!(asked(value), None, "{value}");
        }
    }
}
