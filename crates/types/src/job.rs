use serde::Serialize;
use serde_json::value::RawValue;

use crate::{JobId, Timestamp};

/// Where a job is in its life. The words are the wire's and the record's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// It waits for a worker.
    Pending,
    /// A worker runs it.
    Processing,
    /// It ended with a result.
    Completed,
    /// It ended with an error.
    Failed,
}

impl JobStatus {
    /// The word for it on the wire and in its record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more will happen to it.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl std::str::FromStr for JobStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        [Self::Pending, Self::Processing, Self::Completed, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or(UnknownStatus)
    }
}

/// A word that is no [`JobStatus`].
#[derive(Debug, thiserror::Error)]
#[error("not a job status")]
pub struct UnknownStatus;

/// A job as its client sees it. Members without a value are absent, not null.
#[derive(Debug, Serialize)]
pub struct JobView<'a> {
    /// Its id.
    pub id: JobId,
    /// Where it is in its life.
    pub status: JobStatus,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When Redis will remove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// 200, or the code of what failed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// The provider's completion with our `extra_fields`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'a RawValue>,
    /// An [`ErrorBody`](crate::ErrorBody).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a RawValue>,
}

impl JobView<'_> {
    /// A job that was just accepted.
    pub fn accepted(id: JobId) -> Self {
        Self {
            id,
            status: JobStatus::Pending,
            created_at: id.created_at(),
            completed_at: None,
            expires_at: None,
            status_code: None,
            result: None,
            error: None,
        }
    }
}
