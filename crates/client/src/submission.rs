use std::fmt;
use std::time::{Duration, Instant};

use hermod_types::{BodyForm, Operation};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use crate::client::{TIMEOUT, poll_after};
use crate::error::{member, read, text};
use crate::form::Progress;
use crate::wait::HOLD;
use crate::{Client, Error, Form, Job, JobRef};

/// A call, and what is asked for besides.
#[derive(Debug)]
#[must_use = "it is sent by `Client::submit`"]
pub struct Submission {
    operation: Operation,
    body: Body,
    options: Vec<(&'static str, String)>,
    progress: Progress,
}

enum Body {
    Json(String),
    Form(Form),
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(json) => write!(out, "{} bytes of JSON", json.len()),
            Self::Form(form) => form.fmt(out),
        }
    }
}

impl Submission {
    /// A call whose body is JSON: the endpoint's own, with a `model` and perhaps `fallbacks`.
    ///
    /// # Errors
    /// [`Error::Body`] if the body cannot be written; [`Error::Invalid`] if the endpoint takes a form.
    pub fn json(operation: Operation, body: &impl Serialize) -> Result<Self, Error> {
        Self::json_text(operation, serde_json::to_string(body).map_err(Error::Body)?)
    }

    /// The same with a body that is JSON already, and reaches the provider as it is written.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the endpoint takes a form.
    pub fn json_text(operation: Operation, body: String) -> Result<Self, Error> {
        Self::new(operation, BodyForm::Json, Body::Json(body))
    }

    /// A call with files: transcriptions, edits and variations of images.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the endpoint takes JSON.
    pub fn form(operation: Operation, form: Form) -> Result<Self, Error> {
        Self::new(operation, BodyForm::Multipart, Body::Form(form))
    }

    fn new(operation: Operation, form: BodyForm, body: Body) -> Result<Self, Error> {
        let expected = match operation.form() {
            BodyForm::Json => "JSON: this endpoint takes no form",
            BodyForm::Multipart => "a form: this endpoint takes no JSON",
        };
        if operation.form() != form {
            return Err(Error::Invalid { what: "body", expected });
        }
        if !operation.is_public() {
            return Err(Error::Invalid { what: "operation", expected: "one with a path below /v1/async" });
        }
        Ok(Self { operation, body, options: Vec::new(), progress: Progress::default() })
    }

    /// Keeps the result for so long after the end, in whole seconds; an hour by default.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.option("x-bf-async-job-result-ttl", ttl.as_secs())
    }

    /// Tells this webhook endpoint of the end.
    pub fn webhook(self, name: &str) -> Self {
        self.option("x-bf-async-webhook", name)
    }

    /// The same submit, sent again with the same key, makes no second job.
    pub fn idempotency_key(self, key: &str) -> Self {
        self.option("idempotency-key", key)
    }

    /// Starts the job so much later, in whole seconds; at most 30 days.
    pub fn delay(self, delay: Duration) -> Self {
        self.option("x-hermod-delay", delay.as_secs())
    }

    /// Starts the job at this time, as RFC 3339; at most 30 days ahead.
    pub fn run_at(self, time: &str) -> Self {
        self.option("x-hermod-run-at", time)
    }

    /// The job's place among those of its virtual key: from 1, the first, to 5; 3 by default.
    pub fn priority(self, priority: u8) -> Self {
        self.option("x-hermod-priority", priority)
    }

    /// How long it may wait for its virtual key's limits, in whole seconds; zero for not at all.
    pub fn max_wait(self, wait: Duration) -> Self {
        self.option("x-hermod-max-wait", wait.as_secs())
    }

    /// Asks the API to hold its answer back until the job has ended, for up to 25 s: a short job needs one request alone.
    pub fn hold(self) -> Self {
        self.option("prefer", HOLD)
    }

    /// Calls this with the number of bytes whenever some of a file have been read to be sent.
    pub fn on_progress(mut self, progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.progress = Progress::new(progress);
        self
    }

    fn option(mut self, header: &'static str, value: impl ToString) -> Self {
        self.options.push((header, value.to_string()));
        self
    }

    fn headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        for (header, text) in &self.options {
            // The name of a webhook endpoint may have any characters.
            let value = HeaderValue::from_bytes(text.as_bytes());
            let value = value.map_err(|_| Error::Header { header, value: text.clone() })?;
            headers.insert(HeaderName::from_static(header), value);
        }
        Ok(headers)
    }
}

impl Client {
    /// Submits a call. The answer comes once Redis has the job; with [`Submission::hold`] perhaps once it has ended.
    ///
    /// # Errors
    /// [`Error::Refused`] if the API does not take it; [`Error::NoAnswer`] if it may have been taken: send it again with the same
    /// [idempotency key](Submission::idempotency_key).
    pub async fn submit(&self, submission: Submission) -> Result<Job, Error> {
        let headers = submission.headers()?;
        let operation = submission.operation;
        let mut request = self.http.post(self.jobs_url(operation));
        if !operation.carries_media() {
            request = request.timeout(TIMEOUT);
        }
        request = match submission.body {
            Body::Json(json) => request.header(CONTENT_TYPE, "application/json").body(json),
            Body::Form(form) => request.multipart(form.into_multipart(&submission.progress)?),
        };
        let asked = Instant::now();
        let response = self.send(request.headers(headers)).await?;
        let poll_after = poll_after(&response).saturating_sub(asked.elapsed());
        let job = read(self.url(), response).await?;
        let id = member(&job, "id").and_then(text).and_then(|id| id.parse().ok());
        let id = id.ok_or(Error::Missing("id"))?;
        Job::read(JobRef { operation, id }, poll_after, job)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_sent_is_said_with_its_name() {
        let body = json!({"model": "a/b"});
        let error = Submission::json(Operation::Transcription, &body).unwrap_err();
        assert_eq!(error.to_string(), "body: expected a form: this endpoint takes no JSON");
        let error = Submission::form(Operation::Ocr, Form::default()).unwrap_err();
        assert_eq!(error.to_string(), "body: expected JSON: this endpoint takes no form");
        assert!(Submission::json(Operation::Messages, &body).is_err());
        let submission = Submission::json(Operation::Ocr, &body).unwrap();
        let error = submission.webhook("two\nlines").headers().unwrap_err();
        assert_eq!(error.to_string(), r#""two\nlines" cannot be sent as x-bf-async-webhook"#);
    }

    #[test]
    fn each_option_is_a_header() {
        let submission = Submission::json(Operation::Ocr, &json!({})).unwrap();
        let minute = Duration::from_secs(60);
        let submission = submission.ttl(minute).webhook("ö").idempotency_key("k").delay(minute).priority(1);
        let headers =
            submission.max_wait(Duration::ZERO).run_at("2030-01-01T00:00:00Z").hold().headers().unwrap();
        let value = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        for (name, expected) in [
            ("x-bf-async-job-result-ttl", "60"),
            ("x-bf-async-webhook", "ö"),
            ("idempotency-key", "k"),
            ("x-hermod-delay", "60"),
            ("x-hermod-run-at", "2030-01-01T00:00:00Z"),
            ("x-hermod-priority", "1"),
            ("x-hermod-max-wait", "0"),
            ("prefer", HOLD),
        ] {
            assert_eq!(value(name).as_deref(), Some(expected), "{name}");
        }
    }
}
