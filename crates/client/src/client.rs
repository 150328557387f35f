use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hermod_types::Operation;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};

use crate::error::read;
use crate::{Content, Error, Job, JobRef};

/// The longest that a request may take that carries no media; with media it takes as long as it needs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait between polls where the answer does not say.
const POLL_MS: u64 = 500;

/// A client of one API. Its clones use the same connections.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    pub(crate) http: reqwest::Client,
}

/// A [`Client`] to be: with who asks.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    url: String,
    headers: HeaderMap,
}

/// What became of a job that was to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It has ended, and never ran; or it was cancelled before.
    Ended,
    /// It runs, and ends as cancelled within about a second. The call may be billed.
    Requested,
}

impl ClientBuilder {
    /// Asks with this virtual key. Only the key that submitted a job sees it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no header can have it.
    pub fn virtual_key(self, key: &str) -> Result<Self, Error> {
        self.header("x-bf-vk", key, "virtual key")
    }

    /// Asks as an administrator.
    ///
    /// # Errors
    /// None: any name and password can be sent.
    pub fn administrator(self, user: &str, password: &str) -> Result<Self, Error> {
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.header(AUTHORIZATION.as_str(), &format!("Basic {pair}"), "administrator")
    }

    /// Asks with the API's setup token, where it has no administrator.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no header can have it.
    pub fn setup_token(self, token: &str) -> Result<Self, Error> {
        self.header("x-bifrost-setup-token", token, "setup token")
    }

    fn header(mut self, name: &'static str, secret: &str, what: &'static str) -> Result<Self, Error> {
        self.headers.insert(name, secret_header(secret, what)?);
        Ok(self)
    }

    /// The client. It asks nothing yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the address is none.
    pub fn build(self) -> Result<Client, Error> {
        let is_web = ["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme));
        if !is_web {
            let expected = "an address that begins with http:// or https://";
            return Err(Error::Invalid { what: "url", expected });
        }
        let url = self.url.trim_end_matches('/').to_owned();
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).default_headers(self.headers).build();
        match http {
            Ok(http) => Ok(Client { url, http }),
            Err(source) => Err(Error::NoAnswer { url, source }),
        }
    }
}

/// The value of a header that is shown to nobody.
pub(crate) fn secret_header(value: &str, what: &'static str) -> Result<HeaderValue, Error> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| Error::Invalid { what, expected: "printable ASCII" })?;
    value.set_sensitive(true);
    Ok(value)
}

impl Client {
    /// A client of the API at this address, such as `http://localhost:8080`, without a virtual key.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the address is none.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// The same with who asks.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder { url: url.to_owned(), headers: HeaderMap::new() }
    }

    /// Where the API is, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if it is unknown, expired, another key's or another endpoint's; or if there is no answer.
    pub async fn get(&self, at: JobRef) -> Result<Job, Error> {
        self.poll(self.http.get(self.job_url(at)), at).await
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// [`Error::Refused`] with 409 if it has ended by itself; [`Error::is_not_found`] as of [`Self::get`]; or if there is no
    /// answer.
    pub async fn cancel(&self, at: JobRef) -> Result<Cancelled, Error> {
        let request = self.http.post(format!("{}/cancel", self.job_url(at))).timeout(TIMEOUT);
        let has_ended = self.send(request).await?.status() == StatusCode::OK;
        Ok(if has_ended { Cancelled::Ended } else { Cancelled::Requested })
    }

    /// Removes a job that has ended, with its result and media; cancels one that has not.
    ///
    /// # Errors
    /// [`Error::is_not_found`] as of [`Self::get`]; or if there is no answer.
    pub async fn delete(&self, at: JobRef) -> Result<(), Error> {
        self.send(self.http.delete(self.job_url(at)).timeout(TIMEOUT)).await.map(drop)
    }

    /// The bytes of a completed job's audio, transcript or image; of several images the one at `index`, from 0.
    ///
    /// # Errors
    /// [`Error::Refused`] with 409 before the job has ended, with 422 where it has no such bytes; or if there is no answer.
    pub async fn content(&self, at: JobRef, index: Option<usize>) -> Result<Content, Error> {
        let mut url = format!("{}/content", self.job_url(at));
        if let Some(index) = index {
            url.push_str(&format!("?index={index}"));
        }
        let response = self.send(self.http.get(url)).await?;
        Ok(Content { url: self.url.clone(), response })
    }

    /// Where jobs of this kind are.
    pub(crate) fn jobs_url(&self, operation: Operation) -> String {
        format!("{}/v1/async/{}", self.url, operation.polled_as().path())
    }

    pub(crate) fn job_url(&self, at: JobRef) -> String {
        format!("{}/{}", self.jobs_url(at.operation), at.id)
    }

    pub(crate) async fn poll(&self, request: RequestBuilder, at: JobRef) -> Result<Job, Error> {
        let asked = Instant::now();
        let response = self.send(request.timeout(TIMEOUT)).await?;
        let poll_after = poll_after(&response);
        let raw = read(&self.url, response).await?;
        Job::read(at, poll_after.saturating_sub(asked.elapsed()), raw)
    }

    /// Sends; an answer that is an error becomes one.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(reqwest::Error::without_url);
        let response = response.map_err(|source| Error::NoAnswer { url: self.url.clone(), source })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Error::of_answer(&self.url, response).await)
    }
}

/// How long the API asks to wait before the next poll.
pub(crate) fn poll_after(response: &Response) -> Duration {
    let header = response.headers().get("openai-poll-after-ms").and_then(|value| value.to_str().ok());
    Duration::from_millis(header.and_then(|millis| millis.parse().ok()).unwrap_or(POLL_MS))
}
