use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::request::{ReasoningDetail, ToolCall};
use crate::literal::Literal;

/// What a provider has answered to a call of chat, as every dialect gives it.
#[derive(Debug, Default)]
pub(crate) struct ChatReply {
    pub(crate) id: Option<String>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: Option<u64>,
    /// By the provider's name.
    pub(crate) model: Option<String>,
    pub(crate) choices: Vec<ChatChoice>,
    pub(crate) usage: Option<Usage>,
}

impl ChatReply {
    /// Bytes of what the provider wrote.
    pub(crate) fn bytes(&self) -> usize {
        self.choices.iter().map(ChatChoice::bytes).sum()
    }
}

#[derive(Debug, Default)]
pub(crate) struct ChatChoice {
    /// None where nothing was said, but tools are called.
    pub(crate) content: Option<Literal<'static>>,
    pub(crate) refusal: Option<Literal<'static>>,
    pub(crate) tool_calls: Vec<ToolCall<'static>>,
    pub(crate) reasoning: Vec<ReasoningDetail<'static>>,
    /// Each an annotation in OpenAI's form, as JSON.
    pub(crate) annotations: Vec<String>,
    /// What the provider wants to see again with the message, as JSON.
    pub(crate) extra_content: Option<String>,
    /// In OpenAI's form, as JSON.
    pub(crate) logprobs: Option<String>,
    pub(crate) finish: Option<Finish>,
}

/// Why a choice ended, in OpenAI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finish {
    /// The model had no more to say, or came to a stop sequence.
    Stop,
    /// It was cut off at the limit of tokens.
    Length,
    /// It waits for what the tools give.
    ToolCalls,
    /// It was withheld.
    ContentFilter,
}

impl Finish {
    /// Reads the word of an API in OpenAI's form.
    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "length" | "model_length" | "max_tokens" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            _ => Self::Stop,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// Tokens. Those that a provider does not count are none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Those read from a cache, or written to it, included.
    pub(crate) prompt_tokens: u64,
    /// Those of thinking included.
    pub(crate) completion_tokens: u64,
    pub(crate) total_tokens: u64,
    /// Read from a cache.
    pub(crate) cached_tokens: Option<u64>,
    /// Written to a cache.
    pub(crate) cache_write_tokens: Option<u64>,
    pub(crate) reasoning_tokens: Option<u64>,
}

impl Usage {
    /// From a provider that counts what came in and what went out.
    pub(crate) fn of(prompt_tokens: u64, completion_tokens: u64) -> Self {
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Self { prompt_tokens, completion_tokens, total_tokens, ..Self::default() }
    }

    /// The sum of those that there are.
    pub(crate) fn sum(usages: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        let add = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        usages.flatten().reduce(|sum, next| Self {
            prompt_tokens: sum.prompt_tokens.saturating_add(next.prompt_tokens),
            completion_tokens: sum.completion_tokens.saturating_add(next.completion_tokens),
            total_tokens: sum.total_tokens.saturating_add(next.total_tokens),
            cached_tokens: add(sum.cached_tokens, next.cached_tokens),
            cache_write_tokens: add(sum.cache_write_tokens, next.cache_write_tokens),
            reasoning_tokens: add(sum.reasoning_tokens, next.reasoning_tokens),
        })
    }

    /// As chat's `usage`.
    fn write_chat(&self, out: &mut String) {
        let Self { prompt_tokens, completion_tokens, total_tokens, .. } = self;
        out.push_str(&format!(
            "{{\"prompt_tokens\":{prompt_tokens},\"completion_tokens\":{completion_tokens},\"total_tokens\":{total_tokens}"
        ));
        if self.cached_tokens.is_some() || self.cache_write_tokens.is_some() {
            let cached = self.cached_tokens.unwrap_or(0);
            out.push_str(&format!(",\"prompt_tokens_details\":{{\"cached_tokens\":{cached}"));
            if let Some(written) = self.cache_write_tokens {
                out.push_str(&format!(",\"cache_write_tokens\":{written}"));
            }
            out.push('}');
        }
        if let Some(reasoning) = self.reasoning_tokens {
            out.push_str(&format!(",\"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}"));
        }
        out.push('}');
    }
}

/// The `chat.completion` that the replies make together, their choices numbered through; none if it would be longer than `limit`
/// bytes.
pub(super) fn compose(model: &str, replies: &[ChatReply], limit: usize) -> Option<String> {
    let first = replies.first();
    let id = made_up_id("chatcmpl-", first.and_then(|reply| reply.id.as_deref()));
    let created = first.and_then(|reply| reply.created).unwrap_or_else(now);
    let model = first.and_then(|reply| reply.model.as_deref()).unwrap_or(model);
    let mut out = format!(
        "{{\"id\":{},\"object\":\"chat.completion\",\"created\":{created},\"model\":{},\"choices\":[",
        Literal::of(&id).as_json(),
        Literal::of(model).as_json()
    );
    for (index, choice) in replies.iter().flat_map(|reply| &reply.choices).enumerate() {
        if index > 0 {
            out.push(',');
        }
        choice.write(index, &mut out);
        if out.len() > limit {
            return None;
        }
    }
    out.push(']');
    if let Some(usage) = Usage::sum(replies.iter().map(|reply| reply.usage)) {
        out.push_str(",\"usage\":");
        usage.write_chat(&mut out);
    }
    out.push('}');
    (out.len() <= limit).then_some(out)
}

impl ChatChoice {
    /// Bytes of what a provider wrote.
    fn bytes(&self) -> usize {
        let length = |literal: &Option<Literal<'_>>| literal.as_ref().map_or(0, |text| text.as_json().len());
        let calls = self.tool_calls.iter().map(|call| call.arguments.as_json().len() + 64);
        let thoughts = self.reasoning.iter().map(|detail| match detail {
            ReasoningDetail::Text { text, .. } | ReasoningDetail::Summary(text) => text.as_json().len(),
            ReasoningDetail::Encrypted { data, .. } => data.as_json().len(),
        });
        length(&self.content) + length(&self.refusal) + calls.sum::<usize>() + thoughts.sum::<usize>()
    }

    /// As one of chat's `choices`.
    fn write(&self, index: usize, out: &mut String) {
        let or_null = |literal: &Option<Literal<'_>>| {
            literal.as_ref().map_or_else(|| "null".to_owned(), |text| text.as_json().to_owned())
        };
        out.push_str(&format!("{{\"index\":{index},\"message\":{{\"role\":\"assistant\",\"content\":"));
        out.push_str(&or_null(&self.content));
        out.push_str(",\"refusal\":");
        out.push_str(&or_null(&self.refusal));
        self.write_reasoning(out);
        write_list(out, "tool_calls", &self.tool_calls, |out, place, call| {
            out.push_str(&format!(
                "{{\"index\":{place},\"id\":{},\"type\":\"function\",\"function\":{{\"name\":{},\"arguments\":{}}}",
                call.id.as_json(),
                call.name.as_json(),
                call.arguments.as_json()
            ));
            if let Some(extra) = &call.extra_content {
                out.push_str(",\"extra_content\":");
                out.push_str(extra);
            }
            out.push('}');
        });
        write_list(out, "annotations", &self.annotations, |out, _, annotation| out.push_str(annotation));
        if let Some(extra) = &self.extra_content {
            out.push_str(&format!(",\"extra_content\":{extra}"));
        }
        let logprobs = self.logprobs.as_deref().unwrap_or("null");
        let finish =
            self.finish.map_or_else(|| "null".to_owned(), |finish| format!("\"{}\"", finish.as_str()));
        out.push_str(&format!("}},\"logprobs\":{logprobs},\"finish_reason\":{finish}}}"));
    }

    /// `reasoning` and `reasoning_content` are the same text by two names, `OpenRouter`'s and `DeepSeek`'s.
    fn write_reasoning(&self, out: &mut String) {
        if self.reasoning.is_empty() {
            return;
        }
        let texts = self.reasoning.iter().filter_map(|detail| match detail {
            ReasoningDetail::Text { text, .. } | ReasoningDetail::Summary(text) => Some(text),
            ReasoningDetail::Encrypted { .. } => None,
        });
        let all = Literal::concat(texts);
        if !all.is_empty() {
            out.push_str(&format!(",\"reasoning\":{0},\"reasoning_content\":{0}", all.as_json()));
        }
        write_list(out, "reasoning_details", &self.reasoning, |out, place, detail| {
            let optional = |out: &mut String, name: &str, value: &Option<Literal<'_>>| {
                if let Some(value) = value {
                    out.push_str(&format!(",\"{name}\":{}", value.as_json()));
                }
            };
            out.push_str(&format!("{{\"index\":{place},\"type\":\"reasoning."));
            match detail {
                ReasoningDetail::Text { text, signature } => {
                    out.push_str(&format!("text\",\"text\":{}", text.as_json()));
                    optional(out, "signature", signature);
                }
                ReasoningDetail::Summary(text) => {
                    out.push_str(&format!("summary\",\"summary\":{}", text.as_json()));
                }
                ReasoningDetail::Encrypted { data, id } => {
                    out.push_str(&format!("encrypted\",\"data\":{}", data.as_json()));
                    optional(out, "id", id);
                }
            }
            out.push('}');
        });
    }
}

/// Adds a member with a list, unless that is empty.
fn write_list<T>(out: &mut String, name: &str, items: &[T], write: impl Fn(&mut String, usize, &T)) {
    if items.is_empty() {
        return;
    }
    out.push_str(&format!(",\"{name}\":["));
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(out, place, item);
    }
    out.push(']');
}

/// A provider's id behind the prefix that tells what it is of; one that we make up where it gives none.
pub(crate) fn made_up_id(prefix: &str, theirs: Option<&str>) -> String {
    let bare = theirs.filter(|id| !id.is_empty()).map(|id| {
        let known = ["chatcmpl-", "cmpl-"].into_iter().find_map(|prefix| id.strip_prefix(prefix));
        Cow::Borrowed(known.unwrap_or(id))
    });
    format!("{prefix}{}", bare.unwrap_or_else(|| Cow::Owned(format!("{:016x}", fastrand::u64(..)))))
}

/// In seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A count or a time that an API may write as any number. What is below 0 is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the fraction is dropped on purpose, and `as` keeps what does not fit at the nearest bound"
)]
pub(crate) const fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_completion_has_openais_shape() {
        let literal = |text| Literal::of(text);
        let choice = ChatChoice {
            tool_calls: vec![ToolCall {
                id: literal("call_1"),
                name: literal("weather"),
                arguments: literal("{\"n\":1e400}"),
                extra_content: None,
            }],
            reasoning: vec![
                ReasoningDetail::Text { text: literal("so"), signature: Some(literal("sig")) },
                ReasoningDetail::Encrypted { data: literal("xyz"), id: None },
            ],
            finish: Some(Finish::ToolCalls),
            ..ChatChoice::default()
        };
        let usage = Usage { cached_tokens: Some(2), reasoning_tokens: Some(1), ..Usage::of(5, 3) };
        let reply = ChatReply {
            id: Some("msg_1".to_owned()),
            created: Some(7),
            choices: vec![choice],
            usage: Some(usage),
            model: None,
        };
        assert_eq!(
            compose("m", &[reply], usize::MAX).unwrap(),
            r#"{"id":"chatcmpl-msg_1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"reasoning":"so","reasoning_content":"so","reasoning_details":[{"index":0,"type":"reasoning.text","text":"so","signature":"sig"},{"index":1,"type":"reasoning.encrypted","data":"xyz"}],"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"n\":1e400}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}"#
        );
    }

    #[test]
    fn what_is_over_the_limit_is_not_put_together() {
        let choice = || ChatChoice { content: Some(Literal::of(&"x".repeat(100))), ..ChatChoice::default() };
        let reply = ChatReply { choices: vec![choice(), choice()], ..ChatReply::default() };
        let whole = compose("m", std::slice::from_ref(&reply), 10_000).unwrap().len();
        assert!(compose("m", std::slice::from_ref(&reply), whole - 1).is_none());
    }
}
