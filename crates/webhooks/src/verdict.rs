use std::time::{Duration, SystemTime};

use hermod_types::retry_after;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The longest wait that a receiver may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// A later attempt may succeed; it should not be made before `after`.
    Retry { after: Option<Duration> },
    /// The receiver does not want it.
    Permanent {
        /// Nor anything else: its endpoint is to be disabled.
        disable: bool,
    },
}

impl Verdict {
    /// What an answer means.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        if status.is_success() {
            return Self::Delivered;
        }
        match status.as_u16() {
            408 | 425 | 429 | 500..=599 => {
                let value = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let after = value.and_then(|value| retry_after(value, now));
                Self::Retry { after: after.map(|after| after.min(LONGEST_WAIT)) }
            }
            // That it is not there any more is a wish to hear no more.
            410 => Self::Permanent { disable: true },
            // Redirects included: the signature is for this receiver.
            _ => Self::Permanent { disable: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, after: Option<&'static str>) -> Verdict {
        let headers = after.map(|after| (RETRY_AFTER, after.parse().unwrap())).into_iter().collect();
        Verdict::of(StatusCode::from_u16(status).unwrap(), &headers, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in 200..1000 {
            let expected = match status {
                200..=299 => Verdict::Delivered,
                408 | 425 | 429 | 500..=599 => Verdict::Retry { after: None },
                410 => Verdict::Permanent { disable: true },
                _ => Verdict::Permanent { disable: false },
            };
            assert_eq!(verdict(status, None), expected, "{status}");
        }
    }

    #[test]
    fn a_wait_is_kept_up_to_an_hour() {
        for (value, seconds) in [
            ("7", Some(7)),
            ("3600", Some(3600)),
            ("3601", Some(3600)),
            ("86400", Some(3600)),
            ("Thu, 01 Jan 1970 00:01:00 GMT", Some(60)),
            ("soon", None),
        ] {
            let after = seconds.map(Duration::from_secs);
            assert_eq!(verdict(503, Some(value)), Verdict::Retry { after }, "{value}");
        }
        assert_eq!(verdict(404, Some("7")), Verdict::Permanent { disable: false });
        assert_eq!(verdict(200, Some("7")), Verdict::Delivered);
    }
}
