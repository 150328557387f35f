use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hermod_types::config::{ApiProvider, Form, Models, ProviderConfig, ProviderKind, Support};
use hermod_types::{Backoff, ErrorCode, Inexpressible, Operation, Target, TraceContext};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, Url};
use secrecy::ExposeSecret;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::answer::{self, Answer, CallResult, unusable};
use crate::chat::ChatPlan;
use crate::completion::{CompletionPlan, Writer};
use crate::dialect::{self, Ask, Dialect, OpenAiForm, Outgoing, Unsendable, at_path};
use crate::embeddings::EmbeddingPlan;
use crate::error::MAX_ANSWER_BYTES;
use crate::images::ImagePlan;
use crate::keys::{Key, KeyPool};
use crate::messages::Words;
use crate::payload::{MediaSource, Payload};
use crate::plan::{self, MOST_AT_ONCE, Plan};
use crate::replies::Replies;
use crate::rerank::RerankPlan;
use crate::secrets::Secrets;
use crate::speech::SpeechPlan;
use crate::transcription::TranscriptionPlan;
use crate::transport::{self, Meter, Received, within};
use crate::{Bill, CallError, InvalidProvider, messages, native, responses, tokens, usage};

/// One of the calls that a provider may have under way at once.
#[derive(Debug)]
pub struct Permit<'a>(#[expect(dead_code, reason = "held until it is dropped")] SemaphorePermit<'a>);

/// One call to be made: one HTTP request, or several.
#[derive(Clone)]
pub struct ProviderCall<'a> {
    /// What is asked for.
    pub operation: Operation,
    /// Where it goes.
    pub target: &'a Target,
    /// The client's body, less the model: a JSON object, or the JSON of a [`Form`](hermod_types::Form).
    pub body: &'a str,
    /// The contents of the form's files.
    pub media: Option<Arc<dyn MediaSource>>,
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
    /// Is told of what it says that was used.
    pub bill: &'a Bill,
    /// Where it stands in a trace, if the provider is to be told.
    pub trace: Option<&'a TraceContext>,
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
    api: ApiProvider,
    dialect: Box<dyn Dialect>,
    /// Where it is, if that is configured.
    base: Option<String>,
    /// In place of the dialect's own.
    paths: BTreeMap<Operation, String>,
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
            api: ApiProvider { kind: config.kind, allowed: config.allowed.clone() },
            dialect: dialect::of(config.kind),
            base: config.base_url.clone(),
            paths: config.paths.clone(),
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

    pub(crate) const fn api(&self) -> &ApiProvider {
        &self.api
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

    /// Where calls with this key go: the key's own address, else what is configured, else that of the key's region, else the
    /// provider's.
    fn base_for<'a>(&'a self, key: &'a Key) -> Option<Cow<'a, str>> {
        let access = key.access();
        let own = access.base_url().or(self.base.as_deref()).map(Cow::Borrowed);
        let regional = || access.regional_url().map(Cow::Owned);
        own.or_else(regional).or(self.api.kind.base_url().map(Cow::Borrowed))
    }

    /// The host and the port that calls with this key go to.
    pub(crate) fn server_for(&self, key: &Key) -> Option<(String, Option<u16>)> {
        let url = Url::parse(&self.base_for(key)?).ok()?;
        Some((url.host_str()?.to_owned(), url.port_or_known_default()))
    }

    /// Makes the call.
    pub(crate) async fn complete(&self, call: &ProviderCall<'_>) -> Result<CallResult, CallError> {
        let no_address = || {
            let message = "neither the provider nor the key has an address";
            CallError::ours(ErrorCode::ProviderNotConfigured, message)
        };
        let access = call.key.access();
        let base = self.base_for(call.key).ok_or_else(no_address)?;
        let ask = Ask {
            base: &base,
            model: call.key.model(call.target.model()),
            is_alias: call.key.model(call.target.model()) != call.target.model(),
            key: call.key.value(),
            access,
            token: None,
        };
        // Boxed without their types, which are too deep for the compiler where a job is spawned.
        match self.api.kind.support(call.operation) {
            Support::Absent => {
                Err(CallError::inexpressible(Inexpressible::endpoint(self.api.kind, call.operation)))
            }
            Support::Native => {
                let native: BoxFuture<'_, _> = Box::pin(self.native(&ask, call));
                native.await
            }
            Support::Converted => {
                let converted: BoxFuture<'_, _> = Box::pin(self.converted(&ask, call));
                within(call.limit, converted).await
            }
        }
    }

    async fn native(&self, ask: &Ask<'_>, call: &ProviderCall<'_>) -> Result<CallResult, CallError> {
        let outgoing = self.native_request(ask, call).map_err(|why| unsendable(why, call.target))?;
        let received = Received::new(0, call.meter);
        let mut answer = within(call.timeout, self.send(ask, outgoing, call, &received)).await?;
        let used = answer.take_usage();
        let result = match native::result(call.operation, call.body, answer) {
            Ok(result) => result,
            Err(what) => {
                call.bill.add_told(used);
                return Err(unusable(&what));
            }
        };
        call.bill.add(usage::with_units(call.operation, call.body, &result, used.unwrap_or_default()));
        Ok(CallResult::native(result, ask.model, call.operation))
    }

    fn native_request(&self, ask: &Ask<'_>, call: &ProviderCall<'_>) -> Result<Outgoing, Unsendable> {
        let url = match self.path_of(call.operation) {
            Some(path) => at_path(ask.base, path),
            None => self.dialect.url(call.operation, ask)?,
        };
        let differences = self.dialect.differences(call.operation, ask.model);
        let mut outgoing = native::request(call.operation, &url, ask.model, call.body, differences)?;
        self.dialect.authorize(ask, &mut outgoing.headers)?;
        Ok(outgoing)
    }

    /// The path that is configured in place of the dialect's own.
    fn path_of(&self, operation: Operation) -> Option<&str> {
        self.paths.get(&operation.polled_as()).map(String::as_str)
    }

    /// A request that is not the provider's own.
    async fn converted(&self, ask: &Ask<'_>, call: &ProviderCall<'_>) -> Result<CallResult, CallError> {
        let form = OpenAiForm {
            dialect: self.dialect.as_ref(),
            path: self.path_of(Operation::ChatCompletion),
            has_n: has_n(self.api.kind),
        };
        let chat = self.dialect.chat().unwrap_or(&form);
        let absent = || CallError::inexpressible(Inexpressible::endpoint(self.api.kind, call.operation));
        match call.operation {
            Operation::TextCompletion => {
                let writer = self.dialect.continues().map_or(Writer::Chat(chat), Writer::Continue);
                self.run(ask, call, CompletionPlan::new(call.body, self.api.kind, writer)).await
            }
            Operation::ChatCompletion => self.run(ask, call, ChatPlan::new(call.body, chat)).await,
            Operation::Responses => self.run(ask, call, responses::plan(call.body, chat)).await,
            Operation::Messages => {
                let words = Words::of(self.api.kind, self.dialect.chat().is_some());
                self.run(ask, call, messages::plan(call.body, chat, words)).await
            }
            Operation::Embedding => {
                let own = self.dialect.embeddings().ok_or_else(absent)?;
                self.run(ask, call, EmbeddingPlan::new(call.body, own, ask.model)).await
            }
            Operation::Rerank => {
                let own = self.dialect.rerank().ok_or_else(absent)?;
                self.run(ask, call, RerankPlan::new(call.body, own)).await
            }
            Operation::ImageGeneration | Operation::ImageEdit | Operation::ImageVariation => {
                let own = self.dialect.images().ok_or_else(absent)?;
                self.run(ask, call, ImagePlan::new(call.operation, call.body, own, ask.model)).await
            }
            Operation::Speech => {
                let own = self.dialect.speech().ok_or_else(absent)?;
                self.run(ask, call, SpeechPlan::new(call.body, own)).await
            }
            Operation::Transcription => {
                let own = self.dialect.transcribe().ok_or_else(absent)?;
                self.run(ask, call, TranscriptionPlan::new(call.body, own)).await
            }
            Operation::Ocr => Err(absent()),
        }
    }

    /// Makes the calls of a plan.
    async fn run(
        &self,
        ask: &Ask<'_>,
        call: &ProviderCall<'_>,
        plan: Option<impl Plan>,
    ) -> Result<CallResult, CallError> {
        let plan = plan.ok_or_else(unreadable)?;
        if plan.least_bytes() > MAX_ANSWER_BYTES {
            let error = CallError::too_large("the result, of the echoed prompts alone, would be");
            return Err(CallError { may_be_billed: false, ..error });
        }
        // The first call has the permit that the caller holds; more at once take what is free.
        let wanted = plan.calls().min(MOST_AT_ONCE).saturating_sub(1);
        let more: Vec<_> =
            std::iter::repeat_with(|| self.permits.try_acquire()).take(wanted).flatten().collect();
        let token = within(call.timeout, self.dialect.token(*ask, &self.client)).await;
        // Whatever went wrong there, nothing was asked.
        let unbilled = |error: CallError| CallError { may_be_billed: false, ..error.masked(&self.secrets) };
        let token = token.map_err(unbilled)?;
        let ask = Ask { token: token.as_ref(), ..*ask };
        call.replies.keep_those_of(ask.model);
        let received = Received::new(call.replies.bytes(), call.meter);
        let one = |number| self.one(&plan, &ask, call, number, &received);
        let done = plan::run(&plan, 1 + more.len(), call.replies, one).await;
        drop(more);
        if let Err(error) = &done
            && error.answered() == Some(401)
        {
            self.dialect.forget(ask);
        }
        let masked = |error: CallError| match &token {
            Some(token) => error.masked(&Secrets::of_token(token)),
            None => error,
        };
        done.map_err(masked)?;
        let composed = plan.compose(&ask, call.replies.take(), MAX_ANSWER_BYTES);
        let composed = composed.ok_or_else(|| CallError::too_large("the result would be"))?;
        Ok(CallResult::composed(composed, ask.model, plan.sent_as()))
    }

    fn one<'a, P: Plan>(
        &'a self,
        plan: &'a P,
        ask: &'a Ask<'a>,
        call: &'a ProviderCall<'a>,
        number: usize,
        received: &'a Received<'a>,
    ) -> BoxFuture<'a, Result<P::Reply, CallError>> {
        Box::pin(async move {
            let outgoing = plan.request(ask, number).map_err(|why| unsendable(why, call.target))?;
            let mut answer = within(call.timeout, self.send(ask, outgoing, call, received)).await?;
            let used = answer.take_usage();
            match plan.read(number, &answer) {
                Ok(reply) => {
                    call.bill.add(plan.used(&reply, used.unwrap_or_default()));
                    Ok(reply)
                }
                Err(what) => {
                    call.bill.add_told(used);
                    Err(unusable(&what))
                }
            }
        })
    }

    async fn send(
        &self,
        ask: &Ask<'_>,
        mut outgoing: Outgoing,
        call: &ProviderCall<'_>,
        received: &Received<'_>,
    ) -> Result<Answer, CallError> {
        if self.dialect.signs_body(ask) {
            let whole = outgoing.body.collect(call.media.as_ref()).await;
            outgoing.body = Payload::Text(whole.map_err(|error| transport::unread(&error))?);
        }
        self.dialect.sign(ask, &mut outgoing).map_err(|why| unsendable(why, call.target))?;
        let Outgoing { url, headers: own, body } = outgoing;
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().extend(own);
        let (body, length) = body.into_body(call.media.as_ref());
        if let Some(length) = length {
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        *request.body_mut() = Some(body);
        // After it was signed: no signature covers them.
        for (name, value) in call.trace.into_iter().flat_map(TraceContext::headers) {
            if let Ok(value) = HeaderValue::from_str(value) {
                request.headers_mut().insert(name, value);
            }
        }
        call.bill.open();
        let response = self.client.execute(request).await.map_err(|error| {
            let error = transport::unreachable(error);
            if !error.may_be_billed {
                call.bill.close();
            }
            error
        })?;
        answer::read(response, self.dialect.as_ref(), &self.secrets, received, call.bill).await
    }
}

/// Whether one call of chat can ask for several choices, where text completions are made of chat.
fn has_n(kind: ProviderKind) -> bool {
    matches!(kind.form(), Form::PerPrompt { has_n: true, .. })
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
        Unsendable::Unreadable => unreadable(),
        Unsendable::Member(param) => {
            let message = format!("`{param}` cannot be said in the API of {}", target.provider());
            CallError::inexpressible(Inexpressible { param: Some(param), message })
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
