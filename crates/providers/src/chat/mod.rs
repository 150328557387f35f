//! Chat: the common form of all providers. A dialect whose form is another converts it to its own, and back, once; text completions
//! and responses are made of it.

mod openai_form;
mod reply;
mod request;
mod wire;

use hermod_types::Operation;

use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::plan::Plan;
pub(crate) use openai_form::{Differences, openai_reply, openai_request, stop_list};
pub(crate) use reply::{ChatChoice, ChatReply, Finish, Usage, made_up_id, now, whole};
pub(crate) use request::{
    AssistantMessage, CachedPart, ChatRequest, Message, Part, Reasoning, ReasoningDetail, ResponseFormat,
    Tool, ToolCall, ToolChoice,
};
pub(crate) use wire::{WireFunction, WireSchema};

/// A provider's chat.
pub(crate) trait Chat: Send + Sync {
    /// Writes the request in the provider's form. It asks for several choices only where [`ChatRequest::n`] says so.
    ///
    /// # Errors
    /// If something in it cannot be said.
    fn request(&self, ask: &Ask<'_>, chat: &ChatRequest<'_>) -> Result<Outgoing, Unsendable>;

    /// Reads an answer; what is wrong with it, if it is no answer.
    fn read(&self, answer: &str) -> Result<ChatReply, String>;

    /// Whether one call can ask for several choices.
    fn has_n(&self) -> bool {
        false
    }
}

/// A chat request to a provider of another form: a call for each choice, unless it takes `n`.
pub(crate) struct ChatPlan<'a> {
    chat: &'a dyn Chat,
    request: ChatRequest<'a>,
    calls: usize,
}

impl<'a> ChatPlan<'a> {
    /// None if the body is no chat request.
    pub(crate) fn new(body: &'a str, chat: &'a dyn Chat) -> Option<Self> {
        let mut request = ChatRequest::parse(body)?;
        let n = request.n.take().unwrap_or(1).max(1);
        let (calls, n) = if chat.has_n() { (1, n) } else { (n, 1) };
        request.n = (n > 1).then_some(n);
        Some(Self { chat, request, calls: usize::try_from(calls).ok()? })
    }
}

impl Plan for ChatPlan<'_> {
    type Reply = ChatReply;

    fn sent_as(&self) -> Operation {
        Operation::ChatCompletion
    }

    fn calls(&self) -> usize {
        self.calls
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
        reply::compose(ask.model, &replies, limit)
    }
}
