//! The body of a delivery.

use serde::Serialize;
use uuid::Uuid;

use super::{Ending, Event, Hook, Style};
use crate::{JobId, JobStatus, Operation, ResponseId, Timestamp};

/// What a delivery tells of a job's end.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Its `webhook-id`.
    pub id: JobId,
    pub job: JobId,
    pub hook: &'a Hook,
    /// What its receiver is told: see [`super::Endpoint::event_of`].
    pub event: Event,
    pub ending: Ending,
    /// When this body was made.
    pub now: Timestamp,
    /// The job's.
    pub status_code: u16,
    pub completed_at: Timestamp,
    /// When the job's record is removed.
    pub expires_at: Timestamp,
    pub payload: Payload<'a>,
    /// The `status` of the result of a Response; none where it is not known.
    pub response_status: Option<&'a str>,
}

/// The job's result or error, as far as it goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The receiver does not want it.
    Unwanted,
    /// It is larger than the receiver wants.
    Omitted,
    /// Its JSON.
    Json(&'a str),
    /// The job's record is gone.
    Expired,
}

#[derive(Serialize)]
struct Envelope<'a> {
    event: &'a str,
    created_at: Timestamp,
    /// What Standard Webhooks calls it.
    #[serde(rename = "type")]
    kind: &'a str,
    /// The job's end: it is the same in each attempt.
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Default, Serialize)]
struct Data<'a> {
    job_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_type: Option<&'static str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_expired: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_omitted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_omitted: Option<bool>,
}

/// <https://platform.openai.com/docs/api-reference/webhook-events>.
#[derive(Serialize)]
struct OpenAiEnvelope {
    id: String,
    object: &'static str,
    /// Seconds: when the Response ended.
    created_at: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    data: OpenAiData,
}

#[derive(Serialize)]
struct OpenAiData {
    id: String,
}

impl Delivery<'_> {
    /// The body, which is signed and sent as it is.
    pub fn body(&self) -> String {
        match self.hook.style {
            Style::Bifrost => self.bifrost(),
            Style::OpenAi => self.open_ai(),
        }
    }

    fn bifrost(&self) -> String {
        let is_completed = self.ending == Ending::Completed;
        let short =
            Data { job_id: self.job.to_string(), status: status_of(self.ending).as_str(), ..Data::default() };
        let omitted = |is_its: bool| (is_its && self.payload == Payload::Omitted).then_some(true);
        let data = if self.payload == Payload::Expired {
            Data { result_expired: Some(true), ..short }
        } else {
            Data {
                request_type: Some(self.hook.operation.request_type()),
                status_code: Some(self.status_code),
                result_url: Some(result_url(self.hook.operation, &short.job_id)),
                result_expires_at: Some(self.expires_at),
                created_at: Some(self.job.created_at()),
                completed_at: Some(self.completed_at),
                model: Some(&self.hook.model),
                request_id: Some(&self.hook.request_id),
                response_omitted: omitted(is_completed),
                error_omitted: omitted(!is_completed),
                ..short
            }
        };
        let mut body = envelope(self.event.as_str(), self.now, self.completed_at, data);
        if let Payload::Json(json) = self.payload {
            // Behind the last member of `data`, as it is: it may be large, and its numbers any.
            body.truncate(body.len().saturating_sub("}}".len()));
            body.reserve_exact(json.len() + 16);
            body.push_str(if is_completed { ",\"response\":" } else { ",\"error\":" });
            body.push_str(json);
            body.push_str("}}");
        }
        body
    }

    fn open_ai(&self) -> String {
        let kind = match (self.ending, self.response_status) {
            (Ending::Cancelled, _) | (_, Some("cancelled")) => "response.cancelled",
            (Ending::Failed, _) | (_, Some("failed")) => "response.failed",
            (Ending::Completed, Some("incomplete")) => "response.incomplete",
            (Ending::Completed, _) => "response.completed",
        };
        to_json(&OpenAiEnvelope {
            id: format!("evt_{}", self.id.simple()),
            object: "event",
            created_at: self.completed_at.as_millis() / 1000,
            kind,
            data: OpenAiData { id: ResponseId(self.job).to_string() },
        })
    }
}

/// The event of a test, where no other is asked for.
const TEST_EVENT: &str = "webhook.test";

/// The event and the body of a test: a sample of `event`, of a job that there is not.
pub fn sample(event: Option<Event>, now: Timestamp) -> (&'static str, String) {
    let (name, ending, status_code) = match event {
        None => (TEST_EVENT, Ending::Completed, 200),
        Some(Event::Completed) => (Event::Completed.as_str(), Ending::Completed, 200),
        Some(Event::Failed) => (Event::Failed.as_str(), Ending::Failed, 500),
        Some(Event::Cancelled) => (Event::Cancelled.as_str(), Ending::Cancelled, 499),
    };
    let job_id = format!("test-{}", Uuid::now_v7());
    let operation = Operation::ChatCompletion;
    let data = Data {
        request_type: Some(operation.request_type()),
        status: status_of(ending).as_str(),
        status_code: Some(status_code),
        result_url: Some(result_url(operation, &job_id)),
        created_at: Some(now),
        completed_at: Some(now),
        job_id,
        ..Data::default()
    };
    (name, envelope(name, now, now, data))
}

/// Bifrost's clients know no other status of a cancelled job.
const fn status_of(ending: Ending) -> JobStatus {
    match ending {
        Ending::Completed => JobStatus::Completed,
        Ending::Failed | Ending::Cancelled => JobStatus::Failed,
    }
}

fn result_url(operation: Operation, job_id: &str) -> String {
    format!("/v1/async/{}/{job_id}", operation.polled_as().path())
}

fn envelope(event: &str, created_at: Timestamp, timestamp: Timestamp, data: Data<'_>) -> String {
    to_json(&Envelope { event, created_at, kind: event, timestamp, data })
}

fn to_json(body: &impl Serialize) -> String {
    // A struct of strings and integers has no way to fail to be written to memory.
    serde_json::to_string(body).unwrap_or_default()
}
