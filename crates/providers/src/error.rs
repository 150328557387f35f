use hermod_types::{ErrorBody, ErrorCode, ErrorDetail, Inexpressible, Target};

use crate::Verdict;
use crate::secrets::Secrets;

/// The largest answer, after decompression, and the largest result that is composed of answers. It bounds a worker's
/// memory and a record in Redis, whatever a provider sends and a client asks for.
pub(crate) const MAX_ANSWER_BYTES: usize = 32 << 20;

/// Why a configured provider cannot be called. It names no secret.
#[derive(Debug, thiserror::Error)]
#[error("provider {name}: {what}")]
pub struct InvalidProvider {
    pub(crate) name: String,
    pub(crate) what: String,
}

/// Why a call gave no result: the provider's own words where it answered, ours where it did not.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", detail.message)]
pub struct CallError {
    /// Which of our classes it is in.
    pub code: ErrorCode,
    /// The HTTP status that stands for it: the provider's where it answered with an error.
    pub status: u16,
    /// What the client is told.
    pub detail: Box<ErrorDetail>,
    /// What to do next.
    pub verdict: Verdict,
    /// Whether the target or its key is at fault, rather than this request.
    pub blames_target: bool,
    /// Whether it may have cost money: the provider had the request, and no error was its answer.
    pub may_be_billed: bool,
}

impl CallError {
    /// A target that the job's owner may not use: the configuration has changed since it was submitted.
    pub fn not_allowed(code: ErrorCode, message: String) -> Self {
        Self::ours(code, message)
    }

    /// The target's API has no words for what the request asks.
    pub fn inexpressible(reason: Inexpressible) -> Self {
        let mut error = Self::ours(ErrorCode::InvalidRequest, reason.message);
        error.detail.param = reason.param;
        error
    }

    /// No key of the provider is left for this job; `last` is what the provider said to the last one, if it was asked.
    pub fn no_key_left(target: &Target, last: Option<&Self>) -> Self {
        let provider = target.provider();
        let message = match last {
            Some(last) => format!(
                "every key of {provider} was refused; to the last one it answered {}: {}",
                last.status, last.detail.message
            ),
            None => format!("no key of {provider} may serve the model {}", target.model()),
        };
        Self::ours(ErrorCode::UpstreamCredentialsExhausted, message)
    }

    /// A model whose name would change the path of a URL that it is part of.
    pub(crate) fn no_path(target: &Target) -> Self {
        let message = format!("{target}: a model that is part of a URL cannot be called `.` or `..`");
        let mut error = Self::ours(ErrorCode::InvalidRequest, message);
        error.detail.param = Some("model".to_owned());
        error
    }

    /// `what` is over the limit. It is no reason to let the target rest: how much is asked for is the client's choice.
    pub(crate) fn too_large(what: &str) -> Self {
        let message = format!("{what} larger than {MAX_ANSWER_BYTES} bytes");
        let error = Self::ours(ErrorCode::UpstreamAnswerTooLarge, message);
        Self { may_be_billed: true, ..error }
    }

    /// A failure that no answer of the provider describes.
    pub(crate) fn ours(code: ErrorCode, message: impl Into<String>) -> Self {
        let body = ErrorBody::new(code, message);
        let happens_there = matches!(
            code,
            ErrorCode::UpstreamUnreachable | ErrorCode::UpstreamTimeout | ErrorCode::UpstreamInvalidResponse
        );
        let retry = Verdict::Retry { after: None, another_key: false };
        Self {
            code,
            status: body.status_code,
            detail: Box::new(body.error),
            verdict: if happens_there { retry } else { Verdict::NextTarget },
            blames_target: happens_there,
            may_be_billed: happens_there,
        }
    }

    /// Without what `secrets` has.
    pub(crate) fn masked(self, secrets: &Secrets) -> Self {
        Self { detail: Box::new(secrets.mask(*self.detail)), ..self }
    }

    /// The HTTP status of the provider's answer, if that was an error.
    pub fn answered(&self) -> Option<u16> {
        (self.code == ErrorCode::UpstreamError).then_some(self.status)
    }

    /// The `error` of a job that failed with it.
    pub fn to_body(&self, target: &Target) -> ErrorBody {
        let mut body = ErrorBody::new(self.code, "").about(target);
        body.status_code = self.status;
        body.error = ErrorDetail::clone(&self.detail);
        body
    }
}
