//! The answer of `generateContent`: <https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse>

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::grounding::Grounding;
use super::logprobs::LogprobsResult;
use crate::chat::{ChatChoice, ChatReply, Finish, ReasoningDetail, ToolCall, Usage};
use crate::literal::Literal;

/// Most letters of an answer's id that the ids of its calls have: with the rest they are no longer than any API takes.
const MOST_OF_ID: usize = 40;

/// Reads the answer.
///
/// # Errors
/// What is wrong with it.
pub(in crate::dialect) fn read(answer: &str) -> Result<ChatReply, String> {
    let answer: GeneratedContent<'_> =
        serde_json::from_str(answer).map_err(|_| "its answer is no generated content".to_owned())?;
    let blocked = answer.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some());
    let mut ids = Ids::new(answer.response_id.as_deref());
    let choices = match answer.candidates {
        Some(candidates) if !candidates.is_empty() => {
            candidates.into_iter().map(|candidate| candidate.read(&mut ids)).collect::<Result<_, _>>()?
        }
        Some(_) | None if blocked => {
            let content = Some(Literal::of(""));
            vec![ChatChoice { content, finish: Some(Finish::ContentFilter), ..ChatChoice::default() }]
        }
        Some(_) | None => return Err("its answer has no candidates".to_owned()),
    };
    let usage = answer.usage_metadata.map(UsageMetadata::usage);
    Ok(ChatReply { id: answer.response_id, created: None, model: answer.model_version, choices, usage })
}

/// Makes ids for calls that have none: the same for the same answer, and no others' in a conversation.
struct Ids {
    prefix: String,
    next: usize,
}

impl Ids {
    fn new(answer: Option<&str>) -> Self {
        let known = answer.unwrap_or_default().chars();
        let known: String =
            known.filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(MOST_OF_ID).collect();
        let prefix = if known.is_empty() { format!("{:016x}", fastrand::u64(..)) } else { known };
        Self { prefix, next: 0 }
    }

    fn make(&mut self) -> Literal<'static> {
        let id = Literal::of(&format!("call_{}_{}", self.prefix, self.next));
        self.next += 1;
        id
    }
}

impl Candidate<'_> {
    fn read(self, ids: &mut Ids) -> Result<ChatChoice, String> {
        let parts = self.content.and_then(|content| content.parts).unwrap_or_default();
        let mut choice = ChatChoice::default();
        let mut texts = Vec::new();
        // By the place of their part, for what is cited.
        let mut spoken = Vec::with_capacity(parts.len());
        for part in parts {
            let said = part.text.as_ref().filter(|_| !part.thought);
            spoken.push(said.map(|text| text.decode().into_owned()));
            if part.inline_data.is_some() {
                return Err("its answer has media, which chat has no place for".to_owned());
            }
            if let Some(call) = part.function_call {
                choice.tool_calls.push(call.read(part.thought_signature, ids));
                continue;
            }
            match part.text {
                Some(text) if part.thought => {
                    choice.reasoning.push(ReasoningDetail::Text { text: text.into_owned(), signature: None });
                }
                Some(text) => {
                    choice.extra_content = part.thought_signature.map(extra_content).or(choice.extra_content);
                    texts.push(text);
                }
                None => {}
            }
        }
        let content = Literal::concat(&texts);
        choice.finish =
            finish(self.finish_reason.as_deref(), !content.is_empty(), !choice.tool_calls.is_empty())?;
        choice.content = (!content.is_empty() || choice.tool_calls.is_empty()).then_some(content);
        choice.annotations =
            self.grounding_metadata.map(|grounding| grounding.annotations(&spoken)).unwrap_or_default();
        choice.logprobs = self.logprobs_result.map(|result| result.write());
        Ok(choice)
    }
}

/// <https://ai.google.dev/api/generate-content#FinishReason>
fn finish(reason: Option<&str>, has_text: bool, has_calls: bool) -> Result<Option<Finish>, String> {
    Ok(Some(match reason {
        None => return Ok(None),
        Some("STOP") if has_calls => Finish::ToolCalls,
        Some("STOP") => Finish::Stop,
        Some("MAX_TOKENS") => Finish::Length,
        Some(
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "LANGUAGE"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION",
        ) => Finish::ContentFilter,
        Some(
            reason @ ("MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MISSING_THOUGHT_SIGNATURE"
            | "MALFORMED_RESPONSE"),
        ) => return Err(format!("it ended a completion with {reason}")),
        // OTHER, or what comes yet: what was written is worth keeping.
        Some(_) if has_calls => Finish::ToolCalls,
        Some(_) if has_text => Finish::Stop,
        Some(reason) => return Err(format!("it ended a completion with {reason}")),
    }))
}

/// As Google's own API in OpenAI's form writes it.
fn extra_content(signature: Literal<'_>) -> String {
    format!("{{\"google\":{{\"thought_signature\":{}}}}}", signature.as_json())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeneratedContent<'a> {
    #[serde(borrow, default)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(default)]
    prompt_feedback: Option<PromptFeedback>,
    #[serde(default)]
    usage_metadata: Option<UsageMetadata>,
    #[serde(default)]
    model_version: Option<String>,
    #[serde(default)]
    response_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    grounding_metadata: Option<Grounding<'a>>,
    #[serde(borrow, default)]
    logprobs_result: Option<LogprobsResult<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Literal<'a>>,
    #[serde(default)]
    thought: bool,
    #[serde(borrow, default)]
    thought_signature: Option<Literal<'a>>,
    #[serde(borrow, default)]
    function_call: Option<FunctionCall<'a>>,
    #[serde(default)]
    inline_data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow, default)]
    id: Option<Literal<'a>>,
    #[serde(borrow)]
    name: Literal<'a>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

impl FunctionCall<'_> {
    fn read(self, signature: Option<Literal<'_>>, ids: &mut Ids) -> ToolCall<'static> {
        let id = self.id.filter(|id| !id.is_empty()).map(Literal::into_owned);
        ToolCall {
            id: id.unwrap_or_else(|| ids.make()),
            name: self.name.into_owned(),
            arguments: Literal::of(self.args.map_or("{}", RawValue::get)),
            extra_content: signature.map(extra_content).map(Cow::Owned),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    #[serde(default)]
    block_reason: Option<String>,
}

/// <https://ai.google.dev/api/generate-content#UsageMetadata>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialect) struct UsageMetadata {
    #[serde(default)]
    prompt_token_count: Option<u64>,
    #[serde(default)]
    tool_use_prompt_token_count: Option<u64>,
    #[serde(default)]
    cached_content_token_count: Option<u64>,
    #[serde(default)]
    candidates_token_count: Option<u64>,
    #[serde(default)]
    thoughts_token_count: Option<u64>,
}

impl UsageMetadata {
    /// What it thought is billed as what it wrote, and OpenAI counts it there, too.
    pub(in crate::dialect) fn usage(self) -> Usage {
        let add = |a: Option<u64>, b: Option<u64>| a.unwrap_or(0).saturating_add(b.unwrap_or(0));
        Usage {
            cached_tokens: self.cached_content_token_count,
            reasoning_tokens: self.thoughts_token_count,
            ..Usage::of(
                add(self.prompt_token_count, self.tool_use_prompt_token_count),
                add(self.candidates_token_count, self.thoughts_token_count),
            )
        }
    }
}
