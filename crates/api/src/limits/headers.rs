use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web;
use actix_web::{Error, HttpRequest};
use hermod_governance::{Limit, Measure};
use hermod_queue::governance::Usage;
use hermod_types::Timestamp;
use tokio::time::{Instant, timeout};

use crate::caller;
use crate::state::State;

/// Usage is read so often for one key, however often it asks.
const FRESH: Duration = Duration::from_secs(1);
/// The longest that an answer waits for it.
const PATIENCE: Duration = Duration::from_millis(250);
/// Keys whose usage is kept.
const MOST: usize = 10_000;

const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// What was read of the limits of keys a moment ago: one for all threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remaining(Arc<Mutex<HashMap<String, (Instant, Tightest)>>>);

/// The tightest limits of requests and of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tightest {
    requests: Option<Left>,
    tokens: Option<Left>,
}

/// What is left of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    limit: u64,
    remaining: u64,
    /// When it is full again; none for one of which nothing is used.
    resets: Option<Timestamp>,
}

impl Tightest {
    fn of(limits: &[Arc<Limit>], usage: &[Usage]) -> Self {
        let of = |measure| {
            let its = limits.iter().zip(usage).filter(|(limit, _)| limit.measure == measure);
            let left = its.map(|(limit, usage)| Left {
                limit: limit.max,
                remaining: limit.max.saturating_sub(usage.used.saturating_add(usage.reserved)),
                resets: usage.ends.filter(|_| usage.used > 0 || usage.reserved > 0),
            });
            left.min_by_key(|left| (left.remaining, left.limit))
        };
        Self { requests: of(Measure::Requests), tokens: of(Measure::Tokens) }
    }
}

impl Remaining {
    fn known(&self, owner: &str) -> Option<Tightest> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(owner).filter(|(read, _)| read.elapsed() < FRESH).map(|(_, tightest)| *tightest)
    }

    fn keep(&self, owner: &str, tightest: Tightest) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (read, _)| read.elapsed() < FRESH);
        }
        if known.len() < MOST {
            known.insert(owner.to_owned(), (Instant::now(), tightest));
        }
    }

    /// None for a key without such limits, and while Redis does not answer.
    async fn of(&self, owner: &str, limits: &[Arc<Limit>], state: &State) -> Option<Tightest> {
        if let Some(known) = self.known(owner) {
            return Some(known);
        }
        let usage = timeout(PATIENCE, state.admission.usage(limits)).await.ok()?.ok()?;
        let tightest = Tightest::of(limits, &usage);
        self.keep(owner, tightest);
        Some(tightest)
    }
}

/// Tells a key in each answer what is left of its limits.
pub(crate) async fn tell(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    // Afterwards, as a key may have been learnt of by the request.
    if let Some(tightest) = tightest_of(response.request()).await {
        let now = Timestamp::now();
        for (names, left) in [(REQUESTS, tightest.requests), (TOKENS, tightest.tokens)] {
            let Some(left) = left else { continue };
            let [limit, remaining, reset] = names;
            response.headers_mut().insert(limit, HeaderValue::from(left.limit));
            response.headers_mut().insert(remaining, HeaderValue::from(left.remaining));
            let until = left.resets.map_or(0, |at| at.as_millis().saturating_sub(now.as_millis()));
            if let Ok(until) = HeaderValue::from_str(&duration(until)) {
                response.headers_mut().insert(reset, until);
            }
        }
    }
    Ok(response)
}

async fn tightest_of(request: &HttpRequest) -> Option<Tightest> {
    let state = request.app_data::<web::Data<State>>()?;
    let rules = state.rules.current();
    let key = rules.key_of_value(caller::virtual_key_of(request.headers())?, Timestamp::now())?;
    key.check(Timestamp::now()).ok()?;
    let limits = rules.rate_limits_of(&key.id);
    if limits.is_empty() {
        return None;
    }
    state.remaining.of(&key.id, &limits, state).await
}

/// As OpenAI writes durations: `12ms`, `1s`, `6m0s`, `1h0m0s`.
fn duration(millis: u64) -> String {
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let seconds = millis.div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use hermod_governance::{Scope, Window};

    use super::*;

    #[test]
    fn durations_are_in_openais_form() {
        let shown = [0, 12, 999, 1000, 1001, 60_000, 360_000, 3_600_000, 90_061_000].map(duration);
        assert_eq!(shown, ["0s", "12ms", "999ms", "1s", "2s", "1m0s", "6m0s", "1h0m0s", "25h1m1s"]);
    }

    #[test]
    fn the_tightest_limit_is_that_of_which_the_least_is_left() {
        let limit = |name: &str, measure, max| {
            let (window, scope) = (Window::Never, Scope::Key("k".to_owned()));
            Arc::new(Limit { name: name.to_owned(), id: name.to_owned(), measure, max, window, scope })
        };
        let limits = [
            limit("a", Measure::Requests, 10),
            limit("b", Measure::Requests, 100),
            limit("c", Measure::Tokens, 50),
            limit("d", Measure::Cost, 1),
        ];
        let ends = Some(Timestamp::from_millis(5));
        let used = |used, reserved| Usage { used, reserved, since: None, ends };
        let tightest = Tightest::of(&limits, &[used(1, 1), used(90, 3), used(0, 0), used(1, 0)]);
        assert_eq!(tightest.requests, Some(Left { limit: 100, remaining: 7, resets: ends }));
        assert_eq!(tightest.tokens, Some(Left { limit: 50, remaining: 50, resets: None }));
        assert_eq!(Tightest::of(&limits[..1], &[used(9, 9)]).requests.map(|left| left.remaining), Some(0));
    }
}
