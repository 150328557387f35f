use super::rules::{JsonRules, Rules, need_text, refuse_if, streamed};
use crate::shape::{MAX_MEMBERS, Members, Shape, find_element, is_empty, string_of};
use crate::{InvalidRequest, RawObject};

/// <https://platform.openai.com/docs/api-reference/audio/createSpeech>, and Bifrost's several voices.
pub(super) const RULES: Rules = Rules::Json(JsonRules {
    known: &[
        ("input", Shape::String),
        ("voice", Shape::StringOr(&Shape::Each(&Shape::Members(&VOICE)))),
        ("response_format", Shape::String),
        ("speed", Shape::Number),
        ("instructions", Shape::String),
        ("stream_format", Shape::String),
    ],
    required,
    streamed: |object| {
        let is_sse = string_of(object.get("stream_format")).is_some_and(|format| format == "sse");
        if is_sse { Some("stream_format") } else { streamed(object) }
    },
    ..JsonRules::NONE
});

const VOICE: Members =
    Members { known: &[("speaker", Shape::String), ("voice", Shape::String)], needed: &[] };

fn required(object: &RawObject<'_>) -> Result<(), InvalidRequest> {
    need_text(object, "input", "input is required for speech completion")?;
    let voice = object.get("voice");
    refuse_if(is_empty(voice), "voice", "voice is required for speech completion")?;

    let voices = voice.filter(|voice| voice.get().starts_with('['));
    let without_voice = voices.and_then(|voices| {
        find_element(voices.get(), |element| {
            let voice = RawObject::bounded(element.get(), MAX_MEMBERS);
            voice.is_ok_and(|voice| is_empty(voice.get("voice")))
        })
    });
    without_voice.map_or(Ok(()), |index| {
        let param = format!("voice[{index}].voice");
        Err(InvalidRequest::rule(&param, "voice config has empty voice field"))
    })
}
