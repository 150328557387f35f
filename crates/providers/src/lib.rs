//! One LLM call: which key, which request, what the answer means.
//!
//! [`Providers::call`] makes exactly one HTTP request. What to do after a failure is said by the error's
//! [`Verdict`]; doing it, with retries and fallbacks, is the worker's.

mod answer;
mod error;
mod keys;
mod openai;
mod provider;
mod secrets;
mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hermod_types::config::Models;
use hermod_types::{CompletionExtra, Config, ErrorCode, Target};

pub use error::CallError;
pub use provider::{InvalidProvider, RetryPolicy};
pub use verdict::Verdict;

use provider::Provider;

/// Every configured provider, with one pool of connections for all.
#[derive(Debug)]
pub struct Providers(BTreeMap<String, Provider>);

/// One call to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Where it goes.
    pub target: &'a Target,
    /// Its place in the chain: 0 for the primary.
    pub fallback_index: usize,
    /// The client's body, less the model: a JSON object.
    pub body: &'a str,
    /// The keys that may be used for it, by name.
    pub keys: &'a Models,
    /// The longest that it may take, once the provider has a slot for it.
    pub timeout: Duration,
    /// The longest that it may wait for that slot.
    pub patience: Duration,
}

impl Providers {
    /// Prepares to call the configured providers.
    ///
    /// # Errors
    /// For a provider whose address or headers cannot be used.
    pub fn new(config: &Config) -> Result<Self, InvalidProvider> {
        let client = provider::http_client()?;
        let mut providers = BTreeMap::new();
        for (name, config) in &config.providers {
            providers.insert(name.clone(), Provider::new(name, config, &client)?);
        }
        Ok(Self(providers))
    }

    /// Makes one call. Returns the result of a job: the provider's completion with our `extra_fields`.
    ///
    /// # Errors
    /// Whatever is not a completion, classified.
    pub async fn call(&self, call: Call<'_>) -> Result<String, CallError> {
        let Some(provider) = self.0.get(call.target.provider()) else {
            let message = format!("provider {} is not configured in this worker", call.target.provider());
            return Err(CallError::ours(ErrorCode::ProviderNotConfigured, message));
        };
        let _slot = provider.slot(call.patience).await?;
        let started = Instant::now();
        let answered = tokio::time::timeout(call.timeout, provider.complete(&call)).await;
        let completion = match answered {
            Ok(answered) => answered?,
            Err(_) => {
                let message = format!("no answer within {} ms", call.timeout.as_millis());
                return Err(CallError::ours(ErrorCode::UpstreamTimeout, message));
            }
        };
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        completion.compose(&CompletionExtra::new(call.target, latency_ms, call.fallback_index))
    }

    /// How calls to this provider are retried; none for one that is not configured.
    pub fn retry_policy(&self, provider: &str) -> Option<&RetryPolicy> {
        self.0.get(provider).map(Provider::retry_policy)
    }
}
