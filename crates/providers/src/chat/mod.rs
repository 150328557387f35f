//! Chat: the common form of all providers. A dialect whose form is another converts it to its own, and back, once; text completions
//! and responses are made of it.

mod differences;
mod openai_form;
mod reply;
mod request;
mod wire;

use hermod_types::Operation;

use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::plan::Plan;
pub(crate) use differences::Differences;
pub(crate) use openai_form::{openai_reply, openai_request, stop_list};
pub(crate) use reply::{ChatChoice, ChatReply, Finish, Usage, made_up_id, now, whole};
pub(crate) use request::{
    AssistantMessage, ChatRequest, Message, Part, Reasoning, ReasoningDetail, ResponseFormat, Tool, ToolCall,
    ToolChoice,
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

/// The form in which a client gets what chat has answered.
pub(crate) trait ResultForm: Send + Sync {
    /// The result that the replies make together; none if it would be longer than `limit` bytes.
    fn compose(&self, model: &str, replies: &[ChatReply], limit: usize) -> Option<String>;

    /// See [`Plan::least_bytes`].
    fn least_bytes(&self) -> usize {
        0
    }
}

/// A chat completion.
pub(crate) struct Completion;

impl ResultForm for Completion {
    fn compose(&self, model: &str, replies: &[ChatReply], limit: usize) -> Option<String> {
        reply::compose(model, replies, limit)
    }
}

/// One request of chat: a call for each choice, unless the provider takes `n`.
pub(crate) struct ChatPlan<'a, F = Completion> {
    chat: &'a dyn Chat,
    request: ChatRequest<'a>,
    calls: usize,
    form: F,
}

impl<'a> ChatPlan<'a> {
    /// None if the body is no chat request.
    pub(crate) fn new(body: &'a str, chat: &'a dyn Chat) -> Option<Self> {
        Self::with(ChatRequest::parse(body)?, chat, Completion)
    }
}

impl<'a, F: ResultForm> ChatPlan<'a, F> {
    /// What the client gets has this form. None if that is more calls than there can be.
    pub(crate) fn with(mut request: ChatRequest<'a>, chat: &'a dyn Chat, form: F) -> Option<Self> {
        let n = request.n.take().unwrap_or(1).max(1);
        let (calls, n) = if chat.has_n() { (1, n) } else { (n, 1) };
        request.n = (n > 1).then_some(n);
        Some(Self { chat, request, calls: usize::try_from(calls).ok()?, form })
    }
}

impl<F: ResultForm> Plan for ChatPlan<'_, F> {
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
        self.form.compose(ask.model, &replies, limit)
    }

    fn least_bytes(&self) -> usize {
        self.form.least_bytes()
    }
}
