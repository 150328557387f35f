use serde::Deserialize;
use serde_json::{Value, json};

/// What the demo provider reads of a request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) model: String,
    prompt: Value,
    n: Option<usize>,
}

/// The most choices for one prompt, as OpenAI has it.
const MOST_CHOICES: usize = 128;

impl Request {
    /// A `text_completion`: for each prompt its own words, `n` times.
    pub(super) fn completion(&self, text: impl Fn(&str) -> String) -> Value {
        let prompts = prompts(&self.prompt);
        let n = self.n.unwrap_or(1).clamp(1, MOST_CHOICES);
        let texts = prompts.iter().flat_map(|prompt| std::iter::repeat_n(text(prompt), n));
        let choices: Vec<_> = texts
            .enumerate()
            .map(|(index, text)| json!({"text": text, "index": index, "logprobs": null, "finish_reason": "stop"}))
            .collect();
        let words = |text: &str| text.split_whitespace().count();
        let prompt_tokens: usize = prompts.iter().map(|prompt| words(prompt)).sum();
        let completion_tokens: usize =
            choices.iter().map(|choice| words(choice["text"].as_str().unwrap_or_default())).sum();
        json!({
            "id": format!("cmpl-{:016x}", fastrand::u64(..)),
            "object": "text_completion",
            "created": std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs(),
            "model": self.model,
            "choices": choices,
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        })
    }
}

/// The prompts as text; tokens as their numbers.
fn prompts(prompt: &Value) -> Vec<String> {
    match prompt.as_array() {
        Some(list) if list.iter().all(Value::is_number) => vec![text_of(prompt)],
        Some(list) => list.iter().map(text_of).collect(),
        None => vec![text_of(prompt)],
    }
}

fn text_of(prompt: &Value) -> String {
    prompt.as_str().map_or_else(|| prompt.to_string(), str::to_owned)
}
