//! Calls in the form in which the client wrote them, and the results of those: the provider's own answer, unless that is no JSON.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hermod_types::{BodyForm, Form, Operation, RawObject};
use reqwest::header::CONTENT_TYPE;

use crate::answer::Answer;
use crate::chat::Differences;
use crate::dialect::{Outgoing, Unsendable};
use crate::literal::Literal;
use crate::multipart::Multipart;
use crate::{messages, request_body, responses};

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
            let body = if operation == Operation::Messages {
                messages::without_foreign(body)
            } else if operation == Operation::Responses {
                responses::without_foreign(body)
            } else {
                Cow::Borrowed(body)
            };
            let body = request_body::native(model, &body, |name, value| differences.apply(name, value))
                .ok_or(Unsendable::Unreadable)?;
            Outgoing::new(url, body)
        }
        BodyForm::Multipart => {
            let form = Form::from_json(body).ok_or(Unsendable::Unreadable)?;
            Outgoing::multipart(url, Multipart::native(model, &form))
        }
    }
}

/// The result that an answer is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn result(operation: Operation, body: &str, answer: Answer) -> Result<String, String> {
    match operation {
        Operation::Speech => speech(body, &answer),
        Operation::Transcription if is_plain(body, &answer) => {
            if content_type(&answer).is_some_and(|kind| kind == "text/html") {
                return Err("its answer is a web page".to_owned());
            }
            Ok(format!("{{\"text\":{}}}", Literal::of(answer.text()?).as_json()))
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
        | Operation::Messages => {
            check(operation, answer.text()?)?;
            answer.into_text()
        }
    }
}

/// Whether the answer to a transcription is a text and not JSON: as it was asked for, unless the server has taken no notice of that.
fn is_plain(body: &str, answer: &Answer) -> bool {
    let form = Form::from_json(body);
    let format = form.as_ref().and_then(|form| form.value("response_format"));
    matches!(format, Some("text" | "srt" | "vtt")) && !content_type(answer).is_some_and(|kind| is_json(&kind))
}

/// Refuses an answer without what the operation is for.
fn check(operation: Operation, answer: &str) -> Result<(), String> {
    let object: RawObject<'_> =
        serde_json::from_str(answer).map_err(|_| "its answer is not a JSON object".to_owned())?;
    let value = |name| object.get(name).map(|value| value.get()).filter(|value| *value != "null");
    let list = |name, may_be_empty| {
        let found = value(name).and_then(|found| found.strip_prefix('['));
        let is_there = found.is_some_and(|found| may_be_empty || !found.trim_ascii_start().starts_with(']'));
        if is_there { Ok(()) } else { Err(format!("its answer has no {name}")) }
    };
    match operation {
        Operation::TextCompletion => list("choices", true),
        Operation::ChatCompletion => {
            list("choices", false)?;
            // Few have such a word at all, and the others are not read again.
            let is_failed = answer.contains("\"error\"") && value("choices").is_some_and(has_failed);
            if is_failed { Err("it ended a completion with an error".to_owned()) } else { Ok(()) }
        }
        Operation::Responses => match value("status") {
            Some("\"failed\"") => Err("it ended the response with a failure".to_owned()),
            Some("\"cancelled\"") => Err("it cancelled the response".to_owned()),
            Some("\"queued\"" | "\"in_progress\"") => Err("it has not finished the response".to_owned()),
            Some(_) | None => list("output", true),
        },
        Operation::Embedding
        | Operation::ImageGeneration
        | Operation::ImageEdit
        | Operation::ImageVariation => list("data", false),
        Operation::Rerank => list("results", true),
        Operation::Ocr => list("pages", true),
        Operation::Transcription => match value("text").or(value("segments")) {
            Some(_) => Ok(()),
            None => Err("its answer has no text".to_owned()),
        },
        Operation::Messages => list("content", true),
        Operation::Speech => Ok(()),
    }
}

/// Whether one of the `choices` ended with an error, as `OpenRouter` has it: <https://openrouter.ai/docs/api-reference/errors>
fn has_failed(choices: &str) -> bool {
    let choices: Vec<RawObject<'_>> = serde_json::from_str(choices).unwrap_or_default();
    choices.iter().any(|choice| choice.get("finish_reason").is_some_and(|reason| reason.get() == "\"error\""))
}

/// The media type of an answer, without parameters, in lower case.
fn content_type(answer: &Answer) -> Option<String> {
    let value = answer.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

fn is_json(content_type: &str) -> bool {
    content_type == "application/json" || content_type.ends_with("+json")
}

/// The audio that an answer is.
///
/// # Errors
/// If it is none.
pub(crate) fn audio_of(answer: &Answer) -> Result<&[u8], String> {
    let is_text = content_type(answer).is_some_and(|kind| is_json(&kind) || kind.starts_with("text/"));
    // What is audio and calls itself something else is taken; what is JSON or a page is none, whatever it calls itself.
    let is_told = |text: &str| {
        let text = text.trim_ascii_start();
        let begins =
            |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
        begins("<!doctype") || begins("<html") || serde_json::from_str::<RawObject<'_>>(text).is_ok()
    };
    if is_text || answer.text().is_ok_and(is_told) {
        return Err("its answer is not audio".to_owned());
    }
    match answer.bytes() {
        [] => Err("its answer is empty".to_owned()),
        audio => Ok(audio),
    }
}

fn speech(body: &str, answer: &Answer) -> Result<String, String> {
    let audio = audio_of(answer)?;
    let request: RawObject<'_> =
        serde_json::from_str(body).map_err(|_| "the request is unreadable".to_owned())?;
    let kind = content_type(answer).filter(|kind| kind.starts_with("audio/"));
    // Not every server has `mp3` as its default.
    let format = request.get("response_format").and_then(|format| Literal::from_json(format.get()));
    let format = format.map(|format| format.decode().into_owned());
    let format = format.or_else(|| kind.as_deref().and_then(format_of).map(str::to_owned));
    let format = format.unwrap_or_else(|| "mp3".to_owned());
    let kind = kind.unwrap_or_else(|| media_type(&format).to_owned());
    Ok(audio_result(audio, &format, &kind, None))
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

/// OpenAI's names for audio formats, each with its media type and what else that is called.
const FORMATS: [(&str, &str, &[&str]); 6] = [
    ("mp3", "audio/mpeg", &["audio/mp3"]),
    ("opus", "audio/ogg", &["audio/opus"]),
    ("aac", "audio/aac", &[]),
    ("flac", "audio/flac", &["audio/x-flac"]),
    ("wav", "audio/wav", &["audio/x-wav", "audio/wave", "audio/vnd.wave"]),
    ("pcm", "audio/pcm", &["audio/l16"]),
];

/// The media type of a format by OpenAI's name.
pub(crate) fn media_type(format: &str) -> &'static str {
    let known = FORMATS.iter().find(|(name, ..)| *name == format);
    known.map_or("application/octet-stream", |(_, media_type, _)| *media_type)
}

/// OpenAI's name for a media type.
fn format_of(media_type: &str) -> Option<&'static str> {
    let is_it =
        |(_, main, others): &&(&str, &str, &[&str])| *main == media_type || others.contains(&media_type);
    FORMATS.iter().find(is_it).map(|(name, ..)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(operation: Operation, body: &str, kind: &str, answer: &[u8]) -> Result<String, String> {
        result(operation, body, Answer::test(kind, answer))
    }

    fn json(operation: Operation, answer: &str) -> Result<String, String> {
        told(operation, "{}", "application/json", answer.as_bytes())
    }

    fn transcription(format: &str, kind: &str, answer: &str) -> Result<String, String> {
        let form = format!(r#"{{"parts":[{{"name":"response_format","value":"{format}"}}]}}"#);
        told(Operation::Transcription, &form, kind, answer.as_bytes())
    }

    #[test]
    fn an_answer_is_the_result_as_it_came() {
        for (operation, answer) in [
            (Operation::TextCompletion, r#"{"choices":[]}"#),
            (Operation::ChatCompletion, r#"{"choices":[ {"index":0,"x":1e400}],"choices":1}"#),
            (
                Operation::ChatCompletion,
                r#"{"choices":[{"finish_reason":"stop","message":{"content":"error","x":"error"}}]}"#,
            ),
            (Operation::Responses, r#"{"status":"completed","output":[], "temperature":1.0}"#),
            (Operation::Responses, r#"{"status":"incomplete","error":null,"output":[{}]}"#),
            (Operation::Responses, r#"{"output":[]}"#),
            (Operation::Embedding, r#"{"data":[{"embedding":"AACAPw=="}]}"#),
            (Operation::ImageGeneration, r#"{"created":1,"data":[{"url":"https:\/\/x"}]}"#),
            (Operation::ImageEdit, r#"{"data":[{}]}"#),
            (Operation::ImageVariation, r#"{"data":[{}]}"#),
            (Operation::Rerank, r#"{"results":[]}"#),
            (Operation::Ocr, r#"{"pages":[]}"#),
            (Operation::Messages, r#"{"type":"message","content":[]}"#),
            (Operation::Transcription, r#"{"text":""}"#),
            (Operation::Transcription, r#"{"segments":[]}"#),
        ] {
            assert_eq!(json(operation, answer).unwrap(), answer, "{operation}");
        }
    }

    #[test]
    fn an_answer_without_what_was_asked_for_is_a_failure() {
        for (operation, answer, why) in [
            (Operation::ChatCompletion, r#"{"choices":[ ]}"#, "no choices"),
            (Operation::ChatCompletion, r#"{"choices":[{"index":0}"#, "not a JSON object"),
            (Operation::ChatCompletion, r#"{"choices":{}}"#, "no choices"),
            (Operation::ChatCompletion, r#"{"choices":[{},{"finish_reason":"error"}]}"#, "with an error"),
            (Operation::TextCompletion, "{}", "no choices"),
            (Operation::Responses, r#"{"status":"completed"}"#, "no output"),
            (Operation::Responses, r#"{"status":"failed","output":[]}"#, "with a failure"),
            (Operation::Responses, r#"{"status":"cancelled","output":[]}"#, "cancelled"),
            (Operation::Responses, r#"{"status":"queued","output":[]}"#, "not finished"),
            (Operation::Responses, r#"{"status":"in_progress","output":[]}"#, "not finished"),
            (Operation::Embedding, r#"{"data":[]}"#, "no data"),
            (Operation::ImageGeneration, r#"{"data":[]}"#, "no data"),
            (Operation::ImageEdit, r#"{"data":null}"#, "no data"),
            (Operation::ImageVariation, "[]", "not a JSON object"),
            (Operation::Rerank, r#"{"data":[]}"#, "no results"),
            (Operation::Ocr, "{}", "no pages"),
            (Operation::Messages, r#"{"type":"message"}"#, "no content"),
            (Operation::Transcription, r#"{"text":null}"#, "no text"),
            (Operation::Transcription, "hello", "not a JSON object"),
        ] {
            let error = json(operation, answer).unwrap_err();
            assert!(error.contains(why), "{operation}: {answer}: {error}");
        }
    }

    #[test]
    fn a_plain_transcript_is_a_text() {
        let srt = "1\n00:00:00,000 --> 00:00:02,000\nHello \"you\".\n\n";
        for (format, kind) in
            [("text", "text/plain; charset=utf-8"), ("srt", "application/x-subrip"), ("vtt", "")]
        {
            let expected = format!("{{\"text\":{}}}", serde_json::to_string(srt).unwrap());
            assert_eq!(transcription(format, kind, srt).unwrap(), expected, "{format}");
        }
        let json = r#"{"text":"Hello."}"#;
        assert_eq!(
            transcription("text", "application/json", json).unwrap(),
            json,
            "the server knows JSON alone"
        );
        assert_eq!(transcription("verbose_json", "", json).unwrap(), json);
        assert!(transcription("text", "text/html", "<html>busy</html>").is_err());
        assert!(transcription("srt", "application/json", "{}").is_err());
    }

    #[test]
    fn speech_is_audio_in_base64() {
        let speech = |body: &str, kind: &str, answer: &[u8]| told(Operation::Speech, body, kind, answer);
        let said = |format: &str, kind: &str| {
            format!(r#"{{"audio":"/wAB","response_format":"{format}","content_type":"{kind}","usage":null}}"#)
        };
        let audio = &[0xff, 0, 1];
        for (body, kind, expected) in [
            ("{}", "audio/mpeg", said("mp3", "audio/mpeg")),
            ("{}", "Audio/X-WAV; rate=24000", said("wav", "audio/x-wav")),
            ("{}", "application/octet-stream", said("mp3", "audio/mpeg")),
            ("{}", "", said("mp3", "audio/mpeg")),
            (r#"{"response_format":"opus"}"#, "application/octet-stream", said("opus", "audio/ogg")),
            (r#"{"response_format":"raw"}"#, "", said("raw", "application/octet-stream")),
            (r#"{"response_format":"flac"}"#, "audio/flac", said("flac", "audio/flac")),
        ] {
            assert_eq!(speech(body, kind, audio).unwrap(), expected, "{body} {kind}");
        }
        for (kind, answer) in [
            ("application/json", "{}"),
            ("application/problem+json", "{}"),
            ("text/html; charset=utf-8", "<html>"),
            ("audio/mpeg", r#" {"message":"no"}"#),
            ("audio/mpeg", ""),
            ("", "\n<!DOCTYPE html><html>busy</html>"),
            ("application/octet-stream", "<HTML>"),
        ] {
            assert!(speech("{}", kind, answer.as_bytes()).is_err(), "{kind}: {answer}");
        }
    }
}
