//! Speech at providers with a form of their own.

use super::Inexpressible;
use super::members::{Limited, Members, first_unsaid};
use crate::Operation;
use crate::config::ProviderKind;
use crate::shape::find_element;

/// <https://elevenlabs.io/docs/api-reference/text-to-speech/convert>
const ELEVEN_LABS: &[Limited] =
    &[("response_format", &["mp3", "opus", "pcm", "wav"]), ("instructions", &[""])];
/// <https://ai.google.dev/gemini-api/docs/speech-generation>: samples, and how fast is said in words.
const GEMINI: &[Limited] = &[("response_format", &["wav", "pcm"])];

struct Limits {
    kind: ProviderKind,
    limited: &'static [Limited],
    /// The least and the greatest.
    speed: (f64, f64),
    /// Most who speak with each other.
    voices: usize,
}

const LIMITS: [Limits; 2] = [
    Limits { kind: ProviderKind::ElevenLabs, limited: ELEVEN_LABS, speed: (0.7, 1.2), voices: 0 },
    Limits { kind: ProviderKind::Gemini, limited: GEMINI, speed: (1.0, 1.0), voices: 2 },
];

pub(super) fn inexpressible(kind: ProviderKind, body: &str) -> Option<Inexpressible> {
    let Limits { limited, speed: (least, greatest), voices, .. } =
        LIMITS.iter().find(|limits| limits.kind == kind)?;
    let members = Members::of(Operation::Speech, body)?;
    if let Some(reason) = first_unsaid(kind, Operation::Speech, &members, limited) {
        return Some(reason);
    }
    let mut several = 0;
    let is_list = members.json("voice").filter(|voice| voice.starts_with('[')).is_some_and(|voices| {
        find_element(voices, |_| {
            several += 1;
            false
        });
        true
    });
    if is_list && several > *voices {
        let message = match voices {
            0 => format!("{kind} speaks with one voice"),
            most => format!("{kind} speaks with up to {most} voices"),
        };
        return Some(Inexpressible::member("voice", message));
    }
    // It is part of a path.
    if members.text("voice").is_some_and(|voice| matches!(voice.as_ref(), "." | "..")) {
        return Some(Inexpressible::member("voice", format!("no voice of {kind} is called `.` or `..`")));
    }
    let speed = members.text("speed").and_then(|speed| speed.parse::<f64>().ok());
    let is_beyond = speed.is_some_and(|speed| !(least..=greatest).contains(&&speed));
    let message = format!("{kind} takes a `speed` of {least} to {greatest}");
    is_beyond.then(|| Inexpressible::member("speed", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_elevenlabs_cannot_say_is_named() {
        for (members, param) in [
            (r#""voice":"v","response_format":"opus","speed":1.2,"instructions":"""#, None),
            (r#""voice":"v","response_format":null,"speed":1"#, None),
            (r#""voice":"v","response_format":"aac""#, Some("response_format")),
            (r#""voice":"v","instructions":"whisper""#, Some("instructions")),
            (r#""voice":"v","speed":4"#, Some("speed")),
            (r#""voice":"..""#, Some("voice")),
            (r#""voice":[{"speaker":"a","voice":"v"}]"#, Some("voice")),
        ] {
            let reason = inexpressible(ProviderKind::ElevenLabs, &format!("{{{members}}}"));
            assert_eq!(reason.and_then(|reason| reason.param).as_deref(), param, "{members}");
        }
    }

    #[test]
    fn what_gemini_cannot_say_is_named() {
        let voices = |count: usize| {
            format!(r#""voice":[{}]"#, vec![r#"{"speaker":"a","voice":"v"}"#; count].join(","))
        };
        for (members, param) in [
            (r#""voice":"v""#.to_owned(), None),
            (r#""voice":"v","response_format":"pcm","speed":1.0,"instructions":"whisper""#.to_owned(), None),
            (r#""voice":"v","response_format":"mp3""#.to_owned(), Some("response_format")),
            (r#""voice":"v","speed":1.5"#.to_owned(), Some("speed")),
            (voices(2), None),
            (voices(3), Some("voice")),
        ] {
            let reason = inexpressible(ProviderKind::Gemini, &format!("{{{members}}}"));
            assert_eq!(reason.and_then(|reason| reason.param).as_deref(), param, "{members}");
        }
    }
}
