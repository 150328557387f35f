use crate::chat::{ChatChoice, ChatReply, Finish, ReasoningDetail, made_up_id};
use crate::literal::Literal;
use crate::request_body::write_object;

/// The `message` that a reply is. Its content can be sent back as history.
pub(super) fn compose(model: &str, reply: &ChatReply) -> String {
    let theirs = reply.id.as_deref().map(|id| id.strip_prefix("msg_").unwrap_or(id));
    let choice = reply.choices.first();
    // Tokens that are read from a cache, or written to it, are not among the others.
    let usage = reply.usage.unwrap_or_default();
    let (read, written) = (usage.cached_tokens.unwrap_or(0), usage.cache_write_tokens.unwrap_or(0));
    format!(
        "{{\"id\":{},\"type\":\"message\",\"role\":\"assistant\",\"model\":{},\"content\":[{}],\"stop_reason\":\"{}\",\"stop_sequence\":null,\"usage\":{{\"input_tokens\":{},\"cache_creation_input_tokens\":{written},\"cache_read_input_tokens\":{read},\"output_tokens\":{}}}}}",
        Literal::of(&made_up_id("msg_", theirs)).as_json(),
        Literal::of(reply.model.as_deref().unwrap_or(model)).as_json(),
        choice.map(blocks).unwrap_or_default().join(","),
        choice.map_or("end_turn", stop_reason),
        usage.prompt_tokens.saturating_sub(read.saturating_add(written)),
        usage.completion_tokens,
    )
}

/// Some providers stop where they call a tool.
fn stop_reason(choice: &ChatChoice) -> &'static str {
    match choice.finish {
        Some(Finish::Length) => "max_tokens",
        Some(Finish::ContentFilter) => "refusal",
        Some(Finish::ToolCalls) => "tool_use",
        Some(Finish::Stop) | None if choice.tool_calls.is_empty() => "end_turn",
        Some(Finish::Stop) | None => "tool_use",
    }
}

fn blocks(choice: &ChatChoice) -> Vec<String> {
    let thoughts = choice.reasoning.iter().map(|detail| match detail {
        ReasoningDetail::Text { text, signature } => thinking(text, signature.as_ref()),
        ReasoningDetail::Summary(text) => thinking(text, None),
        ReasoningDetail::Encrypted { data, .. } => {
            format!("{{\"type\":\"redacted_thinking\",\"data\":{}}}", data.as_json())
        }
    });
    let texts = [&choice.content, &choice.refusal].into_iter().flatten().filter(|text| !text.is_empty());
    let texts = texts.map(|text| {
        write_object(&[
            ("type", Some("\"text\"")),
            ("text", Some(text.as_json())),
            ("extra_content", choice.extra_content.as_deref()),
        ])
    });
    let calls = choice.tool_calls.iter().map(|call| {
        write_object(&[
            ("type", Some("\"tool_use\"")),
            ("id", Some(call.id.as_json())),
            ("name", Some(call.name.as_json())),
            ("input", Some(&call.arguments_object())),
            ("extra_content", call.extra_content.as_deref()),
        ])
    });
    thoughts.chain(texts).chain(calls).collect()
}

/// A text that nothing vouches for has an empty signature.
fn thinking(text: &Literal<'_>, signature: Option<&Literal<'_>>) -> String {
    let signature = signature.map_or("\"\"", Literal::as_json);
    format!("{{\"type\":\"thinking\",\"thinking\":{},\"signature\":{signature}}}", text.as_json())
}
