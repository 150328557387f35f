//! One LLM call: which key, which request, what the answer means.
//!
//! [`Providers::call`] makes exactly one HTTP request. What to do after a failure is said by the error's
//! [`Verdict`]; doing it, with retries and fallbacks, is the worker's.

mod answer;
mod chat;
mod dialect;
mod error;
mod keys;
mod openai;
mod provider;
mod retry_after;
mod secrets;
mod tokens;
mod transport;
mod urls;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use hermod_types::config::Models;
use hermod_types::{Config, ErrorCode, Inexpressible, Target, inexpressible};

use tokio::sync::SemaphorePermit;

pub use answer::Completion;
pub use chat::Answered;
pub use error::CallError;
pub use keys::{Key, choose};
pub use provider::{InvalidProvider, RetryPolicy};
pub use verdict::Verdict;

use provider::Provider;

/// Every configured provider, with one pool of connections for all.
#[derive(Debug)]
pub struct Providers {
    by_name: BTreeMap<String, Provider>,
    max_calls: u64,
}

/// One of the calls that a provider may have under way at once.
#[derive(Debug)]
pub struct Slot<'a>(#[expect(dead_code, reason = "held until it is dropped")] SemaphorePermit<'a>);

/// One call to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Where it goes.
    pub target: &'a Target,
    /// The client's body, less the model: a JSON object.
    pub body: &'a str,
    /// The key to use, of those that [`Providers::keys`] gave.
    pub key: &'a Key,
    /// The longest that the provider may take for one answer.
    pub timeout: Duration,
    /// The longest that all of it may take: a provider that is asked prompt by prompt gives many answers.
    pub limit: Duration,
    /// What was answered in earlier attempts with the same request and provider.
    pub answered: &'a Answered,
}

impl Providers {
    /// Prepares to call the configured providers.
    ///
    /// # Errors
    /// For a provider whose address or headers cannot be used.
    pub fn new(config: &Config) -> Result<Self, InvalidProvider> {
        let client = transport::http_client()?;
        let mut providers = BTreeMap::new();
        for (name, config) in &config.providers {
            providers.insert(name.clone(), Provider::new(name, config, &client)?);
        }
        Ok(Self { by_name: providers, max_calls: config.max_calls })
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Why the target cannot serve this request, if it is one that cannot be said to its provider.
    pub fn cannot_serve(&self, target: &Target, body: &str) -> Option<Inexpressible> {
        inexpressible(self.by_name.get(target.provider())?.kind(), body, self.max_calls)
    }

    /// The keys that may be used for `target`, of those in `allowed`; never empty.
    ///
    /// # Errors
    /// If the provider is not configured, or no key of it serves the model.
    pub fn keys<'a>(&'a self, target: &Target, allowed: &Models) -> Result<Vec<&'a Key>, CallError> {
        let keys = self.provider(target)?.keys(target.model(), allowed);
        if keys.is_empty() { Err(CallError::no_key_left(target, None)) } else { Ok(keys) }
    }

    /// Waits for up to `patience` until fewer calls of the provider are under way than its `concurrency` allows.
    ///
    /// # Errors
    /// If that did not come in time.
    pub async fn slot(&self, target: &Target, patience: Duration) -> Result<Slot<'_>, CallError> {
        Ok(Slot(self.provider(target)?.slot(patience).await?))
    }

    /// Makes one call, which fills `_slot` until it is over.
    ///
    /// # Errors
    /// Whatever is not a completion, classified.
    pub async fn call(&self, call: Call<'_>, _slot: Slot<'_>) -> Result<Completion, CallError> {
        let provider = self.provider(call.target)?;
        provider.complete(&call).await
    }

    fn provider(&self, target: &Target) -> Result<&Provider, CallError> {
        self.by_name.get(target.provider()).ok_or_else(|| {
            let message = format!("provider {} is not configured in this worker", target.provider());
            CallError::ours(ErrorCode::ProviderNotConfigured, message)
        })
    }

    /// How calls to this provider are retried; none for one that is not configured.
    pub fn retry_policy(&self, provider: &str) -> Option<&RetryPolicy> {
        self.by_name.get(provider).map(Provider::retry_policy)
    }
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
