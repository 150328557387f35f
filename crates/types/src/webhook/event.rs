use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a receiver may be told of. The words are Bifrost's, but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    #[serde(rename = "async_job.completed")]
    Completed,
    #[serde(rename = "async_job.failed")]
    Failed,
    /// Who does not take it is told of a cancelled job by [`Event::Failed`].
    #[serde(rename = "async_job.cancelled")]
    Cancelled,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a result.
    Completed,
    /// With an error.
    Failed,
    /// With the error that says that it was cancelled.
    Cancelled,
}

impl Event {
    pub const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::Cancelled];

    /// The word for it on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "async_job.completed",
            Self::Failed => "async_job.failed",
            Self::Cancelled => "async_job.cancelled",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A word that is no [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook event")]
pub struct UnknownEvent;

impl FromStr for Event {
    type Err = UnknownEvent;

    fn from_str(word: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.into_iter().find(|event| event.as_str() == word).ok_or(UnknownEvent)
    }
}

impl From<Ending> for Event {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Completed => Self::Completed,
            Ending::Failed => Self::Failed,
            Ending::Cancelled => Self::Cancelled,
        }
    }
}
