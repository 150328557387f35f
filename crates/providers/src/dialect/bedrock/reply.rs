//! Converse's answer as a chat reply.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::turns::BEDROCK_REASONING;
use crate::chat::{ChatChoice, ChatReply, Finish, ReasoningDetail, ToolCall, Usage};
use crate::literal::Literal;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConverseAnswer<'a> {
    #[serde(borrow)]
    output: Output<'a>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<TokenUsage>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

/// One of them is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
    #[serde(borrow, default)]
    tool_use: Option<ToolUse<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<ReasoningContent<'a>>,
    #[serde(borrow, default)]
    citations_content: Option<CitationsContent<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Literal<'a>,
    #[serde(borrow)]
    name: Literal<'a>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningContent<'a> {
    #[serde(borrow, default)]
    reasoning_text: Option<ReasoningText<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct ReasoningText<'a> {
    #[serde(borrow)]
    text: Literal<'a>,
    #[serde(borrow, default)]
    signature: Option<Literal<'a>>,
}

/// A text that has citations.
#[derive(Deserialize)]
struct CitationsContent<'a> {
    #[serde(borrow, default)]
    content: Vec<CitedText<'a>>,
}

#[derive(Deserialize)]
struct CitedText<'a> {
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenUsage {
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_write_input_tokens: Option<u64>,
}

impl TokenUsage {
    fn usage(self) -> Usage {
        let cached = |tokens: Option<u64>| tokens.unwrap_or(0);
        let prompt = self
            .input_tokens
            .saturating_add(cached(self.cache_read_input_tokens))
            .saturating_add(cached(self.cache_write_input_tokens));
        Usage {
            cached_tokens: self.cache_read_input_tokens,
            cache_write_tokens: self.cache_write_input_tokens,
            ..Usage::of(prompt, self.output_tokens)
        }
    }
}

/// # Errors
/// If it has no message, or one that the model did not bring to an end.
pub(super) fn read(answer: &str) -> Result<ChatReply, String> {
    let answer: ConverseAnswer<'_> =
        serde_json::from_str(answer).map_err(|_| "its answer has no message".to_owned())?;
    let mut choice = ChatChoice { reasoning_format: Some(BEDROCK_REASONING), ..ChatChoice::default() };
    let mut texts = Vec::new();
    for block in answer.output.message.content {
        texts.extend(block.text);
        let cited = block.citations_content.map(|cited| cited.content).unwrap_or_default();
        texts.extend(cited.into_iter().filter_map(|content| content.text));
        choice.tool_calls.extend(block.tool_use.map(|call| ToolCall {
            id: call.tool_use_id.into_owned(),
            name: call.name.into_owned(),
            arguments: Literal::of(call.input.map_or("{}", RawValue::get)),
            extra_content: None,
        }));
        let Some(thought) = block.reasoning_content else { continue };
        choice.reasoning.extend(thought.reasoning_text.map(|thought| ReasoningDetail::Text {
            text: thought.text.into_owned(),
            signature: thought.signature.map(Literal::into_owned),
        }));
        let encrypted = thought.redacted_content.map(Literal::into_owned);
        choice.reasoning.extend(encrypted.map(|data| ReasoningDetail::Encrypted { data, id: None }));
    }
    let text = Literal::concat(&texts);
    let is_something = !text.is_empty() || !choice.tool_calls.is_empty();
    choice.finish = match answer.stop_reason.as_deref() {
        None => None,
        Some("end_turn" | "stop_sequence") => Some(Finish::Stop),
        Some("tool_use") => Some(Finish::ToolCalls),
        Some("max_tokens" | "model_context_window_exceeded") => Some(Finish::Length),
        Some("content_filtered" | "guardrail_intervened") => Some(Finish::ContentFilter),
        Some(reason) if reason.starts_with("malformed") || !is_something => {
            return Err(format!("it ended a completion with {reason}"));
        }
        Some(_) => Some(Finish::Stop),
    };
    choice.content = (choice.tool_calls.is_empty() || !text.is_empty()).then_some(text);
    let usage = answer.usage.map(TokenUsage::usage);
    Ok(ChatReply { choices: vec![choice], usage, ..ChatReply::default() })
}
