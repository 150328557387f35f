//! Cohere, over its chat API.
//!
//! - Requests and answers: <https://docs.cohere.com/v2/reference/chat>
//! - Errors: <https://docs.cohere.com/v2/reference/errors>
//!
//! `top_p` is called `p` there and must be between 0.01 and 0.99. There is no `n`. Temperature and penalties go from 0
//! to 1, and there may be five stop sequences.

use hermod_types::ErrorDetail;
use serde::Deserialize;

use super::{Ask, Dialect, Outgoing, Unsendable, post};
use crate::chat::{Chat, ChatChoice, ChatReply, ChatRequest, Finish, Usage, whole};
use crate::embeddings::Embeddings;
use crate::error_form::ErrorForm;
use crate::literal::Literal;
use crate::request_body::RequestBody;
use crate::rerank::Rerank;

/// The least and the greatest `p`.
const P: (f64, f64) = (0.01, 0.99);

#[derive(Debug)]
pub(super) struct Cohere;

impl ErrorForm for Cohere {
    fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        match status {
            // A trial's key that has had its calls of the month: money, not pace.
            429 if error.message.contains("/ month") => 402,
            // The prompt, or what was written, is on its list of what it does not serve.
            498 => 422,
            _ => status,
        }
    }
}

impl Dialect for Cohere {
    fn chat(&self) -> Option<&dyn Chat> {
        Some(self)
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    fn rerank(&self) -> Option<&dyn Rerank> {
        Some(self)
    }
}

impl Chat for Cohere {
    fn request(&self, ask: &Ask<'_>, chat: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
        let mut body = RequestBody::new(&["prompt", "n", "echo", "user"]);
        body.model(ask.model);
        body.own("messages", &format!("[{{\"role\":\"user\",\"content\":{}}}]", chat.text().as_json()));
        if let Some(stop) = chat.stop_list() {
            body.own("stop_sequences", &stop);
        }
        if let Some(most) = chat.max_tokens {
            body.client("max_tokens", most);
        }
        for (name, value) in &chat.members {
            match name.as_ref() {
                // The nearest that can be said: all but a hundredth is what 1 means in effect.
                "top_p" => match value.parse::<f64>() {
                    Ok(p) if p < P.0 || p > P.1 => body.own("p", &p.clamp(P.0, P.1).to_string()),
                    Ok(_) | Err(_) => body.own("p", value),
                },
                _ => body.client(name, value),
            }
        }
        post(ask, &format!("{}/v2/chat", root(ask.base)), body.finish())
    }

    fn read(&self, answer: &str) -> Result<ChatReply, String> {
        let answer: ChatAnswer =
            serde_json::from_str(answer).map_err(|_| "its answer is not a chat's".to_owned())?;
        let finish = match answer.finish_reason.as_deref() {
            None => None,
            Some(reason @ ("ERROR" | "TIMEOUT")) => {
                return Err(format!("it ended a completion with {reason}"));
            }
            Some("MAX_TOKENS" | "ERROR_LIMIT") => Some(Finish::Length),
            Some("ERROR_TOXIC") => Some(Finish::ContentFilter),
            Some(_) => Some(Finish::Stop),
        };
        // What it thought is in parts of another type; a tool's call comes without any.
        let parts = answer.message.content.unwrap_or_default().into_iter();
        let text: String = parts.filter(|part| part.kind == "text").filter_map(|part| part.text).collect();
        // What it read and wrote, which is more than it bills for.
        let usage = answer.usage.and_then(|usage| usage.tokens.or(usage.billed_units));
        let choice = ChatChoice { content: Some(Literal::of(&text)), finish, ..ChatChoice::default() };
        let usage = usage.map(|tokens| tokens.usage());
        Ok(ChatReply { id: answer.id, choices: vec![choice], usage, ..ChatReply::default() })
    }
}

/// `base`, which may end in a slash or already in the API's version.
pub(super) fn root(base: &str) -> &str {
    let base = super::root(base);
    base.strip_suffix("/v2").unwrap_or(base)
}

#[derive(Deserialize)]
struct ChatAnswer {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
    message: Message,
    #[serde(default)]
    usage: Option<Billed>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<Vec<Part>>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct Billed {
    #[serde(default)]
    tokens: Option<Tokens>,
    #[serde(default)]
    billed_units: Option<Tokens>,
}

/// Counts, which its schema has as any number.
#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    input_tokens: Option<f64>,
    #[serde(default)]
    output_tokens: Option<f64>,
}

impl Tokens {
    fn usage(&self) -> Usage {
        Usage::of(whole(self.input_tokens.unwrap_or(0.0)), whole(self.output_tokens.unwrap_or(0.0)))
    }
}
