//! The connections to providers, and what comes over them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use hermod_types::ErrorCode;
use hermod_types::config::ProviderConfig;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Response};

use crate::error::MAX_ANSWER_BYTES;
use crate::{CallError, InvalidProvider};

/// The longest that a connection to a provider may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What all connections have in common. HTTP/1.1: over HTTP/2 one connection a host, and its ~100 streams, would
/// cap the calls in flight. Proxies are those of the environment. Redirects are not followed: a key must not travel
/// to another host.
fn builder() -> ClientBuilder {
    Client::builder()
        .http1_only()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("hermod/", env!("CARGO_PKG_VERSION")))
}

/// The pool of connections of all providers that ask for nothing special.
pub(crate) fn http_client() -> Result<Client, InvalidProvider> {
    builder().build().map_err(|error| InvalidProvider { name: "(all)".to_owned(), what: error.to_string() })
}

/// The pool for one provider: `shared`, unless it trusts other certificates.
pub(crate) fn client_of(
    name: &str,
    config: &ProviderConfig,
    shared: &Client,
) -> Result<Client, InvalidProvider> {
    if config.ca_cert_pem.is_none() && !config.insecure_skip_verify {
        return Ok(shared.clone());
    }
    let invalid = |what: &str| InvalidProvider { name: name.to_owned(), what: what.to_owned() };
    let mut builder = builder().tls_danger_accept_invalid_certs(config.insecure_skip_verify);
    if let Some(pem) = &config.ca_cert_pem {
        let none = || invalid("network_config.ca_cert_pem: expected certificates in PEM");
        let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| none())?;
        if certificates.is_empty() {
            return Err(none());
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|_| invalid("network_config.ca_cert_pem: no certificate that can be trusted"))
}

/// `answer`, if it comes within `limit`. Not an `async fn`, which would hold `answer` twice.
pub(crate) fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, CallError>>,
) -> impl Future<Output = Result<T, CallError>> {
    tokio::time::timeout(limit, answer).map(move |in_time| {
        in_time.unwrap_or_else(|_| {
            let message = format!("no answer within {} ms", limit.as_millis());
            Err(CallError::ours(ErrorCode::UpstreamTimeout, message))
        })
    })
}

/// Is told of bytes that a job has in memory.
pub trait Meter: Sync {
    /// So many more.
    fn add(&self, bytes: usize);
}

/// The bytes of all answers to one call: together they must not be over [`MAX_ANSWER_BYTES`].
pub(crate) struct Received<'a> {
    bytes: AtomicUsize,
    meter: Option<&'a dyn Meter>,
}

impl<'a> Received<'a> {
    /// With what earlier answers have brought; `meter` is told of what comes.
    pub(crate) const fn new(bytes: usize, meter: Option<&'a dyn Meter>) -> Self {
        Self { bytes: AtomicUsize::new(bytes), meter }
    }

    fn add(&self, bytes: usize) -> Result<(), CallError> {
        if let Some(meter) = self.meter {
            meter.add(bytes);
        }
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > MAX_ANSWER_BYTES {
            return Err(CallError::too_large("what the provider has answered is"));
        }
        Ok(())
    }
}

/// An answer's body, counted as it comes.
pub(crate) async fn read_body(mut response: Response, received: &Received<'_>) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                received.add(chunk.len())?;
                body.extend_from_slice(&chunk);
            }
            Ok(None) => return Ok(body),
            Err(error) => return Err(unreachable(error)),
        }
    }
}

/// A request whose media could not be read. Nothing was sent.
pub(crate) fn unread(error: &std::io::Error) -> CallError {
    let message = format!("the request's media could not be read: {error}");
    CallError { may_be_billed: false, ..CallError::ours(ErrorCode::UpstreamUnreachable, message) }
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
