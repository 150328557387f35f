use serde::{Deserialize, Serialize};

use crate::{Journal, REQUEST_TYPE, Target};

/// Everything that we ourselves can call wrong, in one table: its `code` on the wire, its HTTP status, and
/// whether it is this service's fault. What a provider calls wrong keeps the provider's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The body or a member of it is not what the contract says.
    InvalidRequest,
    /// A target's provider is not in the configuration.
    ProviderNotConfigured,
    /// No such virtual key, or an inactive one.
    VirtualKeyNotFound,
    /// A virtual key is needed and none was given.
    VirtualKeyRequired,
    /// The virtual key does not allow a target.
    TargetNotAllowed,
    /// No job that this caller may see has this id.
    JobNotFound,
    /// No such path.
    PathNotFound,
    /// The path does not take this method.
    MethodNotAllowed,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The body is over the limit.
    BodyTooLarge,
    /// As many jobs wait as the operator allows.
    QueueFull,
    /// Redis cannot serve now.
    QueueUnavailable,
    /// A fault of this service.
    Internal,
    /// The job was started as often as allowed and never ended.
    JobAttemptsExhausted,
    /// The job waited or ran longer than allowed.
    JobDeadlineExceeded,
    /// The provider could not be reached.
    UpstreamUnreachable,
    /// The provider did not answer in time.
    UpstreamTimeout,
    /// The provider's answer is not a completion.
    UpstreamInvalidResponse,
    /// The provider's answer, or the result made of its answers, is over the limit.
    UpstreamAnswerTooLarge,
    /// The provider answered with an error of its own.
    UpstreamError,
    /// No key of the provider may serve the target.
    UpstreamCredentialsExhausted,
}

impl ErrorCode {
    /// The row of the table: code, HTTP status, and whether the fault is ours.
    const fn row(self) -> (&'static str, u16, bool) {
        match self {
            Self::InvalidRequest => ("invalid_request", 400, false),
            Self::ProviderNotConfigured => ("provider_not_configured", 400, false),
            Self::VirtualKeyNotFound => ("virtual_key_not_found", 400, false),
            Self::VirtualKeyRequired => ("virtual_key_required", 401, false),
            Self::TargetNotAllowed => ("target_not_allowed", 403, false),
            Self::JobNotFound => ("job_not_found", 404, false),
            Self::PathNotFound => ("path_not_found", 404, false),
            Self::MethodNotAllowed => ("method_not_allowed", 405, false),
            Self::RequestTimeout => ("request_timeout", 408, false),
            Self::BodyTooLarge => ("body_too_large", 413, false),
            Self::QueueFull => ("queue_full", 429, false),
            Self::QueueUnavailable => ("queue_unavailable", 503, true),
            Self::Internal => ("internal_error", 500, true),
            Self::JobAttemptsExhausted => ("job_attempts_exhausted", 500, true),
            Self::JobDeadlineExceeded => ("job_deadline_exceeded", 504, true),
            Self::UpstreamUnreachable => ("upstream_unreachable", 502, false),
            Self::UpstreamTimeout => ("upstream_timeout", 504, false),
            Self::UpstreamInvalidResponse => ("upstream_invalid_response", 502, false),
            Self::UpstreamAnswerTooLarge => ("upstream_answer_too_large", 502, false),
            Self::UpstreamError => ("upstream_error", 502, false),
            Self::UpstreamCredentialsExhausted => ("upstream_credentials_exhausted", 502, false),
        }
    }

    /// The `error.code` on the wire.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// The `error.type` on the wire, in OpenAI's words.
    pub const fn kind(self) -> &'static str {
        match self.row() {
            (_, 401, _) => "authentication_error",
            (_, 403, _) => "permission_error",
            (_, 404, _) => "not_found_error",
            (_, 429, _) => "rate_limit_error",
            (_, 400..=499, _) => "invalid_request_error",
            (_, _, true) => "server_error",
            (_, _, false) => "upstream_error",
        }
    }
}

/// The body of every error answer, and the `error` of a failed job. Members without a value are absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// An id that also stands in our log line: on every 5xx that we answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Whether this service got it wrong, rather than the client or a provider.
    pub is_bifrost_error: bool,
    /// The HTTP status that goes with it.
    pub status_code: u16,
    /// What went wrong; OpenAI's SDKs read this member.
    pub error: ErrorDetail,
    /// What it was about.
    pub extra_fields: ErrorExtra,
}

/// What went wrong: a provider's own words where one answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For a person.
    pub message: String,
    /// The kind of error.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The member of the request at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}

/// What an error was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorExtra {
    /// The provider that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model that the client named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_requested: Option<String>,
    /// Always [`REQUEST_TYPE`].
    pub request_type: String,
    /// What was tried, for a job that was run.
    #[serde(default, skip_serializing_if = "Journal::is_empty")]
    pub attempts: Journal,
}

impl ErrorBody {
    /// An error of ours.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let (name, status_code, is_bifrost_error) = code.row();
        Self {
            event_id: None,
            is_bifrost_error,
            status_code,
            error: ErrorDetail {
                message: message.into(),
                kind: Some(code.kind().to_owned()),
                code: Some(name.to_owned()),
                param: None,
            },
            extra_fields: ErrorExtra {
                provider: None,
                model_requested: None,
                request_type: REQUEST_TYPE.to_owned(),
                attempts: Journal::default(),
            },
        }
    }

    /// The same, about `target`.
    #[must_use]
    pub fn about(mut self, target: &Target) -> Self {
        self.extra_fields.provider = Some(target.provider().to_owned());
        self.extra_fields.model_requested = Some(target.model().to_owned());
        self
    }

    /// As JSON text.
    pub fn to_json(&self) -> String {
        // A struct of strings has no way to fail to be written to memory.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_without_a_value_are_absent() {
        let body = ErrorBody::new(ErrorCode::QueueFull, "full").about(&"openai/gpt".parse().unwrap());
        assert_eq!(
            body.to_json(),
            r#"{"is_bifrost_error":false,"status_code":429,"error":{"message":"full","type":"rate_limit_error","code":"queue_full"},"extra_fields":{"provider":"openai","model_requested":"gpt","request_type":"text_completion"}}"#
        );
        assert_eq!(serde_json::from_str::<ErrorBody>(&body.to_json()).unwrap(), body);
    }

    #[test]
    fn only_our_own_faults_are_bifrost_errors() {
        assert!(ErrorBody::new(ErrorCode::QueueUnavailable, "").is_bifrost_error);
        assert!(!ErrorBody::new(ErrorCode::UpstreamTimeout, "").is_bifrost_error);
        assert_eq!(ErrorCode::UpstreamTimeout.kind(), "upstream_error");
    }
}
