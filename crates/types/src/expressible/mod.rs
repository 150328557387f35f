//! Which requests a target cannot serve, told before anybody is asked.
//!
//! Members whose value changes nothing are no reason, and neither are `seed` and `user`, which promise nothing.

mod chat;
mod embedding;
mod images;
mod members;
mod messages;
mod rerank;
mod responses;
mod served;
mod speech;
mod text;
mod transcription;

pub use chat::changes_nothing;

use crate::Operation;
use crate::config::{ApiProvider, ProviderKind, Support};

/// Why a kind of provider cannot serve a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Inexpressible {
    /// The path of the member at fault; none where the provider has no such call.
    pub param: Option<String>,
    /// What is wrong with it there.
    pub message: String,
}

impl Inexpressible {
    pub(crate) fn member(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), message: message.into() }
    }

    /// The provider has no such call.
    pub fn endpoint(kind: ProviderKind, operation: Operation) -> Self {
        Self { param: None, message: format!("{kind} does not serve {}", operation.path()) }
    }
}

/// Why a provider cannot serve the request, if it cannot.
///
/// `model` is the target's, which tells the families apart that one provider has. `body` is that of a [`Request`](crate::Request). `max_calls` bounds the calls that one request may become where the provider is
/// asked one by one: one small request must not become thousands of calls that are paid for.
pub fn cannot_serve(
    provider: &ApiProvider,
    operation: Operation,
    model: &str,
    body: &str,
    max_calls: u64,
) -> Option<Inexpressible> {
    let kind = provider.kind;
    if !provider.allows(operation) {
        let message = format!("its `allowed_requests` do not have {operation}");
        return Some(Inexpressible { param: None, message });
    }
    match kind.support(operation) {
        Support::Absent => return Some(Inexpressible::endpoint(kind, operation)),
        Support::Native => return None,
        Support::Converted => {}
    }
    match operation {
        Operation::TextCompletion => text::inexpressible(kind, body, max_calls),
        Operation::ChatCompletion => chat::inexpressible(kind, body, max_calls),
        Operation::Embedding => embedding::inexpressible(kind, model, body, max_calls),
        Operation::Rerank => rerank::inexpressible(kind, body),
        Operation::ImageGeneration | Operation::ImageEdit | Operation::ImageVariation => {
            images::inexpressible(kind, operation, model, body, max_calls)
        }
        Operation::Speech => speech::inexpressible(kind, body),
        Operation::Transcription => transcription::inexpressible(kind, body),
        Operation::Responses => responses::inexpressible(kind, body),
        Operation::Messages => messages::inexpressible(kind, body),
        Operation::Ocr => None,
    }
}
