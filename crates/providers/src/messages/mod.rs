//! Anthropic's messages over the chat of others: <https://docs.claude.com/en/api/messages>
//!
//! What such a request cannot say has been refused before, by [`hermod_types::cannot_serve`].

mod content;
mod message;
mod request;
#[cfg(test)]
mod tests;

use hermod_types::Operation;

use crate::answer::Answer;
use crate::chat::{Chat, ChatReply, ChatRequest};
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::plan::Plan;
pub(crate) use request::Words;

pub(crate) struct MessagesPlan<'a> {
    chat: &'a dyn Chat,
    request: ChatRequest<'a>,
}

impl<'a> MessagesPlan<'a> {
    /// None if the body is no such request, or one that chat cannot serve.
    pub(crate) fn new(body: &'a str, chat: &'a dyn Chat, words: Words) -> Option<Self> {
        Some(Self { chat, request: request::read(body, words)? })
    }
}

impl Plan for MessagesPlan<'_> {
    type Reply = ChatReply;

    fn sent_as(&self) -> Operation {
        Operation::ChatCompletion
    }

    fn calls(&self) -> usize {
        1
    }

    fn request(&self, ask: &Ask<'_>, _: usize) -> Result<Outgoing, Unsendable> {
        self.chat.request(ask, &self.request)
    }

    fn read(&self, _: usize, answer: &Answer) -> Result<ChatReply, String> {
        self.chat.read(answer.text()?)
    }

    fn bytes(reply: &ChatReply) -> usize {
        reply.bytes()
    }

    fn compose(&self, ask: &Ask<'_>, replies: Vec<ChatReply>, limit: usize) -> Option<String> {
        let message = message::compose(ask.model, replies.first()?);
        (message.len() <= limit).then_some(message)
    }
}
