//! OpenAI's responses over chat: <https://platform.openai.com/docs/api-reference/responses/create>
//!
//! What such a request cannot say has been refused before, by [`hermod_types::cannot_serve`].

mod history;
mod input;
mod request;
mod response;
#[cfg(test)]
mod tests;

use hermod_types::RawObject;

use crate::chat::{Chat, ChatPlan, ChatReply, ResultForm};
pub(crate) use history::without_foreign;

/// A response, which repeats much of the client's own request.
pub(crate) struct Response<'a>(RawObject<'a>);

/// None if the body is no such request, or one that chat cannot serve.
pub(crate) fn plan<'a>(body: &'a str, chat: &'a dyn Chat) -> Option<ChatPlan<'a, Response<'a>>> {
    let object: RawObject<'a> = serde_json::from_str(body).ok()?;
    ChatPlan::with(request::read(&object)?, chat, Response(object))
}

impl ResultForm for Response<'_> {
    fn compose(&self, model: &str, replies: &[ChatReply], limit: usize) -> Option<String> {
        let response = response::compose(model, replies.first()?, &self.0);
        (response.len() <= limit).then_some(response)
    }

    fn least_bytes(&self) -> usize {
        response::echoed(&self.0).map(|(_, value)| value.len()).sum()
    }
}
