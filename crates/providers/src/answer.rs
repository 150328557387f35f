use std::time::{Duration, SystemTime};

use hermod_types::{
    CallUsage, ErrorCode, ErrorDetail, Operation, RawObject, ResultExtra, compose_result, extend_result,
};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use crate::error_form::ErrorForm;
use crate::retry_after::retry_after;
use crate::secrets::Secrets;
use crate::transport::{Received, read_body};
use crate::verdict::{self, Seen};
use crate::{Bill, CallError, usage};

/// The result of a call: a JSON object in the form of the client's endpoint.
#[derive(Debug)]
pub struct CallResult {
    text: String,
    /// Whether there is a member `extra_fields` already.
    has_extra: bool,
    /// The model that was asked for, by the provider's name.
    pub model: String,
    /// What the provider was asked for.
    pub sent_as: Operation,
}

impl CallResult {
    /// One that the provider has written.
    pub(crate) fn native(text: String, model: &str, sent_as: Operation) -> Self {
        let has_extra = text.contains("\"extra_fields\"")
            && serde_json::from_str::<RawObject<'_>>(&text)
                .is_ok_and(|object| object.get("extra_fields").is_some());
        Self { text, has_extra, model: model.to_owned(), sent_as }
    }

    /// One that we have put together ourselves.
    pub(crate) fn composed(text: String, model: &str, sent_as: Operation) -> Self {
        Self { text, has_extra: false, model: model.to_owned(), sent_as }
    }

    /// The JSON as it is without our `extra_fields`.
    pub fn text(&self) -> &str {
        &self.text
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
    content: Content,
    headers: HeaderMap,
    /// What it says that it has used.
    usage: Option<CallUsage>,
}

#[derive(Debug)]
enum Content {
    Text(String),
    /// What is no UTF-8.
    Bytes(Vec<u8>),
}

/// Reads an answer to its end. An answer that is an error is read as `form` says. `received` counts the bytes of all answers
/// to the same job: together they have one limit. What an error says that it has used goes to the `bill`.
pub(crate) async fn read(
    response: Response,
    form: &dyn ErrorForm,
    secrets: &Secrets,
    received: &Received<'_>,
    bill: &Bill,
) -> Result<Answer, CallError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_body(response, received).await?;
    bill.close();
    let content = match String::from_utf8(body) {
        Ok(text) => Content::Text(text),
        Err(error) => Content::Bytes(error.into_bytes()),
    };
    let mut answer = Answer { content, headers, usage: None };
    answer.usage = answer.text().ok().and_then(|text| usage::of_answer(text, &answer.headers));
    let outcome = if status.is_success() {
        answer.check(form, secrets)
    } else {
        let text = answer.text().unwrap_or_default();
        Err(refusal(status, &answer.headers, text, form, secrets))
    };
    match outcome {
        Ok(()) => Ok(answer),
        Err(error) => {
            bill.add_told(answer.usage);
            Err(error)
        }
    }
}

impl Answer {
    /// One of this `Content-Type`.
    #[cfg(test)]
    pub(crate) fn test(content_type: &str, body: &[u8]) -> Self {
        use reqwest::header::{CONTENT_TYPE, HeaderValue};
        let value = HeaderValue::from_str(content_type).unwrap();
        let content = String::from_utf8(body.to_vec());
        let content = content.map_or_else(|error| Content::Bytes(error.into_bytes()), Content::Text);
        Self { content, headers: HeaderMap::from_iter([(CONTENT_TYPE, value)]), usage: None }
    }

    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What it says that it has used; none if it says nothing.
    pub(crate) const fn take_usage(&mut self) -> Option<CallUsage> {
        self.usage.take()
    }

    /// # Errors
    /// If it is no text.
    pub(crate) fn text(&self) -> Result<&str, String> {
        match &self.content {
            Content::Text(text) => Ok(text),
            Content::Bytes(_) => Err("its answer is not UTF-8".to_owned()),
        }
    }

    /// # Errors
    /// If it is no text.
    pub(crate) fn into_text(self) -> Result<String, String> {
        match self.content {
            Content::Text(text) => Ok(text),
            Content::Bytes(_) => Err("its answer is not UTF-8".to_owned()),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Text(text) => text.as_bytes(),
            Content::Bytes(bytes) => bytes,
        }
    }

    /// Refuses an answer that says in JSON that there was an error.
    fn check(&self, form: &dyn ErrorForm, secrets: &Secrets) -> Result<(), CallError> {
        let Content::Text(text) = &self.content else { return Ok(()) };
        // Most answers have no such member, and need not be read twice.
        if !text.contains("\"error\"") || !text.trim_ascii_start().starts_with('{') {
            return Ok(());
        }
        let Ok(object) = serde_json::from_str::<RawObject<'_>>(text) else { return Ok(()) };
        if member(&object, "error").is_none_or(|error| error == "null") {
            return Ok(());
        }
        let Some(detail) = form.error(text) else {
            return Err(unusable("it answered 200 with an error"));
        };
        // OpenRouter's way: the code is the status that it would have been.
        let status = detail.code.as_deref().and_then(|code| code.parse().ok());
        if let Some(status) = status.filter(|status| (400..600).contains(status)) {
            let after = wait(form, &self.headers, text);
            return Err(judge(status, &self.headers, after, detail, secrets));
        }
        let detail = Box::new(secrets.mask(detail));
        Err(CallError { detail, ..unusable("it answered 200 with an error") })
    }
}

fn member<'a>(object: &RawObject<'a>, wanted: &str) -> Option<&'a str> {
    object.members().find(|(name, _)| *name == wanted).map(|(_, value)| value.get())
}

/// The error of an answer that is none. `what` may quote it, so that it may be long.
pub(crate) fn unusable(what: &str) -> CallError {
    let message = format!("the provider's answer is unusable: {what:.500}");
    CallError::ours(ErrorCode::UpstreamInvalidResponse, message)
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

    fn check(text: &str) -> Result<(), CallError> {
        let answer =
            Answer { content: Content::Text(text.to_owned()), headers: HeaderMap::new(), usage: None };
        let secrets = Secrets::of(&ProviderConfig::new(ProviderKind::OpenAi));
        answer.check(&OpenAi, &secrets)
    }

    #[test]
    fn what_an_answer_says_of_itself_is_quoted_in_part() {
        assert!(unusable(&"x".repeat(10_000)).detail.message.len() < 600);
    }

    #[test]
    fn an_error_with_200_is_one() {
        assert!(check(r#"{"choices":[{"text":""}],"error":null}"#).is_ok());
        let error = check(r#"{"error":{"message":"overloaded"},"choices":[]}"#).unwrap_err();
        assert_eq!(error.detail.message, "overloaded");
        let paced = r#"{"error":{"message":"slow down","code":429}}"#;
        let error = check(paced).unwrap_err();
        assert_eq!(
            (error.status, error.answered()),
            (429, Some(429)),
            "a code that is a status counts as one"
        );
    }
}
