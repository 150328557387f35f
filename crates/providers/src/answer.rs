use std::time::SystemTime;

use hermod_types::{CompletionExtra, ErrorCode, ErrorDetail, RawObject, compose_completion};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use crate::retry_after::retry_after;
use crate::secrets::Secrets;
use crate::verdict::{self, Seen};
use crate::{CallError, openai};

/// The largest answer that is read: a worker's memory is bounded whatever a provider sends.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// A provider's completion: valid, and as it came.
#[derive(Debug)]
pub struct Completion(String);

impl Completion {
    /// With our `extra_fields`: the result of a job.
    pub fn compose(&self, extra: &CompletionExtra<'_>) -> String {
        // It has been read before, as it came in.
        serde_json::from_str(&self.0)
            .map_or_else(|_| self.0.clone(), |object| compose_completion(&object, extra))
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
    check(&text, &headers, secrets)?;
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
fn check(text: &str, headers: &HeaderMap, secrets: &Secrets) -> Result<(), CallError> {
    let Ok(object) = serde_json::from_str::<RawObject<'_>>(text) else {
        return Err(not_a_completion("its answer is not a JSON object"));
    };
    let member = |wanted| object.members().find(|(name, _)| *name == wanted).map(|(_, value)| value.get());
    if member("error").is_some_and(|error| error != "null") {
        let Some(detail) = openai::error(text) else {
            return Err(not_a_completion("it answered 200 with an error"));
        };
        // OpenRouter's way: the code is the status that it would have been.
        let status = detail.code.as_deref().and_then(|code| code.parse().ok());
        if let Some(status) = status.filter(|status| (400..600).contains(status)) {
            return Err(judge(status, headers, detail, secrets));
        }
        let detail = Box::new(secrets.mask(detail));
        return Err(CallError { detail, ..not_a_completion("it answered 200 with an error") });
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

fn refusal(status: StatusCode, headers: &HeaderMap, text: &str, secrets: &Secrets) -> CallError {
    let detail = openai::error(text).unwrap_or_else(|| ErrorDetail {
        message: format!("the provider answered {status}"),
        ..ErrorDetail::default()
    });
    judge(status.as_u16(), headers, detail, secrets)
}

/// What an error means that the provider itself has answered.
fn judge(status: u16, headers: &HeaderMap, detail: ErrorDetail, secrets: &Secrets) -> CallError {
    let seen = Seen {
        status,
        words: [detail.code.as_deref(), detail.kind.as_deref()],
        message: &detail.message,
        after: retry_after(headers, SystemTime::now()),
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
    use hermod_types::config::ProviderConfig;

    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        check(text, &HeaderMap::new(), &Secrets::of(&ProviderConfig::new("openai")))
            .map_err(|error| error.detail.message.clone())
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
        let error =
            check(paced, &HeaderMap::new(), &Secrets::of(&ProviderConfig::new("openai"))).unwrap_err();
        assert_eq!(
            (error.status, error.answered()),
            (429, Some(429)),
            "a code that is a status counts as one"
        );
    }
}
