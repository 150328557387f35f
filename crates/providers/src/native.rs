//! Calls in the form in which the client wrote them, and the results of those: the provider's own answer, unless that is no JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hermod_types::{BodyForm, Form, Operation, RawObject};
use reqwest::header::CONTENT_TYPE;

use crate::answer::Answer;
use crate::chat::Differences;
use crate::dialect::{Outgoing, Unsendable};
use crate::literal::Literal;
use crate::multipart::Multipart;
use crate::request_body;

/// Writes a request.
pub(crate) fn request(
    operation: Operation,
    url: &str,
    model: &str,
    body: &str,
    differences: Differences,
) -> Result<Outgoing, Unsendable> {
    match operation.form() {
        BodyForm::Json => {
            let body = request_body::native(model, body, |name, value| differences.apply(name, value))
                .ok_or(Unsendable::Unreadable)?;
            Outgoing::new(url, body)
        }
        BodyForm::Multipart => {
            let form = Form::from_json(body).ok_or(Unsendable::Unreadable)?;
            Outgoing::multipart(url, Multipart::native(model, &form))
        }
    }
}

/// The member of an answer that is a list, and whether an empty one is a success.
const fn list_of(operation: Operation) -> Option<(&'static str, bool)> {
    match operation {
        Operation::TextCompletion => Some(("choices", true)),
        Operation::ChatCompletion => Some(("choices", false)),
        Operation::Responses => Some(("output", true)),
        Operation::Embedding => Some(("data", false)),
        Operation::ImageGeneration | Operation::ImageEdit | Operation::ImageVariation => {
            Some(("data", false))
        }
        Operation::Rerank => Some(("results", true)),
        Operation::Ocr => Some(("pages", true)),
        Operation::Messages => Some(("content", true)),
        Operation::Speech | Operation::Transcription => None,
    }
}

/// The result that an answer is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn result(operation: Operation, body: &str, answer: Answer) -> Result<String, String> {
    match operation {
        Operation::Speech => speech(body, &answer),
        Operation::Transcription if is_plain(body) => {
            let text = answer.text()?;
            Ok(format!("{{\"text\":{}}}", Literal::of(text).as_json()))
        }
        Operation::TextCompletion
        | Operation::ChatCompletion
        | Operation::Responses
        | Operation::Embedding
        | Operation::Transcription
        | Operation::ImageGeneration
        | Operation::ImageEdit
        | Operation::ImageVariation
        | Operation::Rerank
        | Operation::Ocr
        | Operation::Messages => object(operation, answer),
    }
}

fn object(operation: Operation, answer: Answer) -> Result<String, String> {
    let object: RawObject<'_> =
        serde_json::from_str(answer.text()?).map_err(|_| "its answer is not a JSON object".to_owned())?;
    let value = |name| object.get(name).map(|value| value.get());
    if let Some((list, may_be_empty)) = list_of(operation) {
        let found = value(list).filter(|found| found.starts_with('['));
        let is_empty = |found: &str| found.trim_start_matches('[').trim_start().starts_with(']');
        if found.is_none_or(|found| !may_be_empty && is_empty(found)) {
            return Err(format!("its answer has no {list}"));
        }
    }
    if operation == Operation::Transcription && value("text").is_none() && value("segments").is_none() {
        return Err("its answer has no text".to_owned());
    }
    if operation == Operation::Responses && matches!(value("status"), Some("\"failed\"" | "\"cancelled\"")) {
        return Err("it ended the response without success".to_owned());
    }
    answer.into_text()
}

/// Whether a transcription is asked for in a format that is not JSON.
fn is_plain(body: &str) -> bool {
    let form = Form::from_json(body);
    let format = form.as_ref().and_then(|form| form.value("response_format"));
    matches!(format, Some("text" | "srt" | "vtt"))
}

fn speech(body: &str, answer: &Answer) -> Result<String, String> {
    let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let bare = content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
    if bare.is_some_and(|kind| kind == "application/json" || kind.starts_with("text/")) {
        return Err("its answer is not audio".to_owned());
    }
    let request: RawObject<'_> =
        serde_json::from_str(body).map_err(|_| "the request is unreadable".to_owned())?;
    let format = request.get("response_format").and_then(|format| Literal::from_json(format.get()));
    let format = format.map_or_else(|| "mp3".to_owned(), |format| format.decode().into_owned());
    let audio = answer.bytes();
    if audio.is_empty() {
        return Err("its answer is empty".to_owned());
    }
    let kind = bare.filter(|kind| kind.starts_with("audio/")).unwrap_or_else(|| media_type(&format));
    Ok(audio_result(audio, &format, kind, None))
}

/// The result of a speech request. `usage` is JSON.
pub(crate) fn audio_result(audio: &[u8], format: &str, content_type: &str, usage: Option<&str>) -> String {
    let mut out = String::with_capacity(audio.len() / 3 * 4 + 256);
    out.push_str("{\"audio\":\"");
    STANDARD.encode_string(audio, &mut out);
    out.push_str(&format!(
        "\",\"response_format\":{},\"content_type\":{},\"usage\":{}}}",
        Literal::of(format).as_json(),
        Literal::of(content_type).as_json(),
        usage.unwrap_or("null")
    ));
    out
}

/// The media type of OpenAI's names for audio formats.
pub(crate) fn media_type(format: &str) -> &'static str {
    match format {
        "opus" => "audio/ogg",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "pcm" => "audio/pcm",
        _ => "audio/mpeg",
    }
}
