//! `ElevenLabs`.
//!
//! - Speech: <https://elevenlabs.io/docs/api-reference/text-to-speech/convert>
//! - Transcriptions: <https://elevenlabs.io/docs/api-reference/speech-to-text/convert>
//! - Errors: <https://elevenlabs.io/docs/eleven-api/resources/errors>

use hermod_types::{ErrorDetail, PartContent, RawObject};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, Dialect, Outgoing, Unsendable, below, path_segment, secret_header};
use crate::answer::Answer;
use crate::error_form::ErrorForm;
use crate::literal::Literal;
use crate::multipart::Multipart;
use crate::native::{audio_of, media_type};
use crate::openai;
use crate::request_body::RequestBody;
use crate::speech::{Audio, Speech, SpeechRequest, Voice};
use crate::transcription::{Transcribe, Transcript, TranscriptFormat, TranscriptionRequest, Word};

const API_KEY: HeaderName = HeaderName::from_static("xi-api-key");

/// Members of a speech request that are in its URL.
const IN_QUERY: [&str; 3] = ["enable_logging", "optimize_streaming_latency", "output_format"];

/// Fields of a transcription that are not passed on as they are: those that have another name, what says nothing there, and what only
/// Hermod says.
const READ: [&str; 8] = [
    "language",
    "prompt",
    "response_format",
    "timestamp_granularities[]",
    "chunking_strategy",
    "user",
    "model_id",
    "file",
];

#[derive(Debug)]
pub(super) struct ElevenLabs;

impl ErrorForm for ElevenLabs {
    fn error(&self, answer: &str) -> Option<ErrorDetail> {
        let Ok(Refusal { detail }) = serde_json::from_str(answer) else { return openai::error(answer) };
        let Detail { message, kind, code, status, param } = detail;
        Some(ErrorDetail { message, kind, code: code.or(status), param })
    }

    fn status(&self, status: u16, error: &ErrorDetail) -> u16 {
        match error.code.as_deref() {
            // Its credits are used up: money, not a wrong key.
            Some("quota_exceeded") => 402,
            Some("voice_not_found" | "model_not_found") => 404,
            _ => status,
        }
    }
}

impl Dialect for ElevenLabs {
    fn authorize(&self, ask: &Ask<'_>, headers: &mut HeaderMap) -> Result<(), Unsendable> {
        let Some(key) = ask.key else { return Ok(()) };
        secret_header(headers, API_KEY, key.expose_secret())
    }

    fn speech(&self) -> Option<&dyn Speech> {
        Some(self)
    }

    fn transcribe(&self) -> Option<&dyn Transcribe> {
        Some(self)
    }
}

impl Speech for ElevenLabs {
    fn request(&self, ask: &Ask<'_>, request: &SpeechRequest<'_>) -> Result<Outgoing, Unsendable> {
        let Voice::One(voice) = &request.voice else { return Err(Unsendable::Member("voice".to_owned())) };
        let timed = if is_timed(request) { "/with-timestamps" } else { "" };
        let path = format!(
            "v1/text-to-speech/{}{timed}",
            path_segment(&voice.decode()).map_err(|_| member("voice"))?
        );
        let mut url = Url::parse(&below(ask.base, &path)).map_err(|_| Unsendable::Address)?;
        let mut body = RequestBody::new(&["with_timestamps", "voice_settings"]);
        body.own("text", request.input.as_json());
        body.own("model_id", Literal::of(ask.model).as_json());
        if let Some(settings) = voice_settings(request) {
            body.own("voice_settings", &settings);
        }
        {
            let mut query = url.query_pairs_mut();
            let format = request.members.iter().any(|(name, _)| name == "output_format");
            if !format {
                let format = output_format(&request.format);
                query.append_pair("output_format", format.ok_or_else(|| member("response_format"))?);
            }
            for (name, json) in &request.members {
                if IN_QUERY.contains(&name.as_ref()) {
                    let text = Literal::from_json(json).map(|text| text.decode().into_owned());
                    query.append_pair(name, text.as_deref().unwrap_or(json));
                } else {
                    body.client(name, json);
                }
            }
        }
        let mut outgoing = Outgoing::new(url.as_str(), body.finish())?;
        self.authorize(ask, &mut outgoing.headers)?;
        Ok(outgoing)
    }

    fn read<'a>(&self, request: &SpeechRequest<'_>, answer: &'a Answer) -> Result<Audio<'a>, String> {
        let format = codec(request);
        let content_type = media_type(&format).to_owned();
        if is_timed(request) {
            let unlike = |_| "its answer is not audio with times".to_owned();
            let timed: Timed<'_> = serde_json::from_str(answer.text()?).map_err(unlike)?;
            let members =
                [("alignment", timed.alignment), ("normalized_alignment", timed.normalized_alignment)];
            let members =
                members.into_iter().filter_map(|(name, json)| Some((name, json?.get().to_owned()))).collect();
            let bytes = Audio::from_base64(&timed.audio_base64.decode())?.into();
            return Ok(Audio { bytes, format, content_type, usage: None, members });
        }
        Ok(Audio { bytes: audio_of(answer)?.into(), format, content_type, usage: None, members: Vec::new() })
    }
}

/// Whether the client wants to know when each letter is said.
fn is_timed(request: &SpeechRequest<'_>) -> bool {
    request.members.iter().any(|(name, json)| name == "with_timestamps" && *json == "true")
}

/// The format of the result: that of the client's `output_format`, `pcm_16000`, where there is one.
fn codec(request: &SpeechRequest<'_>) -> String {
    let own = request.members.iter().find(|(name, _)| name == "output_format");
    let own = own.and_then(|(_, json)| Some(Literal::from_json(json)?.decode().into_owned()));
    own.map_or_else(
        || request.format.clone().into_owned(),
        |own| own.split('_').next().unwrap_or_default().to_owned(),
    )
}

/// Codec, sample rate and bit rate of what OpenAI has as a format.
fn output_format(format: &str) -> Option<&'static str> {
    match format {
        "mp3" => Some("mp3_44100_128"),
        "opus" => Some("opus_48000_128"),
        "pcm" => Some("pcm_24000"),
        "wav" => Some("wav_24000"),
        _ => None,
    }
}

/// The client's, with its speed.
fn voice_settings(request: &SpeechRequest<'_>) -> Option<String> {
    let clients = request.members.iter().find(|(name, _)| name == "voice_settings").map(|(_, json)| *json);
    let Some(speed) = request.speed else { return clients.map(str::to_owned) };
    let clients: Option<RawObject<'_>> = clients.and_then(|json| serde_json::from_str(json).ok());
    let mut settings = RequestBody::nested();
    settings.own("speed", speed);
    for (name, value) in clients.iter().flat_map(RawObject::members) {
        settings.client(name, value.get());
    }
    Some(settings.finish())
}

fn member(name: &str) -> Unsendable {
    Unsendable::Member(name.to_owned())
}

impl Transcribe for ElevenLabs {
    fn request(&self, ask: &Ask<'_>, request: &TranscriptionRequest) -> Result<Outgoing, Unsendable> {
        let mut form = Multipart::new();
        form.field("model_id", ask.model);
        if let Some(language) = request.value("language") {
            form.field("language_code", language);
        }
        let is_diarized = request.format == TranscriptFormat::DiarizedJson;
        if is_diarized && request.value("diarize").is_none() {
            form.field("diarize", "true");
        }
        let has_times = is_diarized || request.format == TranscriptFormat::VerboseJson;
        if request.value("timestamps_granularity").is_none() {
            form.field("timestamps_granularity", if has_times { "word" } else { "none" });
        }
        let (file, start) = request.file().ok_or(Unsendable::Unreadable)?;
        for part in request
            .form
            .parts
            .iter()
            .filter(|part| !READ.iter().any(|read| part.name.eq_ignore_ascii_case(read)))
        {
            if matches!(part.content, PartContent::Value(_)) {
                form.part(part, &part.name, 0);
            }
        }
        form.part(file, "file", start);
        let mut outgoing = Outgoing::multipart(&below(ask.base, "v1/speech-to-text"), form)?;
        self.authorize(ask, &mut outgoing.headers)?;
        Ok(outgoing)
    }

    fn read(&self, answer: &Answer) -> Result<Transcript, String> {
        let unlike = |_| "its answer is not a transcript".to_owned();
        let heard: Heard<'_> = serde_json::from_str(answer.text()?).map_err(unlike)?;
        let words = words(&heard.words);
        let duration = heard.audio_duration_secs.map(|seconds| seconds.get().to_owned());
        Ok(Transcript {
            text: heard.text.into_owned(),
            language: heard.language_code.map(Literal::into_owned),
            usage: duration
                .as_ref()
                .map(|seconds| format!("{{\"type\":\"duration\",\"seconds\":{seconds}}}")),
            duration: duration.or_else(|| words.last().map(|word| word.end.clone())),
            words,
        })
    }
}

/// Words and sounds, each with the spaces before it, which have an entry of their own there.
fn words(heard: &[HeardWord<'_>]) -> Vec<Word> {
    let (mut words, mut space) = (Vec::new(), String::new());
    for word in heard {
        let text = word.text.decode();
        if word.kind.inner() == "spacing" {
            space.push_str(&text);
        } else if let (Some(start), Some(end)) = (word.start, word.end) {
            words.push(Word {
                text: std::mem::take(&mut space) + &text,
                start: start.get().to_owned(),
                end: end.get().to_owned(),
                speaker: word.speaker_id.as_ref().map(|speaker| speaker.decode().into_owned()),
            });
        }
    }
    words
}

#[derive(Deserialize)]
struct Timed<'a> {
    #[serde(borrow)]
    audio_base64: Literal<'a>,
    #[serde(borrow, default)]
    alignment: Option<&'a RawValue>,
    #[serde(borrow, default)]
    normalized_alignment: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Heard<'a> {
    #[serde(borrow)]
    text: Literal<'a>,
    #[serde(borrow, default)]
    language_code: Option<Literal<'a>>,
    #[serde(borrow, default)]
    words: Vec<HeardWord<'a>>,
    #[serde(borrow, default)]
    audio_duration_secs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct HeardWord<'a> {
    #[serde(borrow)]
    text: Literal<'a>,
    #[serde(borrow, rename = "type")]
    kind: Literal<'a>,
    #[serde(borrow, default)]
    start: Option<&'a RawValue>,
    #[serde(borrow, default)]
    end: Option<&'a RawValue>,
    #[serde(borrow, default)]
    speaker_id: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct Refusal {
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    message: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    /// What was there before `code`.
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    param: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_what_the_client_has_asked_for_in_its_words() {
        let audio = Answer::test("audio/mpeg", &[0xff, 0, 1]);
        for (more, format, content_type) in [
            ("", "mp3", "audio/mpeg"),
            (r#","response_format":"opus""#, "opus", "audio/ogg"),
            (r#","output_format":"pcm_16000""#, "pcm", "audio/pcm"),
            (r#","output_format":"ulaw_8000""#, "ulaw", "application/octet-stream"),
        ] {
            let body = format!(r#"{{"input":"x","voice":"v"{more}}}"#);
            let request = SpeechRequest::parse(&body).unwrap();
            let read = Speech::read(&ElevenLabs, &request, &audio).unwrap();
            assert_eq!((read.format.as_str(), read.content_type.as_str()), (format, content_type), "{more}");
            let refusal = Answer::test("audio/mpeg", br#"{"detail":{"message":"no"}}"#);
            assert!(Speech::read(&ElevenLabs, &request, &refusal).is_err());
        }
    }
}
