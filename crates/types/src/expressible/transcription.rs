//! Transcriptions at providers with a form of their own.

use super::Inexpressible;
use super::members::{Limited, Members, first_unsaid};
use crate::Operation;
use crate::config::ProviderKind;

/// <https://elevenlabs.io/docs/api-reference/speech-to-text/convert>
const ELEVEN_LABS: &[Limited] = &[
    ("response_format", &["json", "text", "verbose_json", "diarized_json"]),
    ("prompt", &[""]),
    ("include[]", &[]),
    ("known_speaker_names[]", &[]),
    ("known_speaker_references[]", &[]),
    // What comes of these is another answer.
    ("webhook", &["false"]),
    ("use_multi_channel", &["false"]),
];

/// <https://ai.google.dev/gemini-api/docs/audio>: a text is all that it gives.
const GEMINI: &[Limited] = &[
    ("response_format", &["json", "text"]),
    ("timestamp_granularities[]", &[]),
    ("include[]", &[]),
    ("known_speaker_names[]", &[]),
    ("known_speaker_references[]", &[]),
];

const LIMITS: [(ProviderKind, &[Limited]); 2] =
    [(ProviderKind::ElevenLabs, ELEVEN_LABS), (ProviderKind::Gemini, GEMINI)];

pub(super) fn inexpressible(kind: ProviderKind, body: &str) -> Option<Inexpressible> {
    let (_, limited) = LIMITS.iter().find(|(of, _)| *of == kind)?;
    let members = Members::of(Operation::Transcription, body)?;
    first_unsaid(kind, Operation::Transcription, &members, limited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_said_is_named() {
        for (kind, name, value, param) in [
            (ProviderKind::ElevenLabs, "response_format", "verbose_json", None),
            (ProviderKind::ElevenLabs, "response_format", "srt", Some("response_format")),
            (ProviderKind::ElevenLabs, "prompt", "Hermod", Some("prompt")),
            (ProviderKind::ElevenLabs, "include[]", "logprobs", Some("include[]")),
            (ProviderKind::ElevenLabs, "num_speakers", "2", None),
            (ProviderKind::ElevenLabs, "webhook", "true", Some("webhook")),
            (ProviderKind::Gemini, "prompt", "Hermod", None),
            (ProviderKind::Gemini, "response_format", "text", None),
            (ProviderKind::Gemini, "response_format", "verbose_json", Some("response_format")),
            (ProviderKind::Gemini, "timestamp_granularities[]", "word", Some("timestamp_granularities[]")),
        ] {
            let body =
                format!(r#"{{"parts":[{{"name":"file","bytes":3}},{{"name":"{name}","value":"{value}"}}]}}"#);
            let reason = inexpressible(kind, &body);
            assert_eq!(reason.and_then(|reason| reason.param).as_deref(), param, "{kind} {name} {value}");
        }
    }
}
