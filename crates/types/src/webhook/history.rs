use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{EndpointId, Event};
use crate::{JobId, Timestamp};

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Delivered,
    /// It will be tried again.
    RetryableFailure,
    /// The receiver does not want it.
    PermanentFailure,
    /// It was the last attempt.
    Exhausted,
}

impl Outcome {
    pub const ALL: [Self; 4] =
        [Self::Delivered, Self::RetryableFailure, Self::PermanentFailure, Self::Exhausted];

    /// The word for it on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::RetryableFailure => "retryable_failure",
            Self::PermanentFailure => "permanent_failure",
            Self::Exhausted => "exhausted",
        }
    }
}

/// A word that is no [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not what becomes of an attempt")]
pub struct UnknownOutcome;

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(word: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word).ok_or(UnknownOutcome)
    }
}

/// An attempt, as the history of an endpoint shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Names this attempt alone.
    pub id: String,
    /// The delivery: the same for all its attempts.
    pub webhook_id: JobId,
    pub endpoint_id: EndpointId,
    pub async_job_id: JobId,
    pub request_id: String,
    pub event: Event,
    /// From 1, and again from 1 when it was asked for anew.
    pub attempt_no: u32,
    pub outcome: Outcome,
    /// 0 where there was no answer.
    pub status_code: u16,
    /// What went wrong, or the beginning of the receiver's answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    pub created_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_has_one_word() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        assert_eq!("lost".parse::<Outcome>(), Err(UnknownOutcome));
    }
}
