use std::borrow::Cow;

use hermod_types::{ECHOED, RawObject};
use serde::Deserialize;

use crate::chat::{ChatChoice, ChatReply, Finish, ReasoningDetail, Usage, made_up_id, now};
use crate::history::UNKNOWN;
use crate::literal::Literal;
use crate::request_body::write_object;

/// What nothing of chat can have.
const NEITHER: &str = "\"background\":false,\"error\":null,\"previous_response_id\":null,\"store\":false";

/// The members that a response repeats, as JSON.
pub(super) fn echoed<'o>(object: &'o RawObject<'_>) -> impl Iterator<Item = (&'static str, &'o str)> {
    ECHOED.iter().map(|(name, default)| {
        let given = object.get(name).map(|value| value.get()).filter(|value| *value != "null");
        (*name, given.unwrap_or(default))
    })
}

/// The `response` that a reply is: <https://platform.openai.com/docs/api-reference/responses/object>
///
/// `request` is the client's. Nothing of it is kept at a provider, so `store` is false.
pub(super) fn compose(model: &str, reply: &ChatReply, request: &RawObject<'_>) -> String {
    let theirs = reply.id.as_deref().map(|id| id.strip_prefix("msg_").unwrap_or(id));
    let id = made_up_id("resp_", theirs);
    let choice = reply.choices.first();
    let reason = choice.and_then(|choice| choice.finish).and_then(incomplete);
    let status = if reason.is_some() { "incomplete" } else { "completed" };
    let details = reason.map_or(Cow::Borrowed("null"), |why| Cow::Owned(format!("{{\"reason\":\"{why}\"}}")));
    let mut out = format!(
        "{{\"id\":{},\"object\":\"response\",\"created_at\":{},\"status\":\"{status}\",\"incomplete_details\":{details},\"model\":{},{NEITHER},\"output\":[",
        Literal::of(&id).as_json(),
        reply.created.unwrap_or_else(now),
        Literal::of(reply.model.as_deref().unwrap_or(model)).as_json()
    );
    if let Some(choice) = choice {
        let items = Items { id: id.strip_prefix("resp_").unwrap_or_default(), status };
        out.push_str(&items.of(choice).join(","));
    }
    out.push(']');
    for (name, value) in echoed(request) {
        out.push_str(&format!(",\"{name}\":{value}"));
    }
    out.push_str(",\"usage\":");
    out.push_str(&reply.usage.map_or_else(|| "null".to_owned(), usage));
    out.push('}');
    out
}

/// Why a response is not complete, if it is not.
const fn incomplete(finish: Finish) -> Option<&'static str> {
    match finish {
        Finish::Length => Some("max_output_tokens"),
        Finish::ContentFilter => Some("content_filter"),
        Finish::Stop | Finish::ToolCalls => None,
    }
}

/// `OpenAI`'s clients need each of these.
fn usage(usage: Usage) -> String {
    format!(
        "{{\"input_tokens\":{},\"input_tokens_details\":{{\"cached_tokens\":{},\"cache_write_tokens\":{}}},\"output_tokens\":{},\"output_tokens_details\":{{\"reasoning_tokens\":{}}},\"total_tokens\":{}}}",
        usage.prompt_tokens,
        usage.cached_tokens.unwrap_or(0),
        usage.cache_write_tokens.unwrap_or(0),
        usage.completion_tokens,
        usage.reasoning_tokens.unwrap_or(0),
        usage.total_tokens
    )
}

/// The items of a response's `output`. They can be sent as `input` again.
struct Items<'a> {
    /// The response's, without its prefix.
    id: &'a str,
    status: &'static str,
}

impl Items<'_> {
    fn of(&self, choice: &ChatChoice) -> Vec<String> {
        let thoughts = choice
            .reasoning
            .iter()
            .enumerate()
            .map(|(place, detail)| self.reasoning(place, detail, choice.reasoning_format));
        let calls = choice.tool_calls.iter().enumerate().map(|(place, call)| {
            write_object(&[
                ("id", Some(self.id_of("fc", place).as_json())),
                ("type", Some("\"function_call\"")),
                ("status", Some("\"completed\"")),
                ("call_id", Some(call.id.as_json())),
                ("name", Some(call.name.as_json())),
                ("arguments", Some(call.arguments.as_json())),
                ("extra_content", call.extra_content.as_deref()),
            ])
        });
        thoughts.chain(self.message(choice)).chain(calls).collect()
    }

    fn id_of(&self, prefix: &str, place: usize) -> Literal<'static> {
        let number = if place == 0 { String::new() } else { format!("_{place}") };
        Literal::of(&format!("{prefix}_{}{number}", self.id))
    }

    /// What vouches for a text stands beside it, and its summary is never empty. What only the provider can read has none.
    fn reasoning(&self, place: usize, detail: &ReasoningDetail<'_>, format: Option<&str>) -> String {
        let format = format!("\"{}\"", format.unwrap_or(UNKNOWN));
        let summary =
            |text: &Literal<'_>| format!("[{{\"type\":\"summary_text\",\"text\":{}}}]", text.as_json());
        let made_up = self.id_of("rs", place);
        let (id, summary, encrypted) = match detail {
            ReasoningDetail::Text { text, signature } => (None, summary(text), signature.as_ref()),
            ReasoningDetail::Summary(text) => (None, summary(text), None),
            ReasoningDetail::Encrypted { data, id } => (id.as_ref(), "[]".to_owned(), Some(data)),
        };
        write_object(&[
            ("id", Some(id.unwrap_or(&made_up).as_json())),
            ("type", Some("\"reasoning\"")),
            ("summary", Some(&summary)),
            ("encrypted_content", encrypted.map(Literal::as_json)),
            ("reasoning_format", Some(&format)),
        ])
    }

    /// What is said. A choice that has nothing at all says an empty text.
    fn message(&self, choice: &ChatChoice) -> Option<String> {
        let text = choice.content.as_ref().filter(|text| !text.is_empty());
        let is_silent = text.is_none() && choice.refusal.is_none() && choice.extra_content.is_none();
        if is_silent && !(choice.tool_calls.is_empty() && choice.reasoning.is_empty()) {
            return None;
        }
        let empty = Literal::of("");
        let mut content = Vec::new();
        if let Some(text) = text.or(choice.refusal.is_none().then_some(&empty)) {
            let annotations: Vec<_> = choice.annotations.iter().map(|chats| annotation(chats)).collect();
            content.push(format!(
                "{{\"type\":\"output_text\",\"text\":{},\"annotations\":[{}]}}",
                text.as_json(),
                annotations.join(",")
            ));
        }
        if let Some(refusal) = &choice.refusal {
            content.push(format!("{{\"type\":\"refusal\",\"refusal\":{}}}", refusal.as_json()));
        }
        Some(write_object(&[
            ("id", Some(self.id_of("msg", 0).as_json())),
            ("type", Some("\"message\"")),
            ("status", Some(&format!("\"{}\"", self.status))),
            ("role", Some("\"assistant\"")),
            ("content", Some(&format!("[{}]", content.join(",")))),
            ("extra_content", choice.extra_content.as_deref()),
        ]))
    }
}

/// An annotation of chat's, whose members stand in an object that has the name of its type.
fn annotation(chats: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    let nested = || {
        let kind = serde_json::from_str::<Kind<'_>>(chats).ok()?.kind;
        let object: RawObject<'_> = serde_json::from_str(chats).ok()?;
        let inner: RawObject<'_> = serde_json::from_str(object.get(&kind)?.get()).ok()?;
        let mut out = format!("{{\"type\":{}", Literal::of(&kind).as_json());
        inner.write_members(&mut out, |name| name != "type");
        out.push('}');
        Some(out)
    };
    nested().map_or(Cow::Borrowed(chats), Cow::Owned)
}
