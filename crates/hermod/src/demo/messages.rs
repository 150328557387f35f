use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Say, new_id, words};
use super::request::{Refusal, Request};
use super::tools::{Reply, content_text};

#[derive(Deserialize)]
struct Messages {
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    tool_choice: Value,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
}

/// As chat, in Anthropic's form.
pub(super) fn answer(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let asked: Messages = request.json()?;
    let last = asked.messages.iter().rfind(|message| message.role == "user");
    let last = last.ok_or_else(|| Refusal("no message of a user".to_owned()))?;
    let text = content_text(&last.content);
    let reply = Reply::to(&text, &asked.tools, &asked.tool_choice, &Value::Null, say);
    let (block, stop_reason, output_tokens) = match &reply {
        Reply::Text(text) => (json!({"type": "text", "text": text}), "end_turn", words(text)),
        Reply::Call { id, name, arguments } => {
            let input: Value = serde_json::from_str(arguments)?;
            (json!({"type": "tool_use", "id": id, "name": name, "input": input}), "tool_use", 1)
        }
    };
    Answer::json(&json!({
        "id": new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [block],
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {"input_tokens": words(&text), "output_tokens": output_tokens},
    }))
}
