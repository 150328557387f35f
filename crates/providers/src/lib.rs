//! One LLM call: which key, which request, what the answer means.
//!
//! [`Providers::call`] calls one target with one key. What to do after a failure is said by the error's [`Verdict`];
//! doing it, with retries and fallbacks, is the worker's.
//!
//! Modules use each other in one direction, from the top down:
//!
//! | module | |
//! |---|---|
//! | `provider` | a configured provider: its keys, its concurrency, its calls |
//! | `native` | calls in the form in which the client wrote them |
//! | `completion`, `responses`, `messages` | text completions, OpenAI's responses and Anthropic's messages made of chat |
//! | `chat` | the common form of chat, and OpenAI's |
//! | `embeddings`, `rerank`, `images`, `speech`, `transcription` | those calls at a provider with a form of its own |
//! | `plan`, `replies` | a request that is several calls, what each was answered, and what the answers make together |
//! | `dialect` | what each kind of provider is sent, and how its answer is read |
//! | `history` | what others have added to a conversation is taken out of it |
//! | `tokens` | access tokens for Google's APIs |
//! | `answer` | reads an answer, and judges an error |
//! | `usage`, `bill` | what an answer says that it has used |
//! | `request_body`, `multipart`, `payload`, `literal` | what is sent; media are read as they are sent |
//! | `error_form` | how errors are written |
//! | `transport` | connections, and the bytes of an answer |
//! | `error`, `verdict`, `secrets`, `retry_after` | why a call failed, and what follows; the limit of an answer |

mod answer;
#[cfg(test)]
mod arbitrary;
mod bill;
mod chat;
mod completion;
mod dialect;
mod embeddings;
mod error;
mod error_form;
mod history;
mod images;
mod keys;
mod literal;
mod messages;
mod multipart;
mod native;
mod openai;
mod payload;
mod plan;
mod provider;
mod replies;
mod request_body;
mod rerank;
mod responses;
mod retry_after;
mod secrets;
mod speech;
mod tokens;
mod transcription;
mod transport;
mod usage;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use hermod_types::config::{KeyAccess, Models, ProviderKind};
use hermod_types::{Config, ErrorCode, Inexpressible, Operation, Target, cannot_serve};

pub use answer::CallResult;
pub use bill::Bill;
pub use error::{CallError, InvalidProvider};
pub use keys::{Key, choose};
pub use payload::MediaSource;
pub use provider::{Permit, ProviderCall, RetryPolicy};
pub use replies::Replies;
pub use transport::Meter;
pub use verdict::Verdict;

use chat::ChatPlan;
use dialect::Ask;
use payload::Payload;
use plan::Plan;
use provider::Provider;

/// Every configured provider, with one pool of connections for all.
#[derive(Debug)]
pub struct Providers {
    by_name: BTreeMap<String, Provider>,
    max_calls: u64,
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

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Why the target cannot serve this request, if its provider's API has no words for it.
    pub fn cannot_serve(&self, operation: Operation, target: &Target, body: &str) -> Option<Inexpressible> {
        cannot_serve(
            self.by_name.get(target.provider())?.api(),
            operation,
            target.model(),
            body,
            self.max_calls,
        )
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
    pub async fn permit(&self, target: &Target, patience: Duration) -> Result<Permit<'_>, CallError> {
        self.provider(target)?.permit(patience).await
    }

    /// Calls the target. `permit` is held until that is over.
    ///
    /// # Errors
    /// Whatever is not a result, classified.
    pub async fn call(&self, call: ProviderCall<'_>, permit: Permit<'_>) -> Result<CallResult, CallError> {
        let outcome = self.provider(call.target)?.complete(&call).await;
        drop(permit);
        outcome
    }

    fn provider(&self, target: &Target) -> Result<&Provider, CallError> {
        self.by_name.get(target.provider()).ok_or_else(|| {
            let message = format!("provider {} is not configured in this worker", target.provider());
            CallError::ours(ErrorCode::ProviderNotConfigured, message)
        })
    }

    /// What kind of provider a target has; none for one that is not configured.
    pub fn kind(&self, target: &Target) -> Option<ProviderKind> {
        Some(self.by_name.get(target.provider())?.api().kind)
    }

    /// The host and the port that calls of the target with this key go to, as far as that is known before the call.
    pub fn server(&self, target: &Target, key: &Key) -> Option<(String, Option<u16>)> {
        self.by_name.get(target.provider())?.server_for(key)
    }

    /// How calls to this provider are retried; none for one that is not configured.
    pub fn retry_policy(&self, provider: &str) -> Option<&RetryPolicy> {
        self.by_name.get(provider).map(Provider::retry_policy)
    }
}

/// For benchmarks: a chat request in the form of a kind of provider, and its answer in the client's. None for a kind whose form is the
/// client's own, and for what cannot be said or read.
#[doc(hidden)]
pub fn convert_chat(kind: ProviderKind, model: &str, body: &str, answer: &str) -> Option<(String, String)> {
    let dialect = dialect::of(kind);
    let chat = dialect.chat()?;
    let plan = ChatPlan::new(body, chat)?;
    let base = "http://localhost";
    let ask = Ask { base, model, is_alias: false, key: None, access: &KeyAccess::Plain, token: None };
    let Payload::Text(request) = plan.request(&ask, 0).ok()?.body else { return None };
    let result = plan.compose(&ask, vec![chat.read(answer).ok()?], usize::MAX)?;
    Some((request, result))
}
