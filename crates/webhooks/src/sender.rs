use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hermod_types::webhook::{Endpoint, PrivateNetwork, SigningSecret, TargetUrl};
use hermod_types::{Mask, Timestamp, TraceContext};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, tls};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};

use crate::resolver::{CheckedResolver, Lookup, SystemLookup};
use crate::signature::sign;
use crate::verdict::Verdict;

/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 4096;
/// How long the rest of an answer is waited for that says already that all is well.
const GRACE: Duration = Duration::from_secs(1);
/// How long an idle connection is kept: names may lead elsewhere by then.
const IDLE: Duration = Duration::from_secs(5);
/// Idle connections that are kept to one receiver.
const MOST_IDLE: usize = 4;

/// Sends webhooks. It has no limit of its own on what is under way.
#[derive(Clone, Debug)]
pub struct Sender {
    public: Client,
    /// A pool of its own: a connection that one endpoint may have is none for another.
    private: Client,
}

/// The HTTP client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for webhooks: {0}")]
pub struct NoSender(#[from] reqwest::Error);

/// One delivery.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub url: &'a TargetUrl,
    pub private_network: PrivateNetwork,
    /// Of the receiver's own.
    pub headers: &'a [(String, SecretString)],
    /// What signs it, the newest first.
    pub secrets: Vec<&'a SigningSecret>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// The same in each attempt; without a dot.
    pub id: &'a str,
    pub event: &'a str,
    pub body: String,
    /// Where it stands in a trace, if the receiver is to be told.
    pub trace: Option<Box<TraceContext>>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub verdict: Verdict,
    /// None where there was no answer.
    pub status: Option<u16>,
    /// What went wrong, with the beginning of the answer; empty if nothing. It holds neither secrets nor values of headers.
    pub error: String,
    pub duration: Duration,
}

impl<'a> Message<'a> {
    /// One to a registered endpoint.
    pub fn to(endpoint: &'a Endpoint, id: &'a str, event: &'a str, body: String) -> Self {
        Self {
            url: &endpoint.url,
            private_network: endpoint.private_network,
            headers: &endpoint.headers,
            secrets: endpoint.secrets(Timestamp::now()).collect(),
            timeout: endpoint.limits.attempt_timeout(),
            id,
            event,
            body,
            trace: None,
        }
    }
}

impl Sender {
    /// # Errors
    /// Where the HTTP client cannot be made.
    pub fn new() -> Result<Self, NoSender> {
        Self::with(Arc::new(SystemLookup), &[])
    }

    /// One that finds addresses by `lookup`, and trusts these certificates besides the system's.
    ///
    /// # Errors
    /// Where the HTTP client cannot be made.
    pub fn with(lookup: Arc<dyn Lookup>, trusted: &[Certificate]) -> Result<Self, NoSender> {
        let client = |private_network| {
            let resolver = CheckedResolver { lookup: Arc::clone(&lookup), private_network };
            // Neither a redirect nor a proxy of the environment may lead elsewhere than to the checked address.
            Client::builder()
                .http1_only()
                .no_gzip()
                .redirect(Policy::none())
                .no_proxy()
                .retry(reqwest::retry::never())
                .dns_resolver(resolver)
                .tls_version_min(tls::Version::TLS_1_2)
                .tls_certs_merge(trusted.iter().cloned())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(MOST_IDLE)
                .user_agent(concat!("Hermod/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        Ok(Self { public: client(PrivateNetwork::Refused)?, private: client(PrivateNetwork::Allowed)? })
    }

    /// Makes one attempt. It ends within the message's timeout.
    pub async fn send(&self, message: Message<'_>) -> Attempt {
        let begun = Instant::now();
        let deadline = begun + message.timeout;
        let timeout = message.timeout;
        let mask = Mask::new(message.headers.iter().map(|(_, value)| value));
        let answer = timeout_at(deadline, self.post(message)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")));
        let (verdict, status, error) = match answer {
            Ok(response) => judge(response, deadline, &mask).await,
            Err(error) => (Verdict::Retry { after: None }, None, error),
        };
        Attempt { verdict, status, error, duration: begun.elapsed() }
    }

    /// The answer's head, or why there is none.
    async fn post(&self, message: Message<'_>) -> Result<Response, String> {
        let (url, network) = (message.url, message.private_network);
        if url.url().scheme() != "https" && !network.is_allowed() {
            return Err("the receiver has no TLS (it requires allow_private_network)".to_owned());
        }
        // The resolver sees names only.
        if let Some(address) = url.address() {
            network.check(address).map_err(|error| error.to_string())?;
        }
        let headers = headers(&message)?;
        let client = if network.is_allowed() { &self.private } else { &self.public };
        let request = client.post(url.url().clone()).headers(headers).body(message.body);
        request.send().await.map_err(|error| unreachable(&error))
    }
}

/// The receiver's own headers, and ours in place of any of the same name.
fn headers(message: &Message<'_>) -> Result<HeaderMap, String> {
    let unsendable = |name: &str| format!("the header {name:?} cannot be sent");
    let mut headers = HeaderMap::new();
    for (name, value) in message.headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable(name))?;
        let value = value.expose_secret().as_bytes();
        let mut value = HeaderValue::from_bytes(value).map_err(|_| unsendable(name))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    for (name, value) in message.trace.iter().flat_map(|trace| trace.headers()) {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    let timestamp = Timestamp::now().as_millis() / 1000;
    let signature = sign(message.secrets.iter().copied(), message.id, timestamp, message.body.as_bytes());
    for (name, value) in [
        ("webhook-id", message.id),
        ("webhook-timestamp", &timestamp.to_string()),
        ("webhook-signature", &signature),
        ("x-bifrost-event", message.event),
        (CONTENT_TYPE.as_str(), "application/json"),
    ] {
        let value = HeaderValue::from_str(value).map_err(|_| unsendable(name))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

/// What an answer means: the verdict, its status, and what went wrong.
async fn judge(mut response: Response, deadline: Instant, mask: &Mask) -> (Verdict, Option<u16>, String) {
    let status = response.status();
    let verdict = Verdict::of(status, response.headers(), SystemTime::now());
    let is_delivered = verdict == Verdict::Delivered;
    // A connection whose answer was read can be used again.
    let until = if is_delivered { deadline.min(Instant::now() + GRACE) } else { deadline };
    let beginning = read_beginning(&mut response, until).await;
    let error = if is_delivered { String::new() } else { describe(status, &beginning, mask) };
    (verdict, Some(status.as_u16()), error)
}

/// As much of the body as comes by then, up to a limit. What is wrong with the rest does not matter: the status is known.
async fn read_beginning(response: &mut Response, until: Instant) -> Vec<u8> {
    let mut beginning = Vec::new();
    while beginning.len() < ANSWER_BYTES {
        let Ok(Ok(Some(chunk))) = timeout_at(until, response.chunk()).await else { break };
        let room = ANSWER_BYTES - beginning.len();
        beginning.extend(chunk.iter().take(room));
    }
    beginning
}

/// In Bifrost's words.
fn describe(status: StatusCode, beginning: &[u8], mask: &Mask) -> String {
    let text = mask.beginning(String::from_utf8_lossy(beginning).into_owned());
    let text = text.trim();
    let code = status.as_u16();
    if text.is_empty() {
        format!("receiver responded {code}")
    } else {
        format!("receiver responded {code}: {text}")
    }
}

/// Why there is no answer. The error's own words name the URL, which may hold a secret; those of its causes do not.
fn unreachable(error: &reqwest::Error) -> String {
    let mut message = "the receiver could not be reached".to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}
