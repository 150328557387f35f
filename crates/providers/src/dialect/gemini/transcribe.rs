//! Transcriptions: audio and the wish for its text, as <https://ai.google.dev/gemini-api/docs/audio> has it.
//!
//! There are no times. The audio stands in the request, which may have 100 MB:
//! <https://ai.google.dev/gemini-api/docs/file-input-methods>

use hermod_types::media_type_of;

use super::{Gemini, authorized, read, url};
use crate::answer::Answer;
use crate::chat::Finish;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::literal::Literal;
use crate::payload::{FILE, Upload};
use crate::transcription::{Transcribe, Transcript, TranscriptFormat, TranscriptionRequest};

/// What is asked for; after it stands what the client says of the audio.
const WISH: &str = "Generate a transcript of the speech. Answer with the transcript alone.";

impl Transcribe for Gemini {
    fn request(&self, ask: &Ask<'_>, request: &TranscriptionRequest) -> Result<Outgoing, Unsendable> {
        let refuse = |name: &str| Err(Unsendable::Member(name.to_owned()));
        match request.format {
            TranscriptFormat::Json | TranscriptFormat::Text => {}
            TranscriptFormat::VerboseJson | TranscriptFormat::DiarizedJson => {
                return refuse("response_format");
            }
        }
        let upload = request.upload().ok_or(Unsendable::Unreadable)?;
        let Some(kind) = kind_of(&upload) else { return refuse("file") };
        let mut wish = WISH.to_owned();
        if let Some(language) = request.value("language") {
            wish.push_str(&format!(" The language is {language}."));
        }
        if let Some(prompt) = request.value("prompt") {
            wish.push_str(&format!("\n\n{prompt}"));
        }
        let temperature = request.value("temperature").filter(|text| text.parse::<f64>().is_ok());
        let config = temperature.map_or_else(String::new, |temperature| {
            format!(",\"generationConfig\":{{\"temperature\":{temperature}}}")
        });
        let (wish, kind) = (Literal::of(&wish), Literal::of(&kind));
        let body = format!(
            "{{\"contents\":[{{\"role\":\"user\",\"parts\":[{{\"text\":{}}},{{\"inlineData\":{{\"mimeType\":{},\"data\":{FILE}}}}}]}}]{config}}}",
            wish.as_json(),
            kind.as_json()
        );
        authorized(ask, Outgoing::with_files(&url(ask, "generateContent")?, &body, [&upload])?)
    }

    fn read(&self, answer: &Answer) -> Result<Transcript, String> {
        let reply = read(answer.text()?)?;
        let choice = reply.choices.into_iter().next().ok_or("its answer has no candidates")?;
        match choice.finish {
            Some(Finish::Stop) | None => {}
            Some(finish @ (Finish::Length | Finish::ToolCalls | Finish::ContentFilter)) => {
                return Err(format!("the transcript ended with {}", finish.as_str()));
            }
        }
        let usage = reply.usage.map(|usage| {
            format!(
                "{{\"type\":\"tokens\",\"input_tokens\":{},\"output_tokens\":{},\"total_tokens\":{}}}",
                usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
            )
        });
        let text = choice.content.unwrap_or_else(|| Literal::of(""));
        Ok(Transcript { text, language: None, duration: None, words: Vec::new(), usage })
    }
}

/// By what the client says, else by the file's name.
fn kind_of(upload: &Upload) -> Option<String> {
    let said = upload.content_type.as_deref().map(|kind| kind.split(';').next().unwrap_or_default().trim());
    match said {
        // By this name it is not in Google's list.
        Some("audio/mpeg") => Some("audio/mp3".to_owned()),
        Some(kind) if kind.starts_with("audio/") || kind.starts_with("video/") => Some(kind.to_owned()),
        Some(_) | None => media_type_of(upload.filename.as_deref()?).map(str::to_owned),
    }
}
