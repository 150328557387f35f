//! Cohere, over its chat API.
//!
//! - Requests and answers: <https://docs.cohere.com/v2/reference/chat>
//! - Errors: <https://docs.cohere.com/v2/reference/errors>
//!
//! `top_p` is called `p` there and must be between 0.01 and 0.99. There is no `n`. Temperature and penalties go from 0
//! to 1, and there may be five stop sequences.

use hermod_types::ErrorDetail;
use hermod_types::config::Kind;
use serde::Deserialize;

use super::{Ask, Chat, Outgoing, UnusableKey, post};
use crate::chat::{self, Choice, Finish, Reply, Turn, Usage};

/// The least and the greatest `p`.
const P: (f64, f64) = (0.01, 0.99);

#[derive(Debug)]
pub(super) struct Cohere;

impl Chat for Cohere {
    fn request(&self, ask: &Ask<'_>, turn: &Turn<'_>) -> Result<Outgoing, UnusableKey> {
        let mut body = chat::open_chat(ask.model, turn);
        for (name, value) in turn.members(Kind::Cohere, &["user"]) {
            match name {
                "stop" => chat::push_member(&mut body, "stop_sequences", &chat::stop_list(value.get())),
                // The nearest that can be said: all but a hundredth is what 1 means in effect.
                "top_p" => match value.get().parse::<f64>() {
                    Ok(p) if p < P.0 || p > P.1 => {
                        chat::push_member(&mut body, "p", &p.clamp(P.0, P.1).to_string());
                    }
                    Ok(_) | Err(_) => chat::push_member(&mut body, "p", value.get()),
                },
                _ => chat::push_member(&mut body, name, value.get()),
            }
        }
        body.push('}');
        post(ask, format!("{}/v2/chat", root(ask.base)), body)
    }

    fn read(&self, answer: &str) -> Result<Reply, String> {
        let answer: Answer =
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
        let text = parts.filter(|part| part.kind == "text").filter_map(|part| part.text).collect();
        // What it read and wrote, which is more than it bills for.
        let usage = answer.usage.and_then(|usage| usage.tokens.or(usage.billed_units));
        Ok(Reply {
            id: answer.id,
            choices: vec![Choice { text, finish }],
            usage: usage.map(|tokens| Usage::of(count(tokens.input_tokens), count(tokens.output_tokens))),
            ..Reply::default()
        })
    }

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

/// `base`, which may end in a slash or already in the API's version.
fn root(base: &str) -> &str {
    let base = super::root(base);
    base.strip_suffix("/v2").unwrap_or(base)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
    message: Message,
    #[serde(default)]
    usage: Option<AnswerUsage>,
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
struct AnswerUsage {
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

/// A count as a whole number, by the one conversion that takes any number and loses none silently.
fn count(tokens: Option<f64>) -> u64 {
    let counted = tokens.and_then(|tokens| std::time::Duration::try_from_secs_f64(tokens).ok());
    counted.map_or(0, |counted| counted.as_secs())
}
