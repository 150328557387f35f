use actix_web::http::header::{CONTENT_RANGE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use hermod_governance::Refusal;
use hermod_queue::QueueError;
use hermod_service::error_response;
use hermod_types::webhook::{EndpointId, UnusableEndpoint};
use hermod_types::{ErrorBody, ErrorCode, InvalidRequest, Operation, Target, Timestamp};

use crate::body::BodyLimit;

/// Every error that the API itself answers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    Invalid(#[from] InvalidRequest),
    #[error("provider {:?} is not configured; configured: {configured}", target.provider())]
    ProviderNotConfigured { target: Target, param: &'static str, configured: String },
    #[error("virtual key not found")]
    VirtualKeyNotFound,
    #[error("virtual key is required. Provide a virtual key via the x-bf-vk header.")]
    VirtualKeyRequired,
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{refusal}")]
    TargetRefused { refusal: Box<Refusal>, target: Target, param: &'static str },
    #[error("header {header} names an address whose origin client.allow_webhook_urls does not list")]
    WebhookUrlNotAllowed { header: &'static str },
    #[error(
        "the administration is closed: enable it with governance.auth_config in config.json (is_enabled, admin_username, \
         admin_password), or with a setup token (setup_token there, or BIFROST_SETUP_TOKEN)"
    )]
    AdminClosed,
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error("wrong setup token")]
    WrongSetupToken,
    #[error("too many logins from this address have failed; try again in {retry_seconds} s")]
    LoginSlowed { retry_seconds: u64 },
    #[error("{0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Conflict(String),
    #[error("webhook endpoint {id}: {error}")]
    UnusableEndpoint { id: EndpointId, error: UnusableEndpoint },
    #[error("no job with this id: it is unknown, or its result has expired")]
    JobNotFound,
    #[error("jobs are not listed here: HERMOD_LISTS is off")]
    NoLists,
    #[error("job is not completed")]
    NotCompleted { retry_seconds: u64 },
    #[error("job has already ended")]
    JobEnded,
    #[error("idempotency key was used with another request")]
    IdempotencyKeyReused,
    #[error("a request with this idempotency key is being taken")]
    IdempotencyKeyInUse,
    #[error("{0}")]
    NoContent(&'static str),
    #[error("the range begins behind the end: there are {size} bytes")]
    RangeNotSatisfiable { size: u64 },
    #[error("the body arrived too slowly, or not at all for 30 s")]
    BodyTimeout,
    #[error("the body ended early")]
    BodyBroken,
    #[error("the body is larger than the limit of {} bytes ({})", .0.bytes, .0.setting)]
    BodyTooLarge(BodyLimit),
    #[error("failed to parse multipart form: {0}")]
    BrokenForm(String),
    #[error("the queue is at its limit of waiting jobs; try again later")]
    QueueFull,
    #[error("too many requests of this size at once, beyond HERMOD_MAX_MEMORY_BYTES; try again later")]
    Overloaded,
    #[error("the queue is not available; the job was not accepted")]
    NotAccepted(#[source] QueueError),
    #[error("the queue did not answer; the job may or may not have been accepted")]
    MayBeAccepted(#[source] QueueError),
    #[error("the response is not there yet; the same request, sent again, goes on to wait for it")]
    AskAgain,
    #[error("the queue is not available")]
    Unavailable(#[source] QueueError),
    #[error("internal error")]
    Internal(#[source] QueueError),
}

/// What a client is asked to wait before it tries again, in seconds: well under the 60 beyond which OpenAI's
/// SDKs ignore it.
const RETRY_SECONDS: u64 = 2;

/// A client that is told to wait longer than this need not try again by itself.
const LONGEST_RETRY_SECONDS: u64 = 60;

pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

impl ApiError {
    /// A submit's failure.
    pub(crate) fn from_submit(error: QueueError) -> Self {
        if error.may_be_done() { Self::MayBeAccepted(error) } else { Self::NotAccepted(error) }
    }

    /// A poll's failure.
    pub(crate) fn from_find(error: QueueError) -> Self {
        if matches!(error, QueueError::Unexpected(_)) {
            Self::Internal(error)
        } else {
            Self::Unavailable(error)
        }
    }

    /// Whether Redis is away, and may be back soon.
    pub(crate) const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether there may be more of the request's body than was read.
    const fn leaves_body_unread(&self) -> bool {
        matches!(
            self,
            Self::BodyTimeout
                | Self::BodyTooLarge(_)
                | Self::BodyBroken
                | Self::BrokenForm(_)
                | Self::Overloaded
                | Self::IdempotencyKeyInUse
        )
    }

    const fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) | Self::BodyBroken | Self::BrokenForm(_) => ErrorCode::InvalidRequest,
            Self::ProviderNotConfigured { .. } => ErrorCode::ProviderNotConfigured,
            Self::VirtualKeyNotFound => ErrorCode::VirtualKeyNotFound,
            Self::VirtualKeyRequired => ErrorCode::VirtualKeyRequired,
            // What they are answered with, they say themselves.
            Self::Refused(_) | Self::TargetRefused { .. } => ErrorCode::AccessBlocked,
            Self::NoLists => ErrorCode::PathNotFound,
            Self::WebhookUrlNotAllowed { .. } => ErrorCode::WebhookUrlNotAllowed,
            Self::AdminClosed | Self::WrongSetupToken => ErrorCode::AdminClosed,
            Self::Unauthorized(_) => ErrorCode::Unauthorized,
            Self::LoginSlowed { .. } => ErrorCode::TooManyLogins,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::JobNotFound => ErrorCode::JobNotFound,
            Self::NotCompleted { .. } => ErrorCode::JobNotCompleted,
            Self::JobEnded => ErrorCode::JobEnded,
            Self::IdempotencyKeyReused => ErrorCode::IdempotencyKeyReused,
            Self::IdempotencyKeyInUse => ErrorCode::IdempotencyKeyInUse,
            Self::NoContent(_) => ErrorCode::NoContent,
            Self::RangeNotSatisfiable { .. } => ErrorCode::RangeNotSatisfiable,
            Self::BodyTimeout => ErrorCode::RequestTimeout,
            Self::BodyTooLarge(_) => ErrorCode::BodyTooLarge,
            Self::QueueFull | Self::Overloaded => ErrorCode::QueueFull,
            Self::AskAgain | Self::NotAccepted(_) | Self::MayBeAccepted(_) | Self::Unavailable(_) => {
                ErrorCode::QueueUnavailable
            }
            Self::Internal(_) | Self::UnusableEndpoint { .. } => ErrorCode::Internal,
        }
    }

    /// A request that is not what it should be.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(InvalidRequest { message: message.into(), param: None })
    }

    /// The same, in answer to a request of this kind.
    pub(crate) const fn of(self, operation: Operation) -> Failure {
        Failure { operation: Some(operation), error: self }
    }

    /// The same, in answer to a request that is about no call in particular.
    pub(crate) const fn of_no_operation(self) -> Failure {
        Failure { operation: None, error: self }
    }

    /// By what it is refused, if it is that.
    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Refused(refusal) = self {
            return Some(refusal);
        }
        if let Self::TargetRefused { refusal, .. } = self { Some(refusal) } else { None }
    }

    pub(crate) fn status(&self) -> StatusCode {
        let status = self.refusal().map_or_else(|| self.code().status(), |refusal| refusal.kind.status());
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The body of the answer.
    pub(crate) fn body(&self, operation: Option<Operation>) -> ErrorBody {
        let own = || ErrorBody::new(self.code(), self.to_string());
        let mut body = self.refusal().map_or_else(own, Refusal::to_body);
        if let Some(operation) = operation {
            body = body.of(operation);
        }
        if let Self::Invalid(invalid) = self {
            body.error.param.clone_from(&invalid.param);
        }
        if let Self::ProviderNotConfigured { target, param, .. } | Self::TargetRefused { target, param, .. } =
            self
        {
            body = body.about(target);
            body.error.param = Some((*param).to_owned());
        }
        body
    }
}

/// An error, and what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Failure {
    operation: Option<Operation>,
    error: ApiError,
}

/// In answer to a request that is for no call, such as an administrator's.
impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        error.of_no_operation()
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.error.status()
    }

    fn error_response(&self) -> HttpResponse {
        let (error, status) = (&self.error, self.error.status());
        let mut body = error.body(self.operation);
        if status.is_server_error() {
            let event_id = uuid::Uuid::now_v7().to_string();
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(event_id, status = status.as_u16(), cause, "{error}");
            body.event_id = Some(event_id);
        }
        let mut response = error_response(&body);
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
            || matches!(error, ApiError::IdempotencyKeyInUse)
        {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        if let ApiError::NotCompleted { retry_seconds } = error {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(*retry_seconds));
        }
        if let ApiError::LoginSlowed { retry_seconds } = error {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(*retry_seconds));
        }
        if matches!(error, ApiError::Unauthorized(_)) {
            // Not Basic, which would have a browser ask for it in a window of its own.
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"Hermod\""));
        }
        if let ApiError::RangeNotSatisfiable { size } = error
            && let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}"))
        {
            response.headers_mut().insert(CONTENT_RANGE, range);
        }
        let retry_after = error.refusal().and_then(|refusal| refusal.retry_after(Timestamp::now()));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            if seconds > LONGEST_RETRY_SECONDS {
                response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
        }
        if matches!(error, ApiError::MayBeAccepted(_) | ApiError::JobEnded) {
            // OpenAI's SDKs would send the same submit again, and the job might run twice.
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if error.leaves_body_unread() {
            // Nothing can follow on this connection.
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        response
    }
}
