//! Google's Gemini API.
//!
//! - Requests and answers: <https://ai.google.dev/api/generate-content>
//! - Errors: <https://ai.google.dev/gemini-api/docs/troubleshooting>
//!
//! There is no `n` that every model takes. A prompt that is blocked is answered with 200 and no candidate: that is an
//! empty text that ends with `content_filter`, OpenAI's word for what was withheld. It costs what the usage says, and
//! the other prompts of the request keep their answers.

use std::time::Duration;

use hermod_types::{ErrorDetail, RawObject};
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Ask, Dialect, Outgoing, Unsendable, path_segment, root, secret_header};
use crate::chat::{Chat, ChatChoice, ChatReply, ChatRequest, Finish, Usage};
use crate::error_form::ErrorForm;
use crate::literal::Literal;
use crate::openai;
use crate::request_body::RequestBody;

const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

#[derive(Debug)]
pub(super) struct Gemini;

impl ErrorForm for Gemini {
    fn error(&self, answer: &str) -> Option<ErrorDetail> {
        error(answer)
    }

    fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        self::status(status, error)
    }

    fn wait(&self, answer: &str) -> Option<Duration> {
        wait(answer)
    }
}

impl Dialect for Gemini {
    fn chat(&self) -> Option<&dyn Chat> {
        Some(self)
    }
}

impl Chat for Gemini {
    fn request(&self, ask: &Ask<'_>, chat: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
        let base = root(ask.base);
        let base = base.strip_suffix("/v1beta").unwrap_or(base);
        let (kind, model) = match ask.model.split_once('/') {
            Some((kind @ ("models" | "tunedModels"), model)) => (kind, model),
            Some(_) | None => ("models", ask.model),
        };
        let url = format!("{base}/v1beta/{kind}/{}:generateContent", path_segment(model)?);
        let mut outgoing = Outgoing::new(&url, body(chat))?;
        if let Some(key) = ask.key {
            api_key(&mut outgoing.headers, key)?;
        }
        Ok(outgoing)
    }

    fn read(&self, answer: &str) -> Result<ChatReply, String> {
        read(answer)
    }
}

/// Shows the key in a header: in the address, where it may be as well, proxies would log it.
pub(super) fn api_key(headers: &mut HeaderMap, key: &SecretString) -> Result<(), Unsendable> {
    secret_header(headers, API_KEY, key.expose_secret())
}

/// The request of `generateContent`.
pub(super) fn body(chat: &ChatRequest<'_>) -> String {
    let mut body = RequestBody::new(&["prompt", "n", "echo", "user"]);
    body.own(
        "contents",
        &format!("[{{\"role\":\"user\",\"parts\":[{{\"text\":{}}}]}}]", chat.text().as_json()),
    );
    let mut config = RequestBody::nested();
    let mut clients: Option<RawObject<'_>> = None;
    for (name, value) in &chat.members {
        match name.as_ref() {
            "temperature" => config.own("temperature", value),
            "top_p" => config.own("topP", value),
            "top_k" => config.own("topK", value),
            "frequency_penalty" => config.own("frequencyPenalty", value),
            "presence_penalty" => config.own("presencePenalty", value),
            // It is 32 bits wide there, and promises nothing: a wider one is left out.
            "seed" if value.parse::<i32>().is_err() => {}
            "seed" => config.own("seed", value),
            // The client's own, in Google's words.
            "generationConfig" => clients = serde_json::from_str(value).ok(),
            _ => body.client(name, value),
        }
    }
    if let Some(most) = chat.max_tokens {
        config.own("maxOutputTokens", most);
    }
    if let Some(stop) = chat.stop_list() {
        config.own("stopSequences", &stop);
    }
    for (name, value) in clients.iter().flat_map(RawObject::members) {
        config.client(name, value.get());
    }
    if !config.is_empty() {
        body.own("generationConfig", &config.finish());
    }
    body.finish()
}

/// Reads the answer of `generateContent`.
pub(super) fn read(answer: &str) -> Result<ChatReply, String> {
    let answer: GeneratedContent =
        serde_json::from_str(answer).map_err(|_| "its answer is no generated content".to_owned())?;
    let blocked = answer.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some());
    let choices = match answer.candidates {
        Some(candidates) if !candidates.is_empty() => {
            candidates.into_iter().map(choice).collect::<Result<_, _>>()?
        }
        Some(_) | None if blocked => {
            vec![said("", Some(Finish::ContentFilter))]
        }
        Some(_) | None => return Err("its answer has no candidates".to_owned()),
    };
    let usage = answer.usage_metadata.map(|usage| {
        // What it thought is billed as what it wrote, and OpenAI counts it there, too.
        let read = usage.prompt_token_count.unwrap_or(0) + usage.tool_use_prompt_token_count.unwrap_or(0);
        let wrote = usage.candidates_token_count.unwrap_or(0) + usage.thoughts_token_count.unwrap_or(0);
        Usage::of(read, wrote)
    });
    Ok(ChatReply { id: answer.response_id, created: None, model: answer.model_version, choices, usage })
}

fn said(text: &str, finish: Option<Finish>) -> ChatChoice {
    ChatChoice { content: Some(Literal::of(text)), finish, ..ChatChoice::default() }
}

fn choice(candidate: Candidate) -> Result<ChatChoice, String> {
    let parts = candidate.content.map(|content| content.parts).unwrap_or_default();
    let text: String = parts.into_iter().filter(|part| !part.thought).filter_map(|part| part.text).collect();
    let finish = match candidate.finish_reason.as_deref() {
        None => None,
        Some("STOP") => Some(Finish::Stop),
        Some("MAX_TOKENS") => Some(Finish::Length),
        Some("SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE") => {
            Some(Finish::ContentFilter)
        }
        // OTHER, a malformed call of a function, or what comes yet: what was written is worth keeping.
        Some(_) if !text.is_empty() => Some(Finish::Stop),
        Some(reason) => return Err(format!("it ended a completion with {reason}")),
    };
    Ok(said(&text, finish))
}

/// Reads an error of Google's APIs: <https://google.aip.dev/193>
pub(super) fn error(answer: &str) -> Option<ErrorDetail> {
    let mut detail = openai::error(answer)?;
    detail.kind = detail.kind.or(parts_of(answer).and_then(|error| error.status));
    Some(detail)
}

/// A key that is wrong is answered with 400, as if the request were at fault, and so are what an account may not do
/// and what a model has not.
pub(super) fn status(status: u16, error: &ErrorDetail) -> u16 {
    let message = error.message.as_str();
    match (status, error.kind.as_deref()) {
        (400, _)
            if ["API key not valid", "API key expired", "API Key not found"]
                .iter()
                .any(|words| message.starts_with(words)) =>
        {
            401
        }
        // Of this country, or without billing.
        (400, Some("FAILED_PRECONDITION")) => 403,
        // "Penalty is not enabled for models/…"
        (400, _) if message.contains("is not enabled for") => 404,
        _ => status,
    }
}

/// The delay of an error's `RetryInfo`, as seconds: `"36.5s"`.
pub(super) fn wait(answer: &str) -> Option<Duration> {
    let delay = parts_of(answer)?.details.into_iter().find_map(|detail| detail.retry_delay)?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn parts_of(answer: &str) -> Option<Error> {
    serde_json::from_str::<Refusal>(answer).ok().map(|body| body.error)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeneratedContent {
    #[serde(default)]
    candidates: Option<Vec<Candidate>>,
    #[serde(default)]
    prompt_feedback: Option<PromptFeedback>,
    #[serde(default)]
    usage_metadata: Option<UsageMetadata>,
    #[serde(default)]
    model_version: Option<String>,
    #[serde(default)]
    response_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    #[serde(default)]
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageMetadata {
    #[serde(default)]
    prompt_token_count: Option<u64>,
    #[serde(default)]
    tool_use_prompt_token_count: Option<u64>,
    #[serde(default)]
    candidates_token_count: Option<u64>,
    #[serde(default)]
    thoughts_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default)]
    retry_delay: Option<String>,
}
