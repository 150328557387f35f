use serde::Serialize;

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

/// A job as its client sees it, less its `result` or `error`. Members without a value are absent, not null.
#[derive(Debug, Serialize)]
pub struct JobView {
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
    /// When its client asked for it to be cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_requested_at: Option<Timestamp>,
    /// When it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<Timestamp>,
    /// `x-request-id` of the submit, in the answer to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl JobView {
    /// A job that was just accepted.
    pub fn accepted(id: JobId) -> Self {
        Self {
            id,
            status: JobStatus::Pending,
            created_at: id.created_at(),
            completed_at: None,
            expires_at: None,
            status_code: None,
            cancel_requested_at: None,
            cancelled_at: None,
            request_id: None,
        }
    }

    /// As JSON. `outcome`, the JSON object of its result or error, is put in as it is, neither read nor changed.
    pub fn to_json(&self, outcome: Option<&str>) -> String {
        // A struct of strings and integers has no way to fail to be written to memory.
        let mut json = serde_json::to_string(self).unwrap_or_default();
        if let Some(outcome) = outcome {
            json.pop();
            json.reserve_exact(outcome.len() + 12);
            json.push_str(if self.status == JobStatus::Completed { ",\"result\":" } else { ",\"error\":" });
            json.push_str(outcome);
            json.push('}');
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shard;

    #[test]
    fn an_outcome_is_put_in_as_it_is() {
        let mut view = JobView::accepted(JobId::new(Shard::default()));
        let accepted = view.to_json(None);
        assert!(accepted.ends_with(r#"Z"}"#), "{accepted}");
        view.status = JobStatus::Failed;
        view.status_code = Some(503);
        let failed = view.to_json(Some(r#"{"n": 1.50}"#));
        assert!(failed.ends_with(r#","status_code":503,"error":{"n": 1.50}}"#), "{failed}");
    }
}
