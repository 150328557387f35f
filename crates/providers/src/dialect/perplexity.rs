//! Perplexity, over its chat API in OpenAI's form, whose path has no `/v1`; members that it does not name are left out.
//!
//! <https://docs.perplexity.ai/api-reference/sonar-post>

use hermod_types::config::Kind;

use super::{Ask, Chat, Outgoing, UnusableKey, below, post};
use crate::chat::{self, Reply, Turn};

#[derive(Debug)]
pub(super) struct Perplexity;

impl Chat for Perplexity {
    fn request(&self, ask: &Ask<'_>, turn: &Turn<'_>) -> Result<Outgoing, UnusableKey> {
        let body = chat::openai_request(ask.model, turn, Kind::Perplexity, &["seed", "user"]);
        post(ask, below(ask.base, "chat/completions"), body)
    }

    fn read(&self, answer: &str) -> Result<Reply, String> {
        chat::openai_reply(answer)
    }
}
