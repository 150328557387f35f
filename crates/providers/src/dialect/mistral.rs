//! Mistral. Text completions go to its fill-in-the-middle API, one prompt at a time, with answers as in chat. It refuses members that
//! it does not know.
//!
//! - Fill in the middle: <https://docs.mistral.ai/api/endpoint/fim>
//! - Chat: <https://docs.mistral.ai/api/endpoint/chat>

use hermod_types::Operation;

use super::{Ask, Dialect, Outgoing, Unsendable, below, post};
use crate::chat::{ChatReply, ChatRequest, Differences, openai_reply};
use crate::completion::Continue;
use crate::error_form::ErrorForm;
use crate::literal::Literal;
use crate::request_body::RequestBody;

/// Its names for members of chat, and what its messages do not have.
const CHAT: Differences = Differences {
    renamed: &[("max_completion_tokens", "max_tokens"), ("seed", "random_seed")],
    values: &[("tool_choice", "\"required\"", "\"any\"")],
    without: &["user", "safety_identifier", "store", "stream_options"],
    without_in_messages: &[
        "extra_content",
        "is_error",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "refusal",
        "annotations",
    ],
    without_in_calls: &["extra_content"],
    ..Differences::EFFORT
};

#[derive(Debug)]
pub(super) struct Mistral;

impl ErrorForm for Mistral {}

impl Dialect for Mistral {
    fn differences(&self, operation: Operation, _: &str) -> Differences {
        if operation == Operation::ChatCompletion { CHAT } else { Differences::NONE }
    }

    fn continues(&self) -> Option<&dyn Continue> {
        Some(self)
    }
}

impl Continue for Mistral {
    fn request(
        &self,
        ask: &Ask<'_>,
        prompt: &Literal<'_>,
        chat: &ChatRequest<'_>,
    ) -> Result<Outgoing, Unsendable> {
        let mut body = RequestBody::new(&["n", "echo"]);
        body.model(ask.model);
        body.own("prompt", prompt.as_json());
        for (name, value) in [("max_tokens", chat.max_tokens), ("stop", chat.stop)] {
            if let Some(value) = value {
                body.client(name, value);
            }
        }
        for (name, value) in &chat.members {
            CHAT.add(&mut body, name, value);
        }
        post(ask, &below(ask.base, "v1/fim/completions"), body.finish())
    }

    fn read(&self, answer: &str) -> Result<ChatReply, String> {
        openai_reply(answer)
    }
}
