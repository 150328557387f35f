//! Those that have OpenAI's chat API and differ in little: a row each.
//!
//! - Hugging Face's router of inference providers: <https://huggingface.co/docs/inference-providers/tasks/chat-completion>
//! - Groq: <https://console.groq.com/docs/api-reference#chat-create>
//! - xAI: <https://docs.x.ai/docs/api-reference#chat-completions>
//! - Cerebras: <https://inference-docs.cerebras.ai/api-reference/chat-completions>
//! - Perplexity: <https://docs.perplexity.ai/api-reference/sonar-post>

use hermod_types::ErrorDetail;
use hermod_types::config::ProviderKind;

use super::{Ask, Chat, Outgoing, Unsendable, below, post};
use crate::chat::{self, PromptCall, Reply};
use crate::error_form::ErrorForm;

#[derive(Debug)]
pub(super) struct OpenAiChat {
    kind: ProviderKind,
    path: &'static str,
    /// Members of text completions that are not sent.
    without: &'static [&'static str],
    /// How the message of a 400 begins that is about the key: it counts as 401.
    wrong_key: Option<&'static str>,
}

const USUAL: OpenAiChat =
    OpenAiChat { kind: ProviderKind::OpenAi, path: "v1/chat/completions", without: &[], wrong_key: None };

pub(super) const HUGGING_FACE: OpenAiChat = OpenAiChat { kind: ProviderKind::HuggingFace, ..USUAL };
pub(super) const GROQ: OpenAiChat = OpenAiChat { kind: ProviderKind::Groq, ..USUAL };
pub(super) const XAI: OpenAiChat =
    OpenAiChat { kind: ProviderKind::Xai, wrong_key: Some("Incorrect API key"), ..USUAL };
pub(super) const CEREBRAS: OpenAiChat = OpenAiChat { kind: ProviderKind::Cerebras, ..USUAL };
pub(super) const PERPLEXITY: OpenAiChat = OpenAiChat {
    kind: ProviderKind::Perplexity,
    path: "chat/completions",
    without: &["seed", "user"],
    ..USUAL
};

impl ErrorForm for OpenAiChat {
    fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        let is_key = |begins: &str| status == 400 && error.message.starts_with(begins);
        if self.wrong_key.is_some_and(is_key) { 401 } else { status }
    }
}

impl Chat for OpenAiChat {
    fn request(&self, ask: &Ask<'_>, call: &PromptCall<'_>) -> Result<Outgoing, Unsendable> {
        let body = chat::openai_request(ask.model, call, self.kind, self.without);
        post(ask, &below(ask.base, self.path), body)
    }

    fn read(&self, answer: &str) -> Result<Reply, String> {
        chat::openai_reply(answer)
    }
}
