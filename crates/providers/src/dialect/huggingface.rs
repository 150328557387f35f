//! Hugging Face's router of inference providers, over its chat API in OpenAI's form.
//!
//! <https://huggingface.co/docs/inference-providers/tasks/chat-completion>

use hermod_types::config::Kind;

use super::{Ask, Chat, Outgoing, UnusableKey, below, post};
use crate::chat::{self, Reply, Turn};

#[derive(Debug)]
pub(super) struct HuggingFace;

impl Chat for HuggingFace {
    fn request(&self, ask: &Ask<'_>, turn: &Turn<'_>) -> Result<Outgoing, UnusableKey> {
        let body = chat::openai_request(ask.model, turn, Kind::HuggingFace, &[]);
        post(ask, below(ask.base, "v1/chat/completions"), body)
    }

    fn read(&self, answer: &str) -> Result<Reply, String> {
        chat::openai_reply(answer)
    }
}
