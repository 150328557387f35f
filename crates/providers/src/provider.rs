use std::time::Duration;

use futures_util::future::BoxFuture;
use hermod_types::config::{Models, ProviderConfig, ProviderKind};
use hermod_types::{Backoff, ErrorCode, Operation, Target};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, Url};
use secrecy::ExposeSecret;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::answer::{self, Answer, Completion};
use crate::chat::{MOST_AT_ONCE, PromptCall, Replies, Reply, Split};
use crate::dialect::{Ask, Chat, Dialect, Native, Outgoing, Unsendable};
use crate::error::MAX_ANSWER_BYTES;
use crate::keys::{Key, KeyPool};
use crate::secrets::Secrets;
use crate::transport::{self, Meter, Received, within};
use crate::{CallError, InvalidProvider, request_body, tokens};

/// One of the calls that a provider may have under way at once.
#[derive(Debug)]
pub struct Permit<'a>(#[expect(dead_code, reason = "held until it is dropped")] SemaphorePermit<'a>);

/// One call to be made: one HTTP request, or one for each prompt.
#[derive(Clone, Copy)]
pub struct ProviderCall<'a> {
    /// Where it goes.
    pub target: &'a Target,
    /// The client's body, less the model: a JSON object.
    pub body: &'a str,
    /// One of the keys that [`Providers::keys`](crate::Providers::keys) gave.
    pub key: &'a Key,
    /// The longest that the provider may take for one answer.
    pub timeout: Duration,
    /// The longest that all of it may take: a provider that is asked prompt by prompt gives many answers.
    pub limit: Duration,
    /// Replies to earlier attempts with the same request and provider.
    pub replies: &'a Replies,
    /// Is told of what the provider sends.
    pub meter: Option<&'a dyn Meter>,
}

/// How calls to one provider are retried.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Calls after the first.
    pub max_retries: u32,
    /// The longest that one call may take.
    pub request_timeout: Duration,
    backoff: Backoff,
}

impl RetryPolicy {
    /// How long to wait before the retry of this number, counted from 0: at least what the provider has `asked` for.
    pub fn backoff(&self, retry: u32, asked: Option<Duration>) -> Duration {
        let wait = self.backoff.wait(retry);
        // All that were told the same do not come back together.
        asked.map_or(wait, |asked| wait.max(asked.mul_f64(1.0 + 0.2 * fastrand::f64())))
    }
}

/// A configured provider.
#[derive(Debug)]
pub(crate) struct Provider {
    client: Client,
    kind: ProviderKind,
    dialect: Dialect,
    /// Where it is, if that is configured.
    base: Option<String>,
    /// In place of the dialect's own.
    path: Option<String>,
    headers: HeaderMap,
    keys: KeyPool,
    secrets: Secrets,
    retry: RetryPolicy,
    /// Of its `concurrency`.
    permits: Semaphore,
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
            path: config.paths.get(&Operation::TextCompletion).cloned(),
            headers,
            keys: KeyPool::new(&config.keys),
            secrets: Secrets::of(config),
            retry: RetryPolicy {
                max_retries: config.max_retries,
                request_timeout: config.request_timeout,
                backoff: Backoff::new(config.backoff_initial, config.backoff_max),
            },
            permits: Semaphore::new(
                config.concurrency.unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS),
            ),
        })
    }

    pub(crate) const fn kind(&self) -> ProviderKind {
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
    pub(crate) async fn permit(&self, patience: Duration) -> Result<Permit<'_>, CallError> {
        match timeout(patience, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(Permit(permit)),
            Ok(Err(_)) | Err(_) => {
                let message = "too many calls to this provider were under way for all of the job's time";
                let error = CallError::ours(ErrorCode::UpstreamTimeout, message);
                Err(CallError { may_be_billed: false, ..error })
            }
        }
    }

    /// Makes the call.
    pub(crate) async fn complete(&self, call: &ProviderCall<'_>) -> Result<Completion, CallError> {
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
        call: &ProviderCall<'_>,
    ) -> Result<Completion, CallError> {
        let body = request_body::native(ask.model, call.body).ok_or_else(unreadable)?;
        let outgoing = self.native_request(native, ask, body);
        let outgoing = outgoing.map_err(|why| unsendable(why, call.target))?;
        let answer = within(call.timeout, self.send(outgoing, &Received::new(0, call.meter))).await?;
        answer.into_completion(self.dialect.error_form(), &self.secrets)
    }

    fn native_request(
        &self,
        native: &dyn Native,
        ask: &Ask<'_>,
        body: String,
    ) -> Result<Outgoing, Unsendable> {
        let url = match &self.path {
            Some(path) => format!("{}/{}", ask.base.trim_end_matches('/'), path.trim_start_matches('/')),
            None => native.url(ask)?,
        };
        let mut headers = HeaderMap::new();
        native.authorize(ask, &mut headers)?;
        Outgoing::new(&url, headers, body)
    }

    async fn complete_by_prompt(
        &self,
        chat: &dyn Chat,
        ask: &Ask<'_>,
        call: &ProviderCall<'_>,
    ) -> Result<Completion, CallError> {
        let split = Split::of(call.body, self.kind).ok_or_else(unreadable)?;
        if split.echoed_bytes() > MAX_ANSWER_BYTES {
            let error = CallError::too_large("the result, of the echoed prompts alone, would be");
            return Err(CallError { may_be_billed: false, ..error });
        }
        // The first call has the permit that the caller holds; more at once take what is free.
        let wanted = split.calls().min(MOST_AT_ONCE).saturating_sub(1);
        let more: Vec<_> =
            std::iter::repeat_with(|| self.permits.try_acquire()).take(wanted).flatten().collect();
        let token = within(call.timeout, chat.token(*ask, &self.client)).await;
        // Whatever went wrong there, no prompt was sent.
        let unbilled = |error: CallError| CallError { may_be_billed: false, ..error.masked(&self.secrets) };
        let token = token.map_err(unbilled)?;
        let ask = Ask { token: token.as_ref(), ..*ask };
        let received = Received::new(call.replies.bytes(), call.meter);
        let one = |prompt| self.one_prompt(chat, &ask, call, prompt, &received);
        let done = split.run(1 + more.len(), call.replies, one).await;
        drop(more);
        if let Err(error) = &done
            && error.answered() == Some(401)
        {
            chat.forget(ask);
        }
        let masked = |error: CallError| match &token {
            Some(token) => error.masked(&Secrets::of_token(token)),
            None => error,
        };
        done.map_err(masked)?;
        let composed = split.compose(ask.model, &call.replies.take(), MAX_ANSWER_BYTES);
        composed.map(Completion::composed).ok_or_else(|| CallError::too_large("the result would be"))
    }

    fn one_prompt<'a>(
        &'a self,
        chat: &'a dyn Chat,
        ask: &'a Ask<'a>,
        call: &'a ProviderCall<'a>,
        prompt: PromptCall<'a>,
        received: &'a Received<'a>,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        // The body is written only when its turn comes: all together could be many times the client's.
        Box::pin(async move {
            let outgoing = chat.request(ask, &prompt).map_err(|why| unsendable(why, call.target))?;
            let answer = within(call.timeout, self.send(outgoing, received)).await?;
            answer.read_as(|text| chat.read(text), self.dialect.error_form(), &self.secrets)
        })
    }

    async fn send(&self, outgoing: Outgoing, received: &Received<'_>) -> Result<Answer, CallError> {
        let Outgoing { url, headers: own, body } = outgoing;
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().extend(own);
        *request.body_mut() = Some(body.into());
        let response = self.client.execute(request).await.map_err(transport::unreachable)?;
        answer::read(response, self.dialect.error_form(), &self.secrets, received).await
    }
}

/// A body that no submit has let pass.
fn unreadable() -> CallError {
    CallError::ours(
        ErrorCode::InvalidRequest,
        "the request cannot be read, or is more calls than a job may need",
    )
}

fn unsendable(why: Unsendable, target: &Target) -> CallError {
    match why {
        Unsendable::Key => CallError::no_key_left(target, None),
        Unsendable::Model => CallError::no_path(target),
        Unsendable::Address => {
            CallError::ours(ErrorCode::ProviderNotConfigured, "the provider's address is no URL")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_waits_at_least_as_long_as_the_provider_asks() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
        let policy = RetryPolicy { max_retries: 9, request_timeout: Duration::from_secs(1), backoff };
        assert!(policy.backoff(60, None) <= Duration::from_secs(6));
        let asked = Duration::from_secs(30);
        let wait = policy.backoff(0, Some(asked));
        assert!((asked..asked.mul_f64(1.21)).contains(&wait), "{wait:?}");
    }
}
