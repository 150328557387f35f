//! Anthropic's messages over the chat of others: <https://docs.claude.com/en/api/messages>
//!
//! What such a request cannot say has been refused before, by [`hermod_types::cannot_serve`].

mod content;
mod history;
mod message;
mod request;
#[cfg(test)]
mod tests;

use crate::chat::{Chat, ChatPlan, ChatReply, ResultForm};
pub(crate) use history::without_foreign;
pub(crate) use request::Words;

/// An Anthropic message.
pub(crate) struct Message;

/// None if the body is no such request, or one that chat cannot serve.
pub(crate) fn plan<'a>(body: &'a str, chat: &'a dyn Chat, words: Words) -> Option<ChatPlan<'a, Message>> {
    ChatPlan::with(request::read(body, words)?, chat, Message)
}

impl ResultForm for Message {
    fn compose(&self, model: &str, replies: &[ChatReply], limit: usize) -> Option<String> {
        let message = message::compose(model, replies.first()?);
        (message.len() <= limit).then_some(message)
    }
}
