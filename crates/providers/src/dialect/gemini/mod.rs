//! Google's Gemini API.
//!
//! - Requests and answers: <https://ai.google.dev/api/generate-content>
//! - Errors: <https://ai.google.dev/gemini-api/docs/troubleshooting>
//!
//! There is no `n` that every model takes. A prompt that is blocked is answered with 200 and no candidate: that is an
//! empty text that ends with `content_filter`, OpenAI's word for what was withheld. It costs what the usage says, and
//! the other prompts of the request keep their answers.

mod contents;
mod grounding;
mod logprobs;
mod reply;
mod request;

use std::time::Duration;

use hermod_types::ErrorDetail;
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Ask, Dialect, Outgoing, Unsendable, path_segment, root, secret_header};
use crate::chat::{Chat, ChatReply, ChatRequest};
use crate::error_form::ErrorForm;
use crate::openai;

pub(super) use reply::read;
pub(super) use request::body;

const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Where Gemini's models are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    GeminiApi,
    Vertex,
}

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
        post(ask, "generateContent", body(Host::GeminiApi, ask.model, chat)?)
    }

    fn read(&self, answer: &str) -> Result<ChatReply, String> {
        read(answer)
    }
}

/// A call of one of a model's methods.
fn post(ask: &Ask<'_>, method: &str, body: String) -> Result<Outgoing, Unsendable> {
    let base = root(ask.base);
    let base = base.strip_suffix("/v1beta").unwrap_or(base);
    let (kind, model) = match ask.model.split_once('/') {
        Some((kind @ ("models" | "tunedModels"), model)) => (kind, model),
        Some(_) | None => ("models", ask.model),
    };
    let url = format!("{base}/v1beta/{kind}/{}:{method}", path_segment(model)?);
    let mut outgoing = Outgoing::new(&url, body)?;
    if let Some(key) = ask.key {
        api_key(&mut outgoing.headers, key)?;
    }
    Ok(outgoing)
}

/// The media type of what has such a name, or such an address; none where the ending tells none.
fn media_type(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "xml" => "text/xml",
        "json" => "application/json",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "aac" => "audio/aac",
        "aiff" => "audio/aiff",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "m4a" => "audio/m4a",
        "mp4" => "video/mp4",
        "mpeg" | "mpg" => "video/mpeg",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        _ => return None,
    })
}

/// Shows the key in a header: in the address, where it may be as well, proxies would log it.
pub(super) fn api_key(headers: &mut HeaderMap, key: &SecretString) -> Result<(), Unsendable> {
    secret_header(headers, API_KEY, key.expose_secret())
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
