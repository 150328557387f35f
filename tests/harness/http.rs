use std::time::Duration;

use bytes::Bytes;
use hermod_types::Operation;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use crate::{FormBody, PATIENCE, described, eventually};

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The path that was asked.
    pub path: String,
    /// Its HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: reqwest::header::HeaderMap,
    /// Its body as it came.
    pub bytes: Bytes,
    /// The same, where it is text.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// A header as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that it is an error in the contract's shape, with this status; returns its message.
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        assert!(!self.header("x-request-id").is_empty());
        let body = self.json();
        assert_eq!(body["status_code"], status);
        assert_eq!(body["is_bifrost_error"], status >= 500, "{body}");
        assert_eq!(body["event_id"].is_string(), status >= 500, "{body}");
        let is_path = body["error"]["code"] != "path_not_found";
        let operation = operation_of(&self.path).filter(|_| is_path);
        assert_eq!(body["extra_fields"]["request_type"].as_str(), operation.map(Operation::request_type));
        assert!(body["error"]["type"].is_string() && body["error"]["code"].is_string());
        assert!(!self.text.contains("null"), "members without a value are absent: {body}");
        body["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// What a path is for; none for one that is for no call.
fn operation_of(path: &str) -> Option<Operation> {
    if path.starts_with("/openai/") || path.starts_with("/v1/responses") {
        return Some(Operation::Responses);
    }
    if path.starts_with("/anthropic/") {
        return Some(Operation::Messages);
    }
    let below = path.strip_prefix("/v1/async/")?;
    let is_of = |operation: &Operation| {
        below.strip_prefix(operation.path()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    Operation::all().filter(|operation| operation.is_public()).find(is_of)
}

/// One API process, as its clients reach it.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where it is, without a slash at the end.
    pub url: String,
    client: Client,
    /// Whether its answers must be as the API's description says.
    is_described: bool,
}

impl Api {
    /// The one at this address.
    pub fn new(url: String) -> Self {
        let client = Client::builder().timeout(Duration::from_secs(70)).build().unwrap();
        Self { url, client, is_described: true }
    }

    /// A worker's own port, which is not the API.
    pub fn of_worker(url: String) -> Self {
        Self { is_described: false, ..Self::new(url) }
    }

    /// A request to a path of it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request, and reads the answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// The same, where there may be no answer. One that is there must be as the API's description says.
    ///
    /// # Errors
    /// If there is none.
    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let (client, request) = request.build_split();
        let request = request?;
        let method = request.method().clone();
        let response = client.execute(request).await?;
        let (path, status) = (response.url().path().to_owned(), response.status().as_u16());
        let (headers, bytes) = (response.headers().clone(), response.bytes().await?);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let answer = Answer { path, status, headers, bytes, text };
        if self.is_described {
            described::check(&method, &answer);
        }
        Ok(answer)
    }

    /// A poll that is still to be sent.
    pub fn request_poll(&self, id: &str) -> RequestBuilder {
        self.request(Method::GET, &format!("/v1/async/completions/{id}"))
    }

    /// `GET path`
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// A submit to this endpoint that is still to be sent.
    pub fn submission_to(&self, operation: Operation) -> RequestBuilder {
        self.request(Method::POST, &format!("/v1/async/{}", operation.path()))
    }

    /// Submits to this endpoint what must be accepted; returns the job's path.
    pub async fn submit_to(&self, operation: Operation, body: &Value) -> String {
        self.accepted(self.submission_to(operation).body(body.to_string())).await
    }

    /// A submit of a form that is still to be sent.
    pub fn form_to(&self, operation: Operation, form: FormBody) -> RequestBuilder {
        let body = form.finish();
        self.submission_to(operation).header("content-type", FormBody::CONTENT_TYPE).body(body)
    }

    /// Sends a submit that must be accepted; returns the job's path.
    pub async fn accepted(&self, submission: RequestBuilder) -> String {
        let answer = self.send(submission).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("location").to_owned()
    }

    /// Polls at the job's path until it has ended.
    pub async fn ended_at(&self, path: &str) -> Value {
        eventually(&format!("{path} has ended"), PATIENCE, async || {
            let answer = self.get(path).await;
            assert!(matches!(answer.status, 200 | 202 | 503), "{answer:?}");
            (answer.status == 200).then(|| answer.json())
        })
        .await
    }

    /// A submit that is still to be sent.
    pub fn submission(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, "/v1/async/completions").body(body)
    }

    /// Submits a body, whatever comes of it.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.submission(body)).await
    }

    /// Submits a body that must be accepted; returns the job's id.
    pub async fn submit(&self, body: impl ToString) -> String {
        let answer = self.post(body.to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Polls once.
    pub async fn poll(&self, id: &str) -> Answer {
        self.send(self.request_poll(id)).await
    }

    /// Polls until the job has ended, and fails if it does not within `limit`.
    pub async fn ended(&self, id: &str, limit: Duration) -> Value {
        eventually(&format!("job {id} has ended"), limit, async || {
            let answer = self.poll(id).await;
            assert!(matches!(answer.status, 200 | 202 | 503), "{answer:?}");
            (answer.status == 200).then(|| answer.json())
        })
        .await
    }
}
