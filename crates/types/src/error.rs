use serde::{Deserialize, Serialize};

use crate::{Journal, Operation, Target, UsageCharged};

/// Everything that we ourselves can call wrong, in one table: its `code` on the wire, its HTTP status, and
/// whether it is this service's fault. What a provider calls wrong keeps the provider's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The body or a member of it is not what the contract says.
    InvalidRequest,
    /// A target's provider is not in the configuration.
    ProviderNotConfigured,
    /// No such virtual key.
    VirtualKeyNotFound,
    /// The virtual key is inactive or has expired.
    AccessBlocked,
    /// A virtual key is needed and none was given.
    VirtualKeyRequired,
    /// The virtual key does not allow a target's provider.
    ProviderBlocked,
    /// The virtual key does not allow a target's model.
    ModelBlocked,
    /// The operator has not allowed webhooks to this address.
    WebhookUrlNotAllowed,
    /// The administration is closed, for all or for this caller.
    AdminClosed,
    /// An administrator's login is needed, or was wrong.
    Unauthorized,
    /// Too many logins have failed lately.
    TooManyLogins,
    /// There is nothing with this id.
    NotFound,
    /// It cannot be so beside what there is.
    Conflict,
    /// No job that this caller may see has this id.
    JobNotFound,
    /// The job has no result yet.
    JobNotCompleted,
    /// The job has ended, and cannot be cancelled.
    JobEnded,
    /// The job was cancelled.
    JobCancelled,
    /// The idempotency key came with another request before.
    IdempotencyKeyReused,
    /// A request with the idempotency key is being taken.
    IdempotencyKeyInUse,
    /// The job's result has no bytes to serve.
    NoContent,
    /// The bytes that are asked for lie beyond the end.
    RangeNotSatisfiable,
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
    /// The job waited longer than allowed: too few workers, so the fault is ours.
    JobDeadlineExceeded,
    /// The job ran longer than allowed: its providers were too slow. On the wire it has the same code.
    JobRunDeadlineExceeded,
    /// The provider could not be reached.
    UpstreamUnreachable,
    /// The provider did not answer in time.
    UpstreamTimeout,
    /// The provider's answer is not a completion.
    UpstreamInvalidResponse,
    /// The provider's answer, or what would be made of its answers, is larger than a result may be.
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
            Self::AccessBlocked => ("access_blocked", 403, false),
            Self::VirtualKeyRequired => ("virtual_key_required", 401, false),
            Self::ProviderBlocked => ("provider_blocked", 403, false),
            Self::ModelBlocked => ("model_blocked", 403, false),
            Self::WebhookUrlNotAllowed => ("webhook_url_not_allowed", 403, false),
            Self::AdminClosed => ("administration_closed", 403, false),
            Self::Unauthorized => ("unauthorized", 401, false),
            Self::TooManyLogins => ("too_many_logins", 429, false),
            Self::NotFound => ("not_found", 404, false),
            Self::Conflict => ("conflict", 409, false),
            Self::JobNotFound => ("job_not_found", 404, false),
            Self::JobNotCompleted => ("job_not_completed", 409, false),
            Self::JobEnded => ("job_ended", 409, false),
            Self::JobCancelled => ("job_cancelled", 499, false),
            Self::IdempotencyKeyReused => ("idempotency_key_reused", 422, false),
            Self::IdempotencyKeyInUse => ("idempotency_key_in_use", 409, false),
            Self::NoContent => ("no_content", 422, false),
            Self::RangeNotSatisfiable => ("range_not_satisfiable", 416, false),
            Self::PathNotFound => ("path_not_found", 404, false),
            Self::MethodNotAllowed => ("method_not_allowed", 405, false),
            Self::RequestTimeout => ("request_timeout", 408, false),
            Self::BodyTooLarge => ("body_too_large", 413, false),
            Self::QueueFull => ("queue_full", 429, false),
            Self::QueueUnavailable => ("queue_unavailable", 503, true),
            Self::Internal => ("internal_error", 500, true),
            Self::JobAttemptsExhausted => ("job_attempts_exhausted", 500, true),
            Self::JobDeadlineExceeded => ("job_deadline_exceeded", 504, true),
            Self::JobRunDeadlineExceeded => ("job_deadline_exceeded", 504, false),
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

    /// Whether it is of those that Bifrost's governance has, whose `type` is their code, in `error` and beside it.
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::VirtualKeyNotFound
                | Self::VirtualKeyRequired
                | Self::AccessBlocked
                | Self::ProviderBlocked
                | Self::ModelBlocked
        )
    }

    /// The `error.type` on the wire, in OpenAI's words.
    pub const fn kind(self) -> &'static str {
        match self.row() {
            (name, ..) if self.is_refusal() => name,
            (_, 401, _) => "authentication_error",
            (_, 403, _) => "permission_error",
            (_, 404, _) => "not_found_error",
            (_, 429, _) => "rate_limit_error",
            (_, 499, _) => "request_cancelled",
            (_, 400..=499, _) => "invalid_request_error",
            (_, _, true) => "server_error",
            (_, _, false) => "upstream_error",
        }
    }
}

/// The body of every error answer, and the `error` of a failed job. Members without a value are absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What keeps the client from it, where that is a matter of keys and limits: Bifrost's word, which is that of `error`, too.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// An id that also stands in our log line: on every 5xx. See [`ErrorBody::identified`].
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
    /// The [`Operation`]; none where it is not known, as for a path that we do not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_type: Option<String>,
    /// What was tried, for a job that was run.
    #[serde(default, skip_serializing_if = "Journal::is_empty")]
    pub attempts: Journal,
    /// What its calls have used, for a job that has cost something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_charged: Option<UsageCharged>,
}

impl ErrorBody {
    /// An error of ours.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let (name, status_code, is_bifrost_error) = code.row();
        Self {
            refusal: code.is_refusal().then(|| name.to_owned()),
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
                request_type: None,
                attempts: Journal::default(),
                usage_charged: None,
            },
        }
    }

    /// What keeps a client from it: Bifrost's word, and the id of a limit.
    pub fn refusal(kind: &str, status_code: u16, code: &str, message: &str) -> Self {
        let mut body = Self::new(ErrorCode::AccessBlocked, message);
        body.refusal = Some(kind.to_owned());
        body.status_code = status_code;
        body.error.kind = Some(kind.to_owned());
        body.error.code = Some(code.to_owned());
        body
    }

    /// How a cancelled job ends.
    pub fn cancelled() -> Self {
        Self::new(ErrorCode::JobCancelled, "the job was cancelled")
    }

    /// The same, in answer to a request of this kind. A path that we do not have is no request of any kind.
    #[must_use]
    pub fn of(mut self, operation: Operation) -> Self {
        self.extra_fields.request_type = Some(operation.request_type().to_owned());
        self
    }

    /// The same, about `target`.
    #[must_use]
    pub fn about(mut self, target: &Target) -> Self {
        self.extra_fields.provider = Some(target.provider().to_owned());
        self.extra_fields.model_requested = Some(target.model().to_owned());
        self
    }

    /// The same, with a fresh `event_id` if it is a 5xx that has none. Whoever calls this writes that id to the log.
    #[must_use]
    pub fn identified(mut self) -> Self {
        if self.status_code >= 500 && self.event_id.is_none() {
            self.event_id = Some(uuid::Uuid::now_v7().to_string());
        }
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
        let body = ErrorBody::new(ErrorCode::QueueFull, "full")
            .of(Operation::Embedding)
            .about(&"openai/gpt".parse().unwrap());
        assert_eq!(
            body.to_json(),
            r#"{"is_bifrost_error":false,"status_code":429,"error":{"message":"full","type":"rate_limit_error","code":"queue_full"},"extra_fields":{"provider":"openai","model_requested":"gpt","request_type":"embedding"}}"#
        );
        assert_eq!(serde_json::from_str::<ErrorBody>(&body.to_json()).unwrap(), body);
    }

    #[test]
    fn each_5xx_can_be_given_an_id_once() {
        let identified = ErrorBody::new(ErrorCode::UpstreamTimeout, "slow").identified();
        assert!(identified.event_id.is_some());
        assert_eq!(identified.clone().identified(), identified, "the id that is logged stays");
        let mut theirs = ErrorBody::new(ErrorCode::UpstreamError, "");
        theirs.status_code = 429;
        assert_eq!(theirs.identified().event_id, None);
        assert_eq!(ErrorBody::new(ErrorCode::QueueFull, "").identified().event_id, None);
    }

    #[test]
    fn an_unknown_path_has_no_request_type() {
        let text = ErrorBody::new(ErrorCode::PathNotFound, "no such path").to_json();
        assert!(text.ends_with(r#""extra_fields":{}}"#), "{text}");
        assert!(serde_json::from_str::<ErrorBody>(&text).is_ok());
    }

    #[test]
    fn only_our_own_faults_are_bifrost_errors() {
        let (waited, ran) = (ErrorCode::JobDeadlineExceeded, ErrorCode::JobRunDeadlineExceeded);
        assert_eq!((waited.as_str(), waited.status()), (ran.as_str(), ran.status()));
        assert!(ErrorBody::new(waited, "").is_bifrost_error && !ErrorBody::new(ran, "").is_bifrost_error);
        assert!(!ErrorBody::new(ErrorCode::UpstreamAnswerTooLarge, "").is_bifrost_error);
        assert_eq!(
            (ErrorCode::AccessBlocked.status(), ErrorCode::AccessBlocked.kind()),
            (403, "access_blocked")
        );
        assert!(ErrorBody::new(ErrorCode::QueueUnavailable, "").is_bifrost_error);
        assert!(!ErrorBody::new(ErrorCode::UpstreamTimeout, "").is_bifrost_error);
        assert_eq!(ErrorCode::UpstreamTimeout.kind(), "upstream_error");
        for (code, status) in [
            (ErrorCode::JobNotCompleted, 409),
            (ErrorCode::NoContent, 422),
            (ErrorCode::RangeNotSatisfiable, 416),
        ] {
            let body = ErrorBody::new(code, "");
            assert_eq!((body.status_code, body.is_bifrost_error), (status, false), "{}", code.as_str());
            assert_eq!(code.kind(), "invalid_request_error");
        }
    }
}
