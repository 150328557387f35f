use std::path::PathBuf;
use std::time::Duration;

use hermod_types::RawObject;
use reqwest::{Response, StatusCode};
use serde_json::value::RawValue;

use crate::{Job, JobRef};

/// What may go wrong between a client and the API. No message has a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument that cannot be used. Nothing was sent.
    #[error("{what}: expected {expected}")]
    Invalid {
        /// The argument.
        what: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// An option of a submit that no header can carry. Nothing was sent.
    #[error("{value:?} cannot be sent as {header}")]
    Header {
        /// The header.
        header: &'static str,
        /// The value.
        value: String,
    },
    /// A file that cannot be read. Nothing was sent.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A path that leads to no file. Nothing was sent.
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
    /// A body that cannot be written as JSON. Nothing was sent.
    #[error("the body cannot be written as JSON")]
    Body(#[source] serde_json::Error),
    /// The connection failed, or the answer did not begin in time. The API may have taken the request.
    #[error("no answer from {url}")]
    NoAnswer {
        /// Where the API should be.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer broke off.
    #[error("no answer from {url} to its end")]
    Broken {
        /// Where the API is.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The API's refusal.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The job has ended without a result.
    #[error("the job failed with {status_code}: {message}")]
    Failed {
        /// 499 for a cancelled one; else as of an HTTP answer.
        status_code: u16,
        /// What failed it.
        message: String,
        /// The job, with its error and its attempts.
        job: Box<Job>,
    },
    /// The job waits or runs.
    #[error("{0} has not ended")]
    NotEnded(JobRef),
    /// An answer that is no JSON, or not the JSON that was asked for.
    #[error("{status}, and not JSON")]
    NotJson {
        /// The answer's status.
        status: StatusCode,
        /// Why.
        source: serde_json::Error,
    },
    /// A result, or attempts, that are not of the type asked for.
    #[error("{what}: not as expected")]
    Unexpected {
        /// The part of the job.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// An answer without something that each answer of Hermod has.
    #[error("the answer has no {0}")]
    Missing(&'static str),
}

/// An answer that is an error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{status}: {message}")]
#[non_exhaustive]
pub struct Refused {
    /// The answer's status.
    pub status: StatusCode,
    /// What is wrong, for people.
    pub message: String,
    /// The same for programs, such as `job_not_found`.
    pub code: Option<String>,
    /// The member or field that is wrong.
    pub param: Option<String>,
    /// How long the API asks to wait before the next try.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// Whether there is no such job, or other thing that was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.status == StatusCode::NOT_FOUND)
    }

    /// Whether the same request may succeed later. A submit that is sent again wants an
    /// [idempotency key](crate::Submission::idempotency_key).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoAnswer { source, .. } => !source.is_builder(),
            Self::Broken { .. } => true,
            Self::Refused(refused) => matches!(refused.status.as_u16(), 429 | 502..=504),
            // A proxy's page.
            Self::NotJson { status, .. } => status.is_server_error(),
            Self::Invalid { .. }
            | Self::Header { .. }
            | Self::File { .. }
            | Self::NotAFile(_)
            | Self::Body(_)
            | Self::Failed { .. }
            | Self::NotEnded(_)
            | Self::Unexpected { .. }
            | Self::Missing(_) => false,
        }
    }

    /// How long the API asks to wait before the next try.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused(refused) = self { refused.retry_after } else { None }
    }

    /// Reads an answer that is an error.
    pub(crate) async fn of_answer(url: &str, response: Response) -> Self {
        let status = response.status();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let body = match read(url, response).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let (message, code, param) = error_of(&body);
        Self::Refused(Refused { status, message, code, param, retry_after })
    }
}

/// The message, code and parameter of an error's body.
pub(crate) fn error_of(body: &RawValue) -> (String, Option<String>, Option<String>) {
    let error = member(body, "error");
    let text = |name: &str| error.and_then(|error| text(member(error, name)?));
    (text("message").unwrap_or_else(|| "no message".to_owned()), text("code"), text("param"))
}

/// An answer's body.
pub(crate) async fn read(url: &str, response: Response) -> Result<Box<RawValue>, Error> {
    let status = response.status();
    let text = response.text().await.map_err(|error| broken(url, error))?;
    RawValue::from_string(text).map_err(|source| Error::NotJson { status, source })
}

/// The answer of this API broke off.
pub(crate) fn broken(url: &str, source: reqwest::Error) -> Error {
    Error::Broken { url: url.to_owned(), source: source.without_url() }
}

/// An object's member. The rest is not looked at, so no number in it is too large.
pub(crate) fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let object: RawObject<'a> = serde_json::from_str(object.get()).ok()?;
    object.get(name).filter(|value| value.get() != "null")
}

/// A string's text; as it was written where that is no Unicode.
pub(crate) fn text(value: &RawValue) -> Option<String> {
    let raw = value.get();
    raw.starts_with('"').then(|| serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()))
}
