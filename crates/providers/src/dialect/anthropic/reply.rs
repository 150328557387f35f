//! Anthropic's message as a chat reply: <https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons>

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::turns::CLAUDE_REASONING;
use crate::chat::{ChatChoice, ChatReply, Finish, ReasoningDetail, ToolCall, Usage};
use crate::literal::Literal;
use crate::request_body::write_object;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(borrow, default)]
    stop_details: Option<StopDetails<'a>>,
    #[serde(default)]
    usage: Option<MessageUsage>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
    #[serde(borrow, default)]
    citations: Option<Vec<Citation<'a>>>,
    #[serde(borrow, default)]
    thinking: Option<Literal<'a>>,
    #[serde(borrow, default)]
    signature: Option<Literal<'a>>,
    #[serde(borrow, default)]
    data: Option<Literal<'a>>,
    #[serde(borrow, default)]
    id: Option<Literal<'a>>,
    #[serde(borrow, default)]
    name: Option<Literal<'a>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Citation<'a> {
    #[serde(borrow, default)]
    url: Option<Literal<'a>>,
    #[serde(borrow, default)]
    title: Option<Literal<'a>>,
}

/// Why it has refused.
#[derive(Deserialize)]
struct StopDetails<'a> {
    #[serde(borrow, default)]
    explanation: Option<Literal<'a>>,
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

impl MessageUsage {
    fn usage(self) -> Usage {
        let cached = |tokens: Option<u64>| tokens.unwrap_or(0);
        let prompt = self
            .input_tokens
            .saturating_add(cached(self.cache_creation_input_tokens))
            .saturating_add(cached(self.cache_read_input_tokens));
        Usage {
            cached_tokens: self.cache_read_input_tokens,
            cache_write_tokens: self.cache_creation_input_tokens,
            ..Usage::of(prompt, self.output_tokens)
        }
    }
}

/// # Errors
/// If it is no message.
pub(super) fn read(answer: &str) -> Result<ChatReply, String> {
    let message: Message<'_> =
        serde_json::from_str(answer).map_err(|_| "its answer is not a message".to_owned())?;
    let mut choice = ChatChoice { reasoning_format: Some(CLAUDE_REASONING), ..ChatChoice::default() };
    let mut texts = Vec::new();
    // Characters of the texts so far, which only citations ask for.
    let has_citations = message.content.iter().any(|block| block.citations.is_some());
    let mut characters = 0;
    for block in message.content {
        match block.kind.as_ref() {
            "text" => {
                let text = block.text.unwrap_or_else(|| Literal::of(""));
                if has_citations {
                    let end = characters + text.decode().chars().count();
                    cite(&mut choice.annotations, characters..end, block.citations.unwrap_or_default());
                    characters = end;
                }
                texts.push(text);
            }
            "thinking" => {
                let text = block.thinking.unwrap_or_else(|| Literal::of("")).into_owned();
                let signature = block.signature.map(Literal::into_owned);
                choice.reasoning.push(ReasoningDetail::Text { text, signature });
            }
            "redacted_thinking" => {
                let data = block.data.map(Literal::into_owned);
                choice.reasoning.extend(data.map(|data| ReasoningDetail::Encrypted { data, id: None }));
            }
            "tool_use" => {
                let literal =
                    |literal: Option<Literal<'_>>| literal.unwrap_or_else(|| Literal::of("")).into_owned();
                choice.tool_calls.push(ToolCall {
                    id: literal(block.id),
                    name: literal(block.name),
                    arguments: Literal::of(block.input.map_or("{}", RawValue::get)),
                    extra_content: None,
                });
            }
            // What its own tools did.
            _ => {}
        }
    }
    let text = Literal::concat(&texts);
    choice.finish = message.stop_reason.as_deref().map(|reason| match reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::ContentFilter,
        _ => Finish::Stop,
    });
    if message.stop_reason.as_deref() == Some("refusal") {
        let explanation = message.stop_details.and_then(|details| details.explanation);
        let said = (!text.is_empty()).then(|| text.clone());
        choice.refusal = explanation.map(Literal::into_owned).or(said);
    }
    choice.content = (choice.tool_calls.is_empty() || !text.is_empty()).then_some(text);
    let usage = message.usage.map(MessageUsage::usage);
    Ok(ChatReply { id: message.id, created: None, model: message.model, choices: vec![choice], usage })
}

/// Adds the citations of a text that has this place, in characters of all texts.
fn cite(annotations: &mut Vec<String>, place: Range<usize>, citations: Vec<Citation<'_>>) {
    let (start, end) = (place.start.to_string(), place.end.to_string());
    for Citation { url, title } in citations {
        let Some(url) = url else { continue };
        let citation = write_object(&[
            ("start_index", Some(&start)),
            ("end_index", Some(&end)),
            ("url", Some(url.as_json())),
            ("title", title.as_ref().map(Literal::as_json)),
        ]);
        annotations.push(format!("{{\"type\":\"url_citation\",\"url_citation\":{citation}}}"));
    }
}
