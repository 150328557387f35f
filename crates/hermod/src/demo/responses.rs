use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Say, created, new_id, words};
use super::request::{Refusal, Request};
use super::tools::{Reply, content_text};

#[derive(Deserialize)]
struct CreateResponse {
    input: Value,
    #[serde(default)]
    instructions: Value,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    text: Value,
}

/// As chat, in the form of a Response.
pub(super) fn answer(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let create: CreateResponse = request.json()?;
    let items = match create.input.as_array() {
        Some(items) => items.iter().map(Item::read).collect(),
        None => vec![Item { text: content_text(&create.input), is_asking: true }],
    };
    let last = items.iter().rfind(|item| item.is_asking);
    let last = last.ok_or_else(|| Refusal("no input of a user".to_owned()))?;
    let reply = Reply::to(&last.text, &create.tools, &create.tool_choice, &create.text["format"], say);
    let (output, output_tokens) = match &reply {
        Reply::Text(text) => {
            let content = json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]);
            let message = json!({"id": new_id("msg_"), "type": "message", "status": "completed",
                "role": "assistant", "content": content});
            (message, words(text))
        }
        Reply::Call { id, name, arguments } => {
            let call = json!({"id": new_id("fc_"), "type": "function_call", "status": "completed",
                "call_id": id, "name": name, "arguments": arguments});
            (call, words(arguments))
        }
    };
    let instructions = words(create.instructions.as_str().unwrap_or_default());
    let input_tokens = instructions + items.iter().map(|item| words(&item.text)).sum::<usize>();
    Answer::json(&json!({
        "id": new_id("resp_"),
        "object": "response",
        "created_at": created(),
        "status": "completed",
        "error": null,
        "incomplete_details": null,
        "instructions": create.instructions,
        "metadata": {},
        "model": request.model,
        "output": [output],
        "parallel_tool_calls": true,
        "temperature": 1.0,
        "tool_choice": if create.tool_choice.is_null() { json!("auto") } else { create.tool_choice },
        "tools": create.tools,
        "top_p": 1.0,
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + output_tokens,
        },
    }))
}

struct Item {
    text: String,
    /// Of a user, or what a tool has answered.
    is_asking: bool,
}

impl Item {
    fn read(item: &Value) -> Self {
        if item["type"] == "function_call_output" {
            return Self { text: content_text(&item["output"]), is_asking: true };
        }
        Self { text: content_text(&item["content"]), is_asking: item["role"] == "user" }
    }
}
