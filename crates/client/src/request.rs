use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::client::{TIMEOUT, secret_header};
use crate::error::read;
use crate::{Client, Error};

/// A request to any route that answers with JSON, such as those of the administration.
///
/// ```no_run
/// # async fn example() -> Result<(), hermod_client::Error> {
/// use hermod_client::{Client, Method};
///
/// let hermod = Client::builder("http://localhost:8080").setup_token("…")?.build()?;
/// let keys = hermod.request(Method::GET, "/api/governance/virtual-keys", &[]).query(&[("limit", 10)]).send().await?;
/// println!("{keys}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it is sent by `send`"]
pub struct Request<'a> {
    client: &'a Client,
    request: RequestBuilder,
    timeout: Option<Duration>,
}

impl Client {
    /// A request to `path`, and what is below it: each of `below` is one segment, whatever characters it has.
    pub fn request(&self, method: Method, path: &str, below: &[&str]) -> Request<'_> {
        let mut url = format!("{}{path}", self.url());
        for segment in below {
            url.push('/');
            url.extend(utf8_percent_encode(segment, NON_ALPHANUMERIC));
        }
        Request { client: self, request: self.http.request(method, url), timeout: Some(TIMEOUT) }
    }
}

impl Request<'_> {
    /// Adds pairs to the query, such as `&[("limit", 10)]`.
    pub fn query<T: Serialize + ?Sized>(self, pairs: &T) -> Self {
        Self { request: self.request.query(pairs), ..self }
    }

    /// Its body: JSON.
    pub fn body(self, json: String) -> Self {
        Self { request: self.request.body(json), ..self }
    }

    /// Asks with this virtual key, and no other.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no header can have it.
    pub fn virtual_key(self, key: &str) -> Result<Self, Error> {
        let key = secret_header(key, "virtual key")?;
        Ok(Self { request: self.request.header("x-bf-vk", key), ..self })
    }

    /// Lets it take as long as it needs, in place of 30 s: for routes that wait for a receiver of webhooks.
    pub fn for_long(self) -> Self {
        Self { timeout: None, ..self }
    }

    /// Sends it, and reads the answer.
    ///
    /// # Errors
    /// If it is refused, there is no answer, or it is not JSON.
    pub async fn send(self) -> Result<Box<RawValue>, Error> {
        let request = match self.timeout {
            Some(timeout) => self.request.timeout(timeout),
            None => self.request,
        };
        let response = self.client.send(request).await?;
        read(self.client.url(), response).await
    }
}
