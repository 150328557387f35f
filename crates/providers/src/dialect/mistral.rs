//! Mistral's fill-in-the-middle API: a prompt and a suffix as with text completions, one prompt at a time, and
//! answers as in chat. It refuses members that it does not know.
//!
//! <https://docs.mistral.ai/api/endpoint/fim>

use hermod_types::config::ProviderKind;

use super::{Ask, Chat, Outgoing, Unsendable, below, post};
use crate::chat::{self, PromptCall, Reply};
use crate::error_form::ErrorForm;
use crate::request_body::RequestBody;

#[derive(Debug)]
pub(super) struct Mistral;

impl ErrorForm for Mistral {}

impl Chat for Mistral {
    fn request(&self, ask: &Ask<'_>, call: &PromptCall<'_>) -> Result<Outgoing, Unsendable> {
        let mut body = RequestBody::for_prompt();
        body.model(ask.model);
        body.own("prompt", call.prompt);
        for (name, value) in call.members(ProviderKind::Mistral, &["user"]) {
            match name {
                "seed" => body.own("random_seed", value),
                _ => body.client(name, value),
            }
        }
        post(ask, &below(ask.base, "v1/fim/completions"), body.finish())
    }

    fn read(&self, answer: &str) -> Result<Reply, String> {
        chat::openai_reply(answer)
    }
}
