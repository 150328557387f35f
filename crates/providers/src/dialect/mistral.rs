//! Mistral's fill-in-the-middle API: a prompt and a suffix as with text completions, one prompt at a time, and
//! answers as in chat. It refuses members that it does not know.
//!
//! <https://docs.mistral.ai/api/endpoint/fim>

use super::{Ask, Chat, Outgoing, UnusableKey, below, post};
use crate::chat::{self, Reply, Turn};
use hermod_types::config::Kind;

#[derive(Debug)]
pub(super) struct Mistral;

impl Chat for Mistral {
    fn request(&self, ask: &Ask<'_>, turn: &Turn<'_>) -> Result<Outgoing, UnusableKey> {
        let mut body = chat::open_request(ask.model);
        body.push_str(",\"prompt\":");
        body.push_str(turn.prompt);
        for (name, value) in turn.members(Kind::Mistral, &["user"]) {
            let name = if name == "seed" { "random_seed" } else { name };
            chat::push_member(&mut body, name, value.get());
        }
        body.push('}');
        post(ask, below(ask.base, "v1/fim/completions"), body)
    }

    fn read(&self, answer: &str) -> Result<Reply, String> {
        chat::openai_reply(answer)
    }
}
