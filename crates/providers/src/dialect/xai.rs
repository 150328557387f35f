//! xAI, over its chat API in OpenAI's form.
//!
//! <https://docs.x.ai/docs/api-reference#chat-completions>

use hermod_types::ErrorDetail;
use hermod_types::config::Kind;

use super::{Ask, Chat, Outgoing, UnusableKey, below, post};
use crate::chat::{self, Reply, Turn};

#[derive(Debug)]
pub(super) struct Xai;

impl Chat for Xai {
    fn request(&self, ask: &Ask<'_>, turn: &Turn<'_>) -> Result<Outgoing, UnusableKey> {
        let body = chat::openai_request(ask.model, turn, Kind::Xai, &[]);
        post(ask, below(ask.base, "v1/chat/completions"), body)
    }

    fn read(&self, answer: &str) -> Result<Reply, String> {
        chat::openai_reply(answer)
    }

    /// A key that it does not know is answered with 400, as if the request were at fault.
    fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        if status == 400 && error.message.starts_with("Incorrect API key") { 401 } else { status }
    }
}
