//! What a model was asked and what it has answered, as the conventions write it: an array of messages, each with a role and parts.
//! Endpoints of media, and parts that are no text, are left out.

use hermod_types::Operation;
use serde_json::{Value, json};

/// Bytes of one text that are told.
const LONGEST_TEXT: usize = 16 * 1024;
/// Messages that are told, the last ones.
const MOST_MESSAGES: usize = 64;

/// What is asked; none where that is no text.
pub(super) fn asked(operation: Operation, body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let messages = match operation {
        Operation::TextCompletion => texts(&body["prompt"]).map(|text| message("user", &[text])).collect(),
        Operation::ChatCompletion | Operation::Messages => {
            let system = texts(&body["system"]).map(|text| message("system", &[text]));
            system.chain(items(&body["messages"]).map(said)).collect()
        }
        Operation::Responses => {
            let system = texts(&body["instructions"]).map(|text| message("system", &[text]));
            let input = &body["input"];
            let text = input.as_str().map(|text| message("user", &[text]));
            system.chain(text).chain(items(input).map(said)).collect()
        }
        Operation::Embedding => texts(&body["input"]).map(|text| message("user", &[text])).collect(),
        Operation::Speech
        | Operation::Transcription
        | Operation::ImageGeneration
        | Operation::ImageEdit
        | Operation::ImageVariation
        | Operation::Rerank
        | Operation::Ocr => Vec::new(),
    };
    write(messages)
}

/// What is answered; none where that is no text.
pub(super) fn answered(operation: Operation, result: &str) -> Option<String> {
    let result: Value = serde_json::from_str(result).ok()?;
    let messages = match operation {
        Operation::TextCompletion => {
            let choices = items(&result["choices"]);
            choices.filter_map(|choice| Some(message("assistant", &[choice["text"].as_str()?]))).collect()
        }
        Operation::ChatCompletion => {
            items(&result["choices"]).map(|choice| said(&choice["message"])).collect()
        }
        Operation::Responses => items(&result["output"]).map(said).collect(),
        Operation::Messages => vec![said(&result)],
        Operation::Embedding
        | Operation::Speech
        | Operation::Transcription
        | Operation::ImageGeneration
        | Operation::ImageEdit
        | Operation::ImageVariation
        | Operation::Rerank
        | Operation::Ocr => Vec::new(),
    };
    write(messages)
}

fn write(mut messages: Vec<Value>) -> Option<String> {
    messages.retain(|message| !message["parts"].as_array().is_none_or(Vec::is_empty));
    messages.drain(..messages.len().saturating_sub(MOST_MESSAGES));
    (!messages.is_empty()).then(|| Value::Array(messages).to_string())
}

/// A message of any of the forms: its content is a text, or parts that have one.
fn said(message_: &Value) -> Value {
    let role = message_["role"].as_str().unwrap_or("assistant");
    let content = &message_["content"];
    let parts = items(content).filter_map(|part| part["text"].as_str());
    let parts: Vec<&str> = content.as_str().into_iter().chain(parts).collect();
    message(role, &parts)
}

fn message(role: &str, texts: &[&str]) -> Value {
    let parts = texts.iter().map(|text| json!({"type": "text", "content": beginning(text)}));
    json!({"role": role, "parts": parts.collect::<Vec<_>>()})
}

/// A text, or those of an array.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let parts = items(value).filter_map(|item| item.as_str().or_else(|| item["text"].as_str()));
    value.as_str().into_iter().chain(parts)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn beginning(text: &str) -> &str {
    let end = (0..=LONGEST_TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: Option<String>) -> Value {
        text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
    }

    fn one(role: &str, text: &str) -> Value {
        json!([{"role": role, "parts": [{"type": "text", "content": text}]}])
    }

    #[test]
    fn texts_of_each_form_are_messages() {
        assert_eq!(parsed(asked(Operation::TextCompletion, r#"{"prompt":["a"]}"#)), one("user", "a"));
        let chat = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}}]}]}"#;
        assert_eq!(parsed(asked(Operation::ChatCompletion, chat)), one("user", "a"));
        assert_eq!(parsed(asked(Operation::Responses, r#"{"input":"a"}"#)), one("user", "a"));
        let messages = r#"{"role":"assistant","content":[{"type":"text","text":"b"}]}"#;
        assert_eq!(parsed(answered(Operation::Messages, messages)), one("assistant", "b"));
        let chat = r#"{"choices":[{"message":{"role":"assistant","content":"b"}}]}"#;
        assert_eq!(parsed(answered(Operation::ChatCompletion, chat)), one("assistant", "b"));
        let response = r#"{"output":[{"type":"reasoning"},{"role":"assistant","content":[{"type":"output_text","text":"b"}]}]}"#;
        assert_eq!(parsed(answered(Operation::Responses, response)), one("assistant", "b"));
        let text = answered(Operation::TextCompletion, r#"{"choices":[{"text":"b"}]}"#);
        assert_eq!(parsed(text), one("assistant", "b"));
        assert_eq!(parsed(asked(Operation::Speech, r#"{"input":"a"}"#)), Value::Null);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let prompts = vec!["ü".repeat(LONGEST_TEXT); MOST_MESSAGES + 1];
        let told = asked(Operation::TextCompletion, &json!({"prompt": prompts}).to_string()).unwrap();
        assert!(told.len() < (LONGEST_TEXT + 100) * MOST_MESSAGES, "{}", told.len());
    }
}
