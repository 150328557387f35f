//! Anthropic, over its messages API.
//!
//! - Requests and answers: <https://docs.claude.com/en/api/messages>
//! - Errors: <https://docs.claude.com/en/api/errors>
//!
//! It wants a limit of tokens, and has no `n`, no `seed` and no penalties. A temperature ends at 1, and a stop
//! sequence must be more than white space.

use hermod_types::ErrorDetail;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{Ask, Dialect, Outgoing, Unsendable, below, secret_header};
use crate::chat::{Chat, ChatChoice, ChatReply, ChatRequest, Finish, Usage};
use crate::error_form::ErrorForm;
use crate::literal::Literal;
use crate::openai;
use crate::request_body::RequestBody;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
/// The limit of tokens where the client gives none: Bifrost's, which every model takes.
const MAX_TOKENS: &str = "4096";

#[derive(Debug)]
pub(super) struct Anthropic;

impl ErrorForm for Anthropic {
    fn error(&self, answer: &str) -> Option<ErrorDetail> {
        let mut error = openai::error(answer)?;
        let details = serde_json::from_str(answer).ok().and_then(|body: Refusal| body.error.details);
        error.code = error.code.or(details.and_then(|details| details.error_code));
        Some(error)
    }
}

impl Dialect for Anthropic {
    fn authorize(&self, ask: &Ask<'_>, headers: &mut HeaderMap) -> Result<(), Unsendable> {
        headers.extend([VERSION]);
        ask.key.map_or(Ok(()), |key| secret_header(headers, API_KEY, key.expose_secret()))
    }

    fn chat(&self) -> Option<&dyn Chat> {
        Some(self)
    }
}

impl Chat for Anthropic {
    fn request(&self, ask: &Ask<'_>, chat: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
        let mut body = RequestBody::new(&["prompt", "n", "echo", "seed"]);
        body.model(ask.model);
        body.own("messages", &format!("[{{\"role\":\"user\",\"content\":{}}}]", chat.text().as_json()));
        if let Some(user) = &chat.user {
            body.own("metadata", &format!("{{\"user_id\":{}}}", user.as_json()));
        }
        if let Some(stop) = chat.stop_list() {
            body.own("stop_sequences", &stop);
        }
        for (name, value) in &chat.members {
            body.client(name, value);
        }
        body.own("max_tokens", chat.max_tokens.unwrap_or(MAX_TOKENS));
        let mut outgoing = Outgoing::new(&below(ask.base, "v1/messages"), body.finish())?;
        self.authorize(ask, &mut outgoing.headers)?;
        Ok(outgoing)
    }

    fn read(&self, answer: &str) -> Result<ChatReply, String> {
        let message: Message =
            serde_json::from_str(answer).map_err(|_| "its answer is not a message".to_owned())?;
        // What it thought is in blocks of other types.
        let said = message.content.into_iter().filter(|block| block.kind == "text");
        let text: String = said.filter_map(|block| block.text).collect();
        let finish = message.stop_reason.map(|reason| match reason.as_str() {
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "refusal" => Finish::ContentFilter,
            _ => Finish::Stop,
        });
        let usage = message.usage.map(|usage| {
            let cached =
                usage.cache_creation_input_tokens.unwrap_or(0) + usage.cache_read_input_tokens.unwrap_or(0);
            Usage::of(usage.input_tokens.saturating_add(cached), usage.output_tokens)
        });
        let choice = ChatChoice { content: Some(Literal::of(&text)), finish, ..ChatChoice::default() };
        Ok(ChatReply { id: message.id, created: None, model: message.model, choices: vec![choice], usage })
    }
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    content: Vec<Block>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<MessageUsage>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

/// `input_tokens` leaves out what was read from the cache, or written to it.
#[derive(Deserialize)]
struct MessageUsage {
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
}

/// The part of an error that OpenAI's form has not.
#[derive(Deserialize)]
struct Refusal {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    error_code: Option<String>,
}
