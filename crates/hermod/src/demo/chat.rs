use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Say, created, new_id, words};
use super::completion::MOST_CHOICES;
use super::request::{Refusal, Request};
use super::tools::{Reply, content_text};

#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
    n: Option<usize>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    response_format: Value,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
}

/// What the user or a tool said last, or a call, `n` times.
pub(super) fn answer(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let chat: Chat = request.json()?;
    let texts: Vec<_> = chat.messages.iter().map(|message| content_text(&message.content)).collect();
    let last = chat.messages.iter().rposition(|message| matches!(message.role.as_str(), "user" | "tool"));
    let text =
        last.and_then(|last| texts.get(last)).ok_or_else(|| Refusal("no message of a user".to_owned()))?;
    let reply = Reply::to(text, &chat.tools, &chat.tool_choice, &chat.response_format, say);
    let (message, finish_reason, tokens) = match &reply {
        Reply::Text(text) => {
            (json!({"role": "assistant", "content": text, "refusal": null}), "stop", words(text))
        }
        Reply::Call { id, name, arguments } => {
            let call =
                json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
            let message =
                json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [call]});
            (message, "tool_calls", words(arguments))
        }
    };
    let n = chat.n.unwrap_or(1).clamp(1, MOST_CHOICES);
    let choices: Vec<_> = (0..n)
        .map(|index| {
            json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish_reason})
        })
        .collect();
    let prompt_tokens: usize = texts.iter().map(|text| words(text)).sum();
    Answer::json(&json!({
        "id": new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": created(),
        "model": request.model,
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": n * tokens,
            "total_tokens": prompt_tokens + n * tokens,
        },
    }))
}
