use hermod_types::{ErrorBody, ErrorCode, ErrorDetail, Target};

use crate::Verdict;

/// Why a call gave no completion: the provider's own words where it answered, ours where it did not.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", detail.message)]
pub struct CallError {
    /// Which of our classes it is in.
    pub code: ErrorCode,
    /// The HTTP status that stands for it: the provider's where it answered with an error.
    pub status: u16,
    /// What the client is told.
    pub detail: ErrorDetail,
    /// What to do next.
    pub verdict: Verdict,
}

impl CallError {
    /// A target that the job's owner may not use: the configuration has changed since it was submitted.
    pub fn not_allowed(target: &Target) -> Self {
        Self::ours(ErrorCode::TargetNotAllowed, format!("the virtual key does not allow {target}"))
    }

    /// A failure that no answer of the provider describes.
    pub(crate) fn ours(code: ErrorCode, message: impl Into<String>) -> Self {
        let body = ErrorBody::new(code, message);
        let may_pass = matches!(
            code,
            ErrorCode::UpstreamUnreachable | ErrorCode::UpstreamTimeout | ErrorCode::UpstreamInvalidResponse
        );
        let verdict = if may_pass { Verdict::Retry { after: None } } else { Verdict::NextTarget };
        Self { code, status: body.status_code, detail: body.error, verdict }
    }

    /// What the provider says when it answers with an error.
    pub(crate) fn theirs(status: u16, detail: ErrorDetail, verdict: Verdict) -> Self {
        Self { code: ErrorCode::UpstreamError, status, detail, verdict }
    }

    /// The `error` of a job that failed with it.
    pub fn to_body(&self, target: &Target) -> ErrorBody {
        let mut body = ErrorBody::new(self.code, "").about(target);
        body.status_code = self.status;
        body.error = self.detail.clone();
        body
    }
}
