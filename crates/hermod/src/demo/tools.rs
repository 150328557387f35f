//! What chat and responses share: what was said last, and what is answered to it.

use serde_json::{Value, json};

use super::answer::{Say, hash};

/// What a model answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(String),
    Call { id: String, name: String, arguments: String },
}

impl Reply {
    /// The reply to `text`: a call, JSON where `format` demands it, or the text itself.
    ///
    /// `tools` and `choice` may be in the form of chat or of responses.
    pub(super) fn to(text: &str, tools: &[Value], choice: &Value, format: &Value, say: Say) -> Self {
        if let Some(name) = called(text, tools, choice) {
            let arguments = json!({"text": text}).to_string();
            let id = format!("call_{:016x}", hash((name, &arguments)));
            return Self::Call { id, name: name.to_owned(), arguments };
        }
        let wants_json = matches!(format["type"].as_str(), Some("json_object" | "json_schema"));
        let text = say.text(text);
        Self::Text(if wants_json { json!({"echo": text}).to_string() } else { text.into_owned() })
    }
}

/// The tool that is to be called: the one that is named, else the first, where a call is demanded or the text begins with `call `.
fn called<'a>(text: &str, tools: &'a [Value], choice: &'a Value) -> Option<&'a str> {
    if let Some(named) = function_name(choice) {
        return Some(named);
    }
    let demanded = match choice.as_str() {
        Some("none") => false,
        Some("required" | "any") => true,
        Some(_) | None => text.starts_with("call "),
    };
    if demanded { tools.iter().find_map(function_name) } else { None }
}

/// Nested under `function` in chat, flat in responses.
fn function_name(tool: &Value) -> Option<&str> {
    tool["function"]["name"].as_str().or_else(|| tool["name"].as_str())
}

/// A message's content as text: the texts of its parts, and how many images it has.
pub(super) fn content_text(content: &Value) -> String {
    let Some(parts) = content.as_array() else { return content.as_str().unwrap_or_default().to_owned() };
    let mut texts: Vec<_> =
        parts.iter().filter_map(|part| part["text"].as_str().map(str::to_owned)).collect();
    let is_image = |part: &&Value| matches!(part["type"].as_str(), Some("image_url" | "input_image"));
    match parts.iter().filter(is_image).count() {
        0 => {}
        1 => texts.push("[1 image]".to_owned()),
        images => texts.push(format!("[{images} images]")),
    }
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_called_on_demand_and_not_otherwise() {
        let chat = [
            json!({"type": "function", "function": {"name": "first"}}),
            json!({"type": "function", "function": {"name": "second"}}),
        ];
        let flat = [json!({"type": "function", "name": "flat"})];
        for (text, tools, choice, name) in [
            ("x", &chat[..], json!("required"), Some("first")),
            ("x", &chat, json!({"type": "function", "function": {"name": "second"}}), Some("second")),
            ("call it", &chat, json!(null), Some("first")),
            ("call it", &chat, json!("none"), None),
            ("call it", &[], json!(null), None),
            ("x", &chat, json!("auto"), None),
            ("x", &flat, json!("required"), Some("flat")),
            ("x", &flat, json!({"type": "function", "name": "flat"}), Some("flat")),
        ] {
            assert_eq!(called(text, tools, &choice), name, "{text} {choice}");
        }
    }

    #[test]
    fn texts_are_joined_and_images_counted() {
        let parts = json!([
            {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "b"},
        ]);
        assert_eq!(content_text(&parts), "a b [1 image]");
        assert_eq!(content_text(&json!("plain")), "plain");
        assert_eq!(content_text(&json!([{"type": "input_image"}, {"type": "input_image"}])), "[2 images]");
    }
}
