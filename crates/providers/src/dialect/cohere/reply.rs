//! An answer of chat: <https://docs.cohere.com/v2/reference/chat>

use std::borrow::Cow;

use serde::Deserialize;

use crate::chat::{ChatChoice, ChatReply, Finish, ReasoningDetail, ToolCall, Usage, whole};
use crate::literal::Literal;

/// How its thoughts are marked: no other model is shown them.
pub(super) const FORMAT: &str = "cohere-v2";

/// Reads it; what is wrong with it, if it is no answer.
pub(super) fn read(answer: &str) -> Result<ChatReply, String> {
    let answer: ChatAnswer<'_> =
        serde_json::from_str(answer).map_err(|_| "its answer is not a chat's".to_owned())?;
    let mut choice = answer.message.read();
    choice.finish = match answer.finish_reason.as_deref() {
        None => None,
        Some(reason @ ("ERROR" | "TIMEOUT")) => {
            return Err(format!("it ended a completion with {reason}"));
        }
        Some("MAX_TOKENS" | "ERROR_LIMIT") => Some(Finish::Length),
        Some("ERROR_TOXIC") => Some(Finish::ContentFilter),
        Some(_) if choice.tool_calls.is_empty() => Some(Finish::Stop),
        Some(_) => Some(Finish::ToolCalls),
    };
    let usage = answer.usage.and_then(Billed::usage);
    Ok(ChatReply { id: answer.id, choices: vec![choice], usage, ..ChatReply::default() })
}

#[derive(Deserialize)]
struct ChatAnswer<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: AnswerMessage<'a>,
    #[serde(default)]
    usage: Option<Billed>,
}

#[derive(Deserialize)]
struct AnswerMessage<'a> {
    #[serde(borrow, default)]
    content: Option<Vec<AnswerPart<'a>>>,
    #[serde(borrow, default)]
    tool_plan: Option<Literal<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<AnswerCall<'a>>>,
}

#[derive(Deserialize)]
struct AnswerPart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct AnswerCall<'a> {
    #[serde(borrow)]
    id: Literal<'a>,
    #[serde(borrow)]
    function: Called<'a>,
}

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    name: Literal<'a>,
    #[serde(borrow, default)]
    arguments: Option<Literal<'a>>,
}

impl AnswerMessage<'_> {
    fn read(self) -> ChatChoice {
        let plan = self.tool_plan.filter(|plan| !plan.is_empty());
        let mut reasoning: Vec<_> =
            plan.map(|plan| ReasoningDetail::Summary(plan.into_owned())).into_iter().collect();
        let mut texts = Vec::new();
        for part in self.content.unwrap_or_default() {
            match part.kind.as_ref() {
                "text" => texts.extend(part.text),
                "thinking" => reasoning.extend(
                    part.thinking
                        .map(|text| ReasoningDetail::Text { text: text.into_owned(), signature: None }),
                ),
                _ => {}
            }
        }
        let tool_calls: Vec<_> = self
            .tool_calls
            .into_iter()
            .flatten()
            .map(|call| ToolCall {
                id: call.id.into_owned(),
                name: call.function.name.into_owned(),
                arguments: call.function.arguments.map_or_else(|| Literal::of("{}"), Literal::into_owned),
                extra_content: None,
            })
            .collect();
        let content = (!texts.is_empty() || tool_calls.is_empty()).then(|| Literal::concat(&texts));
        ChatChoice { content, tool_calls, reasoning, reasoning_format: Some(FORMAT), ..ChatChoice::default() }
    }
}

#[derive(Deserialize)]
struct Billed {
    #[serde(default)]
    tokens: Option<Tokens>,
    #[serde(default)]
    billed_units: Option<Tokens>,
    #[serde(default)]
    cached_tokens: Option<f64>,
}

/// Counts, which its schema has as any number.
#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    input_tokens: Option<f64>,
    #[serde(default)]
    output_tokens: Option<f64>,
}

impl Billed {
    /// What it read and wrote, which is more than it bills for.
    fn usage(self) -> Option<Usage> {
        let Tokens { input_tokens, output_tokens } = self.tokens.or(self.billed_units)?;
        let usage = Usage::of(whole(input_tokens.unwrap_or(0.0)), whole(output_tokens.unwrap_or(0.0)));
        Some(Usage { cached_tokens: self.cached_tokens.map(whole), ..usage })
    }
}
