//! Speech at providers with a form of their own.

use super::Inexpressible;
use super::members::{Limited, Members, first_unsaid};
use crate::Operation;
use crate::config::ProviderKind;

/// <https://elevenlabs.io/docs/api-reference/text-to-speech/convert>
const ELEVEN_LABS: &[Limited] =
    &[("response_format", &["mp3", "opus", "pcm", "wav"]), ("instructions", &[""])];
/// The least and the greatest speed there.
const SPEED: (f64, f64) = (0.7, 1.2);

pub(super) fn inexpressible(kind: ProviderKind, body: &str) -> Option<Inexpressible> {
    if kind != ProviderKind::ElevenLabs {
        return None;
    }
    let members = Members::of(Operation::Speech, body)?;
    if let Some(reason) = first_unsaid(kind, Operation::Speech, &members, ELEVEN_LABS) {
        return Some(reason);
    }
    if members.json("voice").is_some_and(|voice| voice.starts_with('[')) {
        return Some(Inexpressible::member("voice", format!("{kind} speaks with one voice")));
    }
    // It is part of a path.
    if members.text("voice").is_some_and(|voice| matches!(voice.as_ref(), "." | "..")) {
        return Some(Inexpressible::member("voice", format!("no voice of {kind} is called `.` or `..`")));
    }
    let speed = members.text("speed").and_then(|speed| speed.parse::<f64>().ok());
    let is_beyond = speed.is_some_and(|speed| !(SPEED.0..=SPEED.1).contains(&speed));
    let message = format!("{kind} takes a `speed` of {} to {}", SPEED.0, SPEED.1);
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
}
