use serde::{Deserialize, Serialize};

use super::ResetDuration;

/// Limits of tokens and of requests. One of both at least is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Flat", into = "Flat")]
pub struct RateLimit {
    pub id: String,
    pub tokens: Option<Rate>,
    pub requests: Option<Rate>,
}

/// So many in a window of this length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Above 0.
    pub max: u64,
    pub reset: ResetDuration,
}

/// As Bifrost has it.
#[derive(Serialize, Deserialize)]
struct Flat {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_max_limit: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_reset_duration: Option<ResetDuration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_max_limit: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_reset_duration: Option<ResetDuration>,
}

impl From<RateLimit> for Flat {
    fn from(limit: RateLimit) -> Self {
        let parts = |rate: Option<Rate>| rate.map(|rate| (rate.max, rate.reset)).unzip();
        let (token_max_limit, token_reset_duration) = parts(limit.tokens);
        let (request_max_limit, request_reset_duration) = parts(limit.requests);
        Self {
            id: limit.id,
            token_max_limit,
            token_reset_duration,
            request_max_limit,
            request_reset_duration,
        }
    }
}

impl TryFrom<Flat> for RateLimit {
    type Error = &'static str;

    fn try_from(flat: Flat) -> Result<Self, &'static str> {
        let rate = |max: Option<u64>, reset: Option<ResetDuration>| match (max, reset) {
            (Some(max), Some(reset)) if max > 0 => Ok(Some(Rate { max, reset })),
            (Some(_), Some(_)) => Err("expected a limit above 0"),
            (Some(_), None) => Err("expected a duration beside the limit"),
            (None, _) => Ok(None),
        };
        Ok(Self {
            id: flat.id,
            tokens: rate(flat.token_max_limit, flat.token_reset_duration)?,
            requests: rate(flat.request_max_limit, flat.request_reset_duration)?,
        })
    }
}
