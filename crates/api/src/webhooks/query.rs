//! The words behind the `?` of a request.

use std::str::FromStr;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Query as Parsed;
use hermod_queue::webhooks::{Filter, StatusClass};
use hermod_types::Timestamp;
use hermod_types::webhook::{EndpointId, Event, Outcome};

use crate::error::ApiError;

/// Bifrost's.
const DEFAULT_LIMIT: usize = 25;
const LARGEST_LIMIT: usize = 100;

pub(super) struct Query(Vec<(String, String)>);

/// Which of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) limit: usize,
    pub(super) offset: usize,
}

impl Query {
    /// # Errors
    /// If it is none.
    pub(super) fn of(http: &HttpRequest) -> Result<Self, ApiError> {
        let parsed = Parsed::<Vec<(String, String)>>::from_query(http.query_string());
        parsed.map(|parsed| Self(parsed.into_inner())).map_err(|_| ApiError::invalid("invalid query"))
    }

    /// The first that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let values = self.0.iter().filter(|(its, value)| its == name && !value.is_empty());
        values.map(|(_, value)| value.as_str()).next()
    }

    /// # Errors
    /// For what is no natural number.
    pub(super) fn page(&self) -> Result<Page, ApiError> {
        let number = |name| {
            let value = self.text(name).map(|text| {
                text.parse().map_err(|_| ApiError::invalid(format!("{name} must be a natural number")))
            });
            value.transpose()
        };
        let limit: usize = number("limit")?.unwrap_or(DEFAULT_LIMIT);
        Ok(Page { limit: limit.min(LARGEST_LIMIT), offset: number("offset")?.unwrap_or_default() })
    }

    /// # Errors
    /// For what is neither `true` nor `false`.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let value = self.text(name);
        let wrong = |_| ApiError::invalid(format!("{name} must be true or false"));
        value.map(|value| value.parse().map_err(wrong)).transpose()
    }

    /// # Errors
    /// For a word that is no event.
    pub(super) fn event(&self) -> Result<Option<Event>, ApiError> {
        self.text("event").map(event_of).transpose()
    }

    /// Which deliveries are asked for.
    ///
    /// # Errors
    /// For what is not known.
    pub(super) fn filter(&self, now: Timestamp) -> Result<Filter, ApiError> {
        let time = |name| {
            let wrong = || ApiError::invalid(format!("{name} must be a time such as 2030-01-31T00:00:00Z"));
            self.text(name).map(|text| Timestamp::from_rfc3339(text).ok_or_else(wrong)).transpose()
        };
        let period = self.text("period").map(|period| {
            let length = period_of(period).ok_or_else(|| {
                ApiError::invalid("period must be a number of minutes, hours or days, such as 30m, 24h or 7d")
            })?;
            let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
            Ok::<_, ApiError>(Timestamp::from_millis(now.as_millis().saturating_sub(length)))
        });
        let from = time("start_time")?.max(period.transpose()?);
        Ok(Filter {
            endpoints: self.list("endpoint_ids", |word| {
                let wrong = |_| ApiError::invalid(format!("{word:?} is no id of a webhook endpoint"));
                EndpointId::from_str(word).map_err(wrong)
            })?,
            events: self.list("events", event_of)?,
            outcomes: self.list("outcomes", outcome_of)?,
            classes: self.list("status_class", class_of)?,
            request_id: self.text("request_id").map(str::to_owned),
            delivery: match self.text("delivery_id") {
                Some(id) => Some(
                    id.parse().map_err(|_| ApiError::invalid(format!("{id:?} is no id of a delivery")))?,
                ),
                None => None,
            },
            from,
            job: None,
            till: time("end_time")?,
        })
    }

    /// Words with commas between, or the name several times.
    fn list<T>(&self, name: &str, read: impl Fn(&str) -> Result<T, ApiError>) -> Result<Vec<T>, ApiError> {
        let values = self.0.iter().filter(|(its, _)| its == name);
        let words = values.flat_map(|(_, value)| value.split(',')).map(str::trim);
        words.filter(|word| !word.is_empty()).map(read).collect()
    }
}

pub(super) fn event_of(word: &str) -> Result<Event, ApiError> {
    word.parse().map_err(|_| ApiError::invalid(format!("unknown webhook event {word:?}")))
}

fn outcome_of(word: &str) -> Result<Outcome, ApiError> {
    word.parse().map_err(|_| ApiError::invalid(format!("unknown outcome {word:?}")))
}

fn class_of(word: &str) -> Result<StatusClass, ApiError> {
    match word.as_bytes() {
        b"none" => Ok(StatusClass::None),
        [digit @ b'1'..=b'5', b'x', b'x'] => Ok(StatusClass::Hundreds(u16::from(digit - b'0'))),
        _ => {
            Err(ApiError::invalid(format!("unknown status class {word:?}; known: 2xx, 3xx, 4xx, 5xx, none")))
        }
    }
}

/// `30m`, `24h`, `7d`.
fn period_of(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    number.parse::<u32>().ok().map(|number| Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&TestRequest::with_uri(&format!("/x?{text}")).to_http_request()).unwrap()
    }

    #[test]
    fn pages_have_bounds() {
        let page = |text| query(text).page().ok().map(|page| (page.limit, page.offset));
        assert_eq!(page(""), Some((25, 0)));
        assert_eq!(page("limit=&offset="), Some((25, 0)));
        assert_eq!(page("limit=7&offset=3"), Some((7, 3)));
        assert_eq!(page("limit=1000&offset=100000"), Some((100, 100_000)));
        for wrong in ["limit=-1", "limit=x", "limit=1.5", "offset=-1", "offset=99999999999999999999999"] {
            assert_eq!(page(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn filters_are_read() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        let id = EndpointId::random();
        let filter = query(&format!(
            "endpoint_ids={id}&events=async_job.failed,async_job.completed&outcomes=exhausted&outcomes=delivered\
             &status_class=5xx,none&request_id=r&period=1h"
        ))
        .filter(now)
        .unwrap();
        assert_eq!(filter.endpoints, [id]);
        assert_eq!(filter.events, [Event::Failed, Event::Completed]);
        assert_eq!(filter.outcomes, [Outcome::Exhausted, Outcome::Delivered]);
        assert_eq!(filter.classes, [StatusClass::Hundreds(5), StatusClass::None]);
        assert_eq!(filter.request_id.as_deref(), Some("r"));
        assert_eq!(filter.from, Some(Timestamp::from_millis(1_000_000_000_000 - 3_600_000)));
        let later = query("start_time=2001-09-09T01:00:00Z&period=7d&end_time=2001-09-10T00:00:00%2B02:00");
        let filter = later.filter(now).unwrap();
        assert_eq!(filter.from, Timestamp::from_rfc3339("2001-09-09T01:00:00Z"), "the later of the two");
        assert_eq!(filter.till, Timestamp::from_rfc3339("2001-09-09T22:00:00Z"));
        for wrong in [
            "endpoint_ids=x",
            "events=job.done",
            "outcomes=lost",
            "status_class=6xx",
            "status_class=200",
            "delivery_id=x",
            "start_time=yesterday",
            "end_time=1",
            "period=1",
            "period=h",
            "period=1y",
            "period=%C3%BC",
        ] {
            assert!(query(wrong).filter(now).is_err(), "{wrong}");
        }
    }
}
