use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hermod_types::ErrorCode;
use hermod_types::config::{Kind, Models, ProviderConfig};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, Url};
use secrecy::ExposeSecret;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::answer::{self, Answer, Completion};
use crate::chat::{MOST_AT_ONCE, Reply, Split, Turn};
use crate::dialect::{Ask, Chat, Dialect, Native, Outgoing};
use crate::keys::{Key, KeyPool};
use crate::secrets::Secrets;
use crate::urls::Urls;
use crate::{Call, CallError, openai, tokens, transport, within};

/// Why a configured provider cannot be called. It names no secret.
#[derive(Debug, thiserror::Error)]
#[error("provider {name}: {what}")]
pub struct InvalidProvider {
    pub(crate) name: String,
    pub(crate) what: String,
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
    kind: Kind,
    dialect: Dialect,
    /// Where it is, if that is configured.
    base: Option<String>,
    /// In place of the dialect's own.
    path: Option<String>,
    urls: Urls,
    headers: HeaderMap,
    keys: KeyPool,
    secrets: Secrets,
    retry: RetryPolicy,
    slots: Semaphore,
}

impl Provider {
    pub(crate) fn new(name: &str, config: &ProviderConfig, client: &Client) -> Result<Self, InvalidProvider> {
        let invalid = |what: String| InvalidProvider { name: name.to_owned(), what };
        let base = config.base_url.as_deref().or(config.kind.base_url());
        for url in config.keys.iter().filter_map(|key| key.access.base_url()).chain(base) {
            let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            parsed.ok_or_else(|| invalid("base_url: expected http:// or https:// and a host".to_owned()))?;
        }
        for key in &config.keys {
            let what = "vertex_key_config.auth_credentials: expected the JSON of a service account";
            tokens::check(&key.access).map_err(|_| invalid(format!("the key {}: {what}", key.name)))?;
        }
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
            client: transport::client_of(name, config, client)?,
            kind: config.kind,
            dialect: Dialect::of(config.kind),
            base: config.base_url.clone(),
            path: config.path.clone(),
            urls: Urls::default(),
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

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
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
        let no_address = || {
            let message = "neither the provider nor the key has an address";
            CallError::ours(ErrorCode::ProviderNotConfigured, message)
        };
        let access = call.key.access();
        // The key's own, else what is configured, else that of the key's region, else the provider's.
        let regional = access.regional_url();
        let base = access.base_url().or(self.base.as_deref()).or(regional.as_deref());
        let ask = Ask {
            base: base.or(self.kind.base_url()).ok_or_else(no_address)?,
            model: call.key.model(call.target.model()),
            is_alias: call.key.model(call.target.model()) != call.target.model(),
            key: call.key.value(),
            access,
            token: None,
        };
        match &self.dialect {
            Dialect::Native(native) => self.complete_at_once(native.as_ref(), &ask, call).await,
            Dialect::Chat(chat) => {
                // Boxed: it is large, and most calls are not of this kind.
                within(call.limit, Box::pin(self.complete_by_prompt(chat.as_ref(), &ask, call))).await
            }
        }
    }

    async fn complete_at_once(
        &self,
        native: &dyn Native,
        ask: &Ask<'_>,
        call: &Call<'_>,
    ) -> Result<Completion, CallError> {
        let mut headers = HeaderMap::new();
        native.authorize(ask, &mut headers).map_err(|_| CallError::no_key_left(call.target, None))?;
        let body = openai::request(ask.model, call.body);
        let url = match &self.path {
            Some(path) => format!("{}/{}", ask.base.trim_end_matches('/'), path.trim_start_matches('/')),
            None => native.url(ask),
        };
        let answer = within(call.timeout, self.send(Outgoing { url, headers, body })).await?;
        answer.into_completion(&self.dialect, &self.secrets)
    }

    async fn complete_by_prompt(
        &self,
        chat: &dyn Chat,
        ask: &Ask<'_>,
        call: &Call<'_>,
    ) -> Result<Completion, CallError> {
        let split = Split::of(call.body, self.kind).ok_or_else(|| {
            CallError::ours(ErrorCode::InvalidRequest, "the request's prompt or `n` cannot be read")
        })?;
        // The first call has the slot that the caller holds; more at once take what is free.
        let wanted = split.calls().min(MOST_AT_ONCE).saturating_sub(1);
        let more: Vec<_> =
            std::iter::repeat_with(|| self.slots.try_acquire()).take(wanted).flatten().collect();
        let token = within(call.timeout, chat.token(*ask, &self.client)).await;
        // Whatever went wrong there, no prompt was sent.
        let unbilled = |error: CallError| CallError { may_be_billed: false, ..error.masked(&self.secrets) };
        let token = token.map_err(unbilled)?;
        let ask = Ask { token: token.as_ref(), ..*ask };
        let taken = AtomicUsize::new(0);
        let one = |turn| self.one_prompt(chat, &ask, call, turn, &taken);
        let done = split.run(ask.model, 1 + more.len(), call.answered, one).await;
        if let Err(error) = &done
            && error.answered() == Some(401)
        {
            chat.forget(ask);
        }
        let masked = |error: CallError| match &token {
            Some(token) => error.masked(&Secrets::of_token(token)),
            None => error,
        };
        done.map(Completion::composed).map_err(masked)
    }

    fn one_prompt<'a>(
        &'a self,
        chat: &'a dyn Chat,
        ask: &'a Ask<'a>,
        call: &'a Call<'a>,
        turn: Turn<'a>,
        taken: &'a AtomicUsize,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        // The body is written only when its turn comes: all together could be many times the client's.
        Box::pin(async move {
            let outgoing = chat.request(ask, &turn).map_err(|_| CallError::no_key_left(call.target, None))?;
            let answer = within(call.timeout, self.send(outgoing)).await?;
            answer.count(taken)?;
            answer.reply(|text| chat.read(text), &self.dialect, &self.secrets)
        })
    }

    async fn send(&self, outgoing: Outgoing) -> Result<Answer, CallError> {
        let Outgoing { url, headers: own, body } = outgoing;
        let no_url = || CallError::ours(ErrorCode::ProviderNotConfigured, "the provider's address is no URL");
        let mut request = Request::new(Method::POST, self.urls.read(&url).ok_or_else(no_url)?);
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().extend(own);
        *request.body_mut() = Some(body.into());
        let response = self.client.execute(request).await.map_err(answer::unreachable)?;
        answer::read(response, &self.dialect, &self.secrets).await
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
