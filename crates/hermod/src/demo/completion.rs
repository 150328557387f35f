use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Say, created, new_id, words};
use super::request::{Refusal, Request};

#[derive(Deserialize)]
struct Completion {
    prompt: Value,
    n: Option<usize>,
}

/// The most choices for one prompt, as OpenAI has it.
pub(super) const MOST_CHOICES: usize = 128;

/// For each prompt its own words, `n` times.
pub(super) fn answer(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let completion: Completion = request.json()?;
    let prompts = texts(&completion.prompt);
    let n = completion.n.unwrap_or(1).clamp(1, MOST_CHOICES);
    let said = prompts.iter().flat_map(|prompt| std::iter::repeat_n(say.text(prompt), n));
    let choices: Vec<_> = said
        .enumerate()
        .map(|(index, text)| json!({"text": text, "index": index, "logprobs": null, "finish_reason": "stop"}))
        .collect();
    let prompt_tokens: usize = prompts.iter().map(|prompt| words(prompt)).sum();
    let completion_tokens: usize =
        choices.iter().map(|choice| words(choice["text"].as_str().unwrap_or_default())).sum();
    Answer::json(&json!({
        "id": new_id("cmpl-"),
        "object": "text_completion",
        "created": created(),
        "model": request.model,
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }))
}

/// A text, texts, tokens, or lists of tokens: each as text; tokens as their numbers.
pub(super) fn texts(input: &Value) -> Vec<String> {
    let text = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
    match input.as_array() {
        Some(list) if !list.iter().all(Value::is_number) => list.iter().map(text).collect(),
        Some(_) | None => vec![text(input)],
    }
}
