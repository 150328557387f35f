use std::time::Duration;

use hermod_types::ErrorCode;
use hermod_types::config::{Models, ProviderConfig};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use secrecy::ExposeSecret;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::answer::{self, Completion};
use crate::keys::{Key, KeyPool};
use crate::secrets::Secrets;
use crate::{Call, CallError, openai};

/// The longest that a connection to a provider may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a configured provider cannot be called. It names no secret.
#[derive(Debug, thiserror::Error)]
#[error("provider {name}: {what}")]
pub struct InvalidProvider {
    name: String,
    what: String,
}

/// How calls to one provider are retried: backoff = min(initial × 2^retry, max) × jitter 0.8–1.2, and at
/// least what the provider asks for. The formula is Bifrost's.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Calls after the first.
    pub max_retries: u32,
    /// The longest that one call may take.
    pub request_timeout: Duration,
    initial: Duration,
    max: Duration,
}

impl RetryPolicy {
    /// How long to wait before the retry of this number, counted from 0.
    pub fn backoff(&self, retry: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.initial.saturating_mul(2_u32.saturating_pow(retry));
        let wait = doubled.min(self.max).mul_f64(0.8 + 0.4 * fastrand::f64());
        // All that were told the same do not come back together.
        asked.map_or(wait, |asked| wait.max(asked.mul_f64(1.0 + 0.2 * fastrand::f64())))
    }
}

/// A configured provider.
#[derive(Debug)]
pub(crate) struct Provider {
    client: Client,
    url: Url,
    headers: HeaderMap,
    keys: KeyPool,
    secrets: Secrets,
    retry: RetryPolicy,
    slots: Semaphore,
}

/// The one pool of connections. Redirects are not followed: a key must not travel to another host.
pub(crate) fn http_client() -> Result<Client, InvalidProvider> {
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("hermod/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| InvalidProvider { name: "(all)".to_owned(), what: error.to_string() })
}

impl Provider {
    pub(crate) fn new(name: &str, config: &ProviderConfig, client: &Client) -> Result<Self, InvalidProvider> {
        let invalid = |what: String| InvalidProvider { name: name.to_owned(), what };
        let base = config.base_url.as_deref().unwrap_or(openai::BASE_URL);
        let url = Url::parse(&openai::url(base))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| invalid("base_url: expected http:// or https:// and a host".to_owned()))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (header, value) in &config.extra_headers {
            let pair = HeaderName::from_bytes(header.as_bytes())
                .ok()
                .zip(HeaderValue::from_str(value.expose_secret()).ok());
            let (header, mut value) =
                pair.ok_or_else(|| invalid(format!("extra_headers: {header} is not an HTTP header")))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        Ok(Self {
            client: client.clone(),
            url,
            headers,
            keys: KeyPool::new(&config.keys),
            secrets: Secrets::of(config),
            retry: RetryPolicy {
                max_retries: config.max_retries,
                request_timeout: config.request_timeout,
                initial: config.backoff_initial,
                max: config.backoff_max,
            },
            slots: Semaphore::new(
                config.concurrency.unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS),
            ),
        })
    }

    pub(crate) fn retry_policy(&self) -> &RetryPolicy {
        &self.retry
    }

    /// The keys that may serve `model`.
    pub(crate) fn keys(&self, model: &str, allowed: &Models) -> Vec<&Key> {
        self.keys.serving(model, allowed)
    }

    /// Waits until fewer calls than allowed are under way.
    pub(crate) async fn slot(&self, patience: Duration) -> Result<SemaphorePermit<'_>, CallError> {
        match timeout(patience, self.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => {
                let message = "too many calls to this provider were under way for all of the job's time";
                let error = CallError::ours(ErrorCode::UpstreamTimeout, message);
                Err(CallError { may_be_billed: false, ..error })
            }
        }
    }

    /// Makes the call.
    pub(crate) async fn complete(&self, call: &Call<'_>) -> Result<Completion, CallError> {
        let mut headers = self.headers.clone();
        let model = call.key.model(call.target.model());
        if let Some(key) = call.key.value() {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
                .map_err(|_| CallError::no_key_left(call.target, None))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let request =
            self.client.post(self.url.clone()).headers(headers).body(openai::request(model, call.body));
        let response = request.send().await.map_err(answer::unreachable)?;
        answer::read(response, &self.secrets).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_the_longest_and_respects_the_provider() {
        let policy = RetryPolicy {
            max_retries: 9,
            request_timeout: Duration::from_secs(1),
            initial: Duration::from_millis(500),
            max: Duration::from_secs(5),
        };
        for (retry, millis) in [(0, 500), (1, 1000), (3, 4000), (4, 5000), (60, 5000)] {
            let wait = policy.backoff(retry, None).as_millis();
            assert!((millis * 8 / 10..=millis * 12 / 10).contains(&wait), "{retry}: {wait}");
        }
        let asked = Duration::from_secs(30);
        let wait = policy.backoff(0, Some(asked));
        assert!((asked..asked.mul_f64(1.21)).contains(&wait), "{wait:?}");
    }
}
