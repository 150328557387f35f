use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use hermod_types::{
    CompletionExtra, ErrorCode, ErrorDetail, RawObject, compose_completion, extend_completion,
};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use crate::CallError;
use crate::chat::Reply;
use crate::dialect::Dialect;
use crate::retry_after::retry_after;
use crate::secrets::Secrets;
use crate::verdict::{self, Seen};

/// The largest answer that is read: a worker's memory is bounded whatever a provider sends.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// A provider's completion: valid, and as it came.
#[derive(Debug)]
pub struct Completion {
    text: String,
    /// Whether there is a member `extra_fields` already.
    has_extra: bool,
}

impl Completion {
    /// One that we have put together ourselves.
    pub(crate) fn composed(text: String) -> Self {
        Self { text, has_extra: false }
    }

    /// With our `extra_fields`: the result of a job.
    pub fn compose(self, extra: &CompletionExtra<'_>) -> String {
        if !self.has_extra {
            return extend_completion(self.text, extra);
        }
        // It was an object when it came in.
        serde_json::from_str(&self.text)
            .map_or_else(|_| String::new(), |object| compose_completion(&object, extra))
    }
}

/// What a provider has answered with a status of success.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
    headers: HeaderMap,
}

/// Reads an answer to its end. Who answers with an error is judged in the provider's own `dialect`.
pub(crate) async fn read(
    response: Response,
    dialect: &Dialect,
    secrets: &Secrets,
) -> Result<Answer, CallError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_body(response).await?;
    let text = String::from_utf8(body);
    if !status.is_success() {
        let text = text.unwrap_or_default();
        return Err(refusal(status, &headers, &text, dialect, secrets));
    }
    let text = text.map_err(|_| not_a_completion("its answer is not UTF-8"))?;
    Ok(Answer { text, headers })
}

impl Answer {
    /// As the completion that it must be in OpenAI's form: an `error` in it, or no `choices`, is a failure.
    pub(crate) fn into_completion(
        self,
        dialect: &Dialect,
        secrets: &Secrets,
    ) -> Result<Completion, CallError> {
        let object = self.object(dialect, secrets)?;
        if !member(&object, "choices").is_some_and(|choices| choices.starts_with('[')) {
            return Err(not_a_completion("its answer has no choices"));
        }
        let has_extra = member(&object, "extra_fields").is_some();
        Ok(Completion { text: self.text, has_extra })
    }

    /// Adds its size to what the other answers of the same request have `taken`: together they count as one.
    pub(crate) fn count(&self, taken: &AtomicUsize) -> Result<(), CallError> {
        let before = taken.fetch_add(self.text.len(), Ordering::Relaxed);
        if before.saturating_add(self.text.len()) > MAX_ANSWER_BYTES {
            let message = format!("its answers are together larger than {MAX_ANSWER_BYTES} bytes");
            return Err(not_a_completion(&message));
        }
        Ok(())
    }

    /// As the reply of a chat, which `read` reads.
    pub(crate) fn reply(
        &self,
        read: impl FnOnce(&str) -> Result<Reply, String>,
        dialect: &Dialect,
        secrets: &Secrets,
    ) -> Result<Reply, CallError> {
        self.object(dialect, secrets)?;
        read(&self.text).map_err(|what| not_a_completion(&what))
    }

    /// The object that it is, unless that says that there was an error.
    fn object(&self, dialect: &Dialect, secrets: &Secrets) -> Result<RawObject<'_>, CallError> {
        let Ok(object) = serde_json::from_str::<RawObject<'_>>(&self.text) else {
            return Err(not_a_completion("its answer is not a JSON object"));
        };
        if member(&object, "error").is_none_or(|error| error == "null") {
            return Ok(object);
        }
        let Some(detail) = dialect.error(&self.text) else {
            return Err(not_a_completion("it answered 200 with an error"));
        };
        // OpenRouter's way: the code is the status that it would have been.
        let status = detail.code.as_deref().and_then(|code| code.parse().ok());
        if let Some(status) = status.filter(|status| (400..600).contains(status)) {
            let after = wait(dialect, &self.headers, &self.text);
            return Err(judge(status, &self.headers, after, detail, secrets));
        }
        let detail = Box::new(secrets.mask(detail));
        Err(CallError { detail, ..not_a_completion("it answered 200 with an error") })
    }
}

fn member<'a>(object: &RawObject<'a>, wanted: &str) -> Option<&'a str> {
    object.members().find(|(name, _)| *name == wanted).map(|(_, value)| value.get())
}

pub(crate) async fn read_body(mut response: Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER_BYTES => {
                let message = format!("its answer is larger than {MAX_ANSWER_BYTES} bytes");
                return Err(not_a_completion(&message));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(unreachable(error)),
        }
    }
}

fn not_a_completion(what: &str) -> CallError {
    CallError::ours(ErrorCode::UpstreamInvalidResponse, format!("the provider's answer is unusable: {what}"))
}

/// A call that ended without an answer. The text leaves out the URL, which may hold a secret.
pub(crate) fn unreachable(error: reqwest::Error) -> CallError {
    let code = if error.is_timeout() { ErrorCode::UpstreamTimeout } else { ErrorCode::UpstreamUnreachable };
    let never_sent = error.is_connect();
    let error = error.without_url();
    let mut message = format!("the provider could not be reached: {error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    let error = CallError::ours(code, message);
    CallError { may_be_billed: !never_sent, ..error }
}

fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    text: &str,
    dialect: &Dialect,
    secrets: &Secrets,
) -> CallError {
    let mut detail = dialect.error(text).unwrap_or_else(|| ErrorDetail {
        message: format!("the provider answered {status}"),
        ..ErrorDetail::default()
    });
    detail.kind = detail.kind.or_else(|| dialect.error_type(headers).map(str::to_owned));
    let status = status.as_u16();
    let after = wait(dialect, headers, text);
    CallError { status, ..judge(dialect.status(status, &detail), headers, after, detail, secrets) }
}

/// The wait that an error asks for, in its headers or in its body.
fn wait(dialect: &Dialect, headers: &HeaderMap, text: &str) -> Option<Duration> {
    retry_after(headers, SystemTime::now()).or_else(|| dialect.wait(text))
}

/// What an error means that the provider itself has answered.
fn judge(
    status: u16,
    headers: &HeaderMap,
    after: Option<Duration>,
    detail: ErrorDetail,
    secrets: &Secrets,
) -> CallError {
    let seen = Seen {
        status,
        words: [detail.code.as_deref(), detail.kind.as_deref()],
        message: &detail.message,
        after,
        never: headers.get("x-should-retry").is_some_and(|value| value.as_bytes() == b"false"),
    };
    let (verdict, blames_target) = verdict::of_answer(&seen);
    CallError {
        code: ErrorCode::UpstreamError,
        status,
        verdict,
        blames_target,
        may_be_billed: false,
        detail: Box::new(secrets.mask(detail)),
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::config::{Kind, ProviderConfig};

    use super::*;

    fn check(text: &str) -> Result<Completion, CallError> {
        let answer = Answer { text: text.to_owned(), headers: HeaderMap::new() };
        let secrets = Secrets::of(&ProviderConfig::new(Kind::OpenAi));
        answer.into_completion(&Dialect::of(Kind::OpenAi), &secrets)
    }

    fn checked(text: &str) -> Result<(), String> {
        check(text).map(drop).map_err(|error| error.detail.message.clone())
    }

    #[test]
    fn a_200_is_a_completion_only_if_it_says_so() {
        assert_eq!(
            checked(r#"{"choices":[{"text":""}],"error":null}"#),
            Ok(()),
            "an empty text is a success"
        );
        for (text, what) in [
            ("<html>", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("{\"choices\":null}", "no choices"),
            ("{\"choices\":[]", "not a JSON object"),
            (r#"{"error":{"message":"overloaded"},"choices":[]}"#, "overloaded"),
        ] {
            assert!(checked(text).unwrap_err().contains(what), "{text}");
        }
        let paced = r#"{"error":{"message":"slow down","code":429}}"#;
        let error = check(paced).unwrap_err();
        assert_eq!(
            (error.status, error.answered()),
            (429, Some(429)),
            "a code that is a status counts as one"
        );
    }

    #[test]
    fn answers_of_one_request_are_bounded_together() {
        let answer = Answer { text: " ".repeat(MAX_ANSWER_BYTES / 2), headers: HeaderMap::new() };
        let taken = AtomicUsize::new(0);
        assert!(answer.count(&taken).is_ok() && answer.count(&taken).is_ok());
        assert!(answer.count(&taken).unwrap_err().detail.message.contains("together larger"));
    }
}
