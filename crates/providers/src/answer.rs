use std::time::{Duration, SystemTime};

use hermod_types::{ErrorCode, ErrorDetail, RawObject, ResultExtra, compose_result, extend_result};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use crate::CallError;
use crate::error_form::ErrorForm;
use crate::retry_after::retry_after;
use crate::secrets::Secrets;
use crate::transport::{Received, read_body};
use crate::verdict::{self, Seen};

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
    pub fn compose(self, extra: &ResultExtra<'_>) -> String {
        if !self.has_extra {
            return extend_result(self.text, extra);
        }
        // It was an object when it came in.
        serde_json::from_str(&self.text)
            .map_or_else(|_| String::new(), |object| compose_result(&object, extra))
    }
}

/// What a provider has answered with a status of success.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
    headers: HeaderMap,
}

/// Reads an answer to its end. An answer that is an error is read as `form` says. `received` counts the bytes of all answers
/// to the same job: together they have one limit.
pub(crate) async fn read(
    response: Response,
    form: &dyn ErrorForm,
    secrets: &Secrets,
    received: &Received<'_>,
) -> Result<Answer, CallError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_body(response, received).await?;
    let text = String::from_utf8(body);
    if !status.is_success() {
        let text = text.unwrap_or_default();
        return Err(refusal(status, &headers, &text, form, secrets));
    }
    let text = text.map_err(|_| not_a_completion("its answer is not UTF-8"))?;
    Ok(Answer { text, headers })
}

impl Answer {
    /// As the completion that it must be in OpenAI's form: an `error` in it, or no `choices`, is a failure.
    pub(crate) fn into_completion(
        self,
        form: &dyn ErrorForm,
        secrets: &Secrets,
    ) -> Result<Completion, CallError> {
        let object = self.object(form, secrets)?;
        if !member(&object, "choices").is_some_and(|choices| choices.starts_with('[')) {
            return Err(not_a_completion("its answer has no choices"));
        }
        let has_extra = member(&object, "extra_fields").is_some();
        Ok(Completion { text: self.text, has_extra })
    }

    /// As what `read` makes of it, or the error that it reports.
    pub(crate) fn read_as<T>(
        &self,
        read: impl FnOnce(&str) -> Result<T, String>,
        form: &dyn ErrorForm,
        secrets: &Secrets,
    ) -> Result<T, CallError> {
        self.object(form, secrets)?;
        read(&self.text).map_err(|what| not_a_completion(&what))
    }

    /// The object that it is, unless that says that there was an error.
    fn object(&self, form: &dyn ErrorForm, secrets: &Secrets) -> Result<RawObject<'_>, CallError> {
        let Ok(object) = serde_json::from_str::<RawObject<'_>>(&self.text) else {
            return Err(not_a_completion("its answer is not a JSON object"));
        };
        if member(&object, "error").is_none_or(|error| error == "null") {
            return Ok(object);
        }
        let Some(detail) = form.error(&self.text) else {
            return Err(not_a_completion("it answered 200 with an error"));
        };
        // OpenRouter's way: the code is the status that it would have been.
        let status = detail.code.as_deref().and_then(|code| code.parse().ok());
        if let Some(status) = status.filter(|status| (400..600).contains(status)) {
            let after = wait(form, &self.headers, &self.text);
            return Err(judge(status, &self.headers, after, detail, secrets));
        }
        let detail = Box::new(secrets.mask(detail));
        Err(CallError { detail, ..not_a_completion("it answered 200 with an error") })
    }
}

fn member<'a>(object: &RawObject<'a>, wanted: &str) -> Option<&'a str> {
    object.members().find(|(name, _)| *name == wanted).map(|(_, value)| value.get())
}

fn not_a_completion(what: &str) -> CallError {
    CallError::ours(ErrorCode::UpstreamInvalidResponse, format!("the provider's answer is unusable: {what}"))
}

fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    text: &str,
    form: &dyn ErrorForm,
    secrets: &Secrets,
) -> CallError {
    let mut detail = form.error(text).unwrap_or_else(|| ErrorDetail {
        message: format!("the provider answered {status}"),
        ..ErrorDetail::default()
    });
    detail.kind = detail.kind.or_else(|| form.error_type(headers).map(str::to_owned));
    let status = status.as_u16();
    let after = wait(form, headers, text);
    CallError { status, ..judge(form.status(status, &detail), headers, after, detail, secrets) }
}

/// The wait that an error asks for, in its headers or in its body.
fn wait(form: &dyn ErrorForm, headers: &HeaderMap, text: &str) -> Option<Duration> {
    retry_after(headers, SystemTime::now()).or_else(|| form.wait(text))
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
    use hermod_types::config::{ProviderConfig, ProviderKind};

    use super::*;

    #[derive(Debug)]
    struct OpenAi;

    impl ErrorForm for OpenAi {}

    fn check(text: &str) -> Result<Completion, CallError> {
        let answer = Answer { text: text.to_owned(), headers: HeaderMap::new() };
        let secrets = Secrets::of(&ProviderConfig::new(ProviderKind::OpenAi));
        answer.into_completion(&OpenAi, &secrets)
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
}
