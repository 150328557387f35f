//! OpenAI's responses over chat: <https://platform.openai.com/docs/api-reference/responses/create>
//!
//! What such a request cannot say has been refused before, by [`hermod_types::cannot_serve`].

mod input;
mod request;
mod response;
#[cfg(test)]
mod tests;

use hermod_types::{Operation, RawObject};

use crate::answer::Answer;
use crate::chat::{Chat, ChatReply, ChatRequest};
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::plan::Plan;

pub(crate) struct ResponsesPlan<'a> {
    chat: &'a dyn Chat,
    request: ChatRequest<'a>,
    /// The client's own, much of which a response repeats.
    object: RawObject<'a>,
}

impl<'a> ResponsesPlan<'a> {
    /// None if the body is no such request, or one that chat cannot serve.
    pub(crate) fn new(body: &'a str, chat: &'a dyn Chat) -> Option<Self> {
        let object: RawObject<'a> = serde_json::from_str(body).ok()?;
        Some(Self { chat, request: request::read(&object)?, object })
    }
}

impl Plan for ResponsesPlan<'_> {
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
        let response = response::compose(ask.model, replies.first()?, &self.object);
        (response.len() <= limit).then_some(response)
    }

    fn least_bytes(&self) -> usize {
        response::echoed(&self.object).map(|(_, value)| value.len()).sum()
    }
}
