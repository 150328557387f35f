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

pub(super) fn inexpressible(kind: ProviderKind, body: &str) -> Option<Inexpressible> {
    if kind != ProviderKind::ElevenLabs {
        return None;
    }
    let members = Members::of(Operation::Transcription, body)?;
    first_unsaid(kind, Operation::Transcription, &members, ELEVEN_LABS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_elevenlabs_cannot_say_is_named() {
        for (name, value, param) in [
            ("response_format", "verbose_json", None),
            ("response_format", "srt", Some("response_format")),
            ("prompt", "Hermod", Some("prompt")),
            ("include[]", "logprobs", Some("include[]")),
            ("num_speakers", "2", None),
            ("webhook", "true", Some("webhook")),
        ] {
            let body =
                format!(r#"{{"parts":[{{"name":"file","bytes":3}},{{"name":"{name}","value":"{value}"}}]}}"#);
            let reason = inexpressible(ProviderKind::ElevenLabs, &body);
            assert_eq!(reason.and_then(|reason| reason.param).as_deref(), param, "{name} {value}");
        }
    }
}
