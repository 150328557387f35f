use std::time::Duration;

use hermod_types::{CompletionExtra, ErrorCode, ErrorDetail, RawObject, compose_completion};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::secrets::Secrets;
use crate::verdict::{self, Hints};
use crate::{CallError, openai};

/// The largest answer that is read: a worker's memory is bounded whatever a provider sends.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// A provider's completion: valid, and as it came.
#[derive(Debug)]
pub(crate) struct Completion(String);

impl Completion {
    /// With our `extra_fields`: the result of a job.
    pub(crate) fn compose(&self, extra: &CompletionExtra<'_>) -> Result<String, CallError> {
        let object = serde_json::from_str(&self.0).map_err(|_| not_a_completion("its answer is not JSON"))?;
        Ok(compose_completion(&object, extra))
    }
}

/// Reads an answer to its end and tells what it is.
pub(crate) async fn read(response: Response, secrets: &Secrets) -> Result<Completion, CallError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_body(response).await?;
    let text = String::from_utf8(body);
    if !status.is_success() {
        let text = text.unwrap_or_default();
        return Err(refusal(status, &headers, &text, secrets));
    }
    let text = text.map_err(|_| not_a_completion("its answer is not UTF-8"))?;
    check(&text, secrets)?;
    Ok(Completion(text))
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, CallError> {
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

/// A 200 is a completion only if it says so: an `error` in it, or no `choices`, is a failure.
fn check(text: &str, secrets: &Secrets) -> Result<(), CallError> {
    let Ok(object) = serde_json::from_str::<RawObject<'_>>(text) else {
        return Err(not_a_completion("its answer is not a JSON object"));
    };
    let member = |wanted| object.members().find(|(name, _)| *name == wanted).map(|(_, value)| value.get());
    if member("error").is_some_and(|error| error != "null") {
        let mut error = not_a_completion("it answered 200 with an error");
        if let Some(detail) = openai::error(text) {
            error.detail = secrets.mask(detail);
        }
        return Err(error);
    }
    if !member("choices").is_some_and(|choices| choices.starts_with('[')) {
        return Err(not_a_completion("its answer has no choices"));
    }
    Ok(())
}

fn not_a_completion(what: &str) -> CallError {
    CallError::ours(ErrorCode::UpstreamInvalidResponse, format!("the provider's answer is unusable: {what}"))
}

/// A call that ended without an answer. The text leaves out the URL, which may hold a secret.
pub(crate) fn unreachable(error: reqwest::Error) -> CallError {
    let code = if error.is_timeout() { ErrorCode::UpstreamTimeout } else { ErrorCode::UpstreamUnreachable };
    let error = error.without_url();
    let mut message = format!("the provider could not be reached: {error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    CallError::ours(code, message)
}

fn refusal(status: StatusCode, headers: &HeaderMap, text: &str, secrets: &Secrets) -> CallError {
    let detail = openai::error(text).unwrap_or_else(|| ErrorDetail {
        message: format!("the provider answered {status}"),
        ..ErrorDetail::default()
    });
    let hints = Hints {
        words: [detail.code.as_deref(), detail.kind.as_deref()],
        retry_after: retry_after(headers),
        never: headers.get("x-should-retry").is_some_and(|value| value.as_bytes() == b"false"),
    };
    let verdict = verdict::of_status(status.as_u16(), &hints);
    CallError::theirs(status.as_u16(), secrets.mask(detail), verdict)
}

/// `Retry-After` in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use hermod_types::config::ProviderConfig;

    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        check(text, &Secrets::of(&ProviderConfig::new("openai"))).map_err(|error| error.detail.message)
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
    }
}
