use std::borrow::Cow;

use hermod_types::RawObject;
use serde::Deserialize;

use crate::literal::Literal;

/// A request for speech, in OpenAI's form: <https://platform.openai.com/docs/api-reference/audio/createSpeech>
#[derive(Debug)]
pub(crate) struct SpeechRequest<'a> {
    pub(crate) input: Literal<'a>,
    pub(crate) voice: Voice<'a>,
    /// `mp3` unless the client has said something else.
    pub(crate) format: Cow<'a, str>,
    /// A JSON number.
    pub(crate) speed: Option<&'a str>,
    pub(crate) instructions: Option<Literal<'a>>,
    /// All other members that have a value, as JSON: what is a provider's own.
    pub(crate) members: Vec<(Cow<'a, str>, &'a str)>,
}

#[derive(Debug)]
pub(crate) enum Voice<'a> {
    One(Literal<'a>),
    Several(Vec<SpeakerVoice<'a>>),
}

/// The voice of one who speaks in the text.
#[derive(Debug, Deserialize)]
pub(crate) struct SpeakerVoice<'a> {
    #[serde(borrow)]
    pub(crate) speaker: Literal<'a>,
    #[serde(borrow)]
    pub(crate) voice: Literal<'a>,
}

impl<'a> SpeechRequest<'a> {
    pub(crate) fn parse(body: &'a str) -> Option<Self> {
        let object: RawObject<'a> = serde_json::from_str(body).ok()?;
        let voice = object.get("voice")?.get();
        let mut request = Self {
            input: Literal::from_json(object.get("input")?.get())?,
            voice: match Literal::from_json(voice) {
                Some(voice) => Voice::One(voice),
                None => Voice::Several(serde_json::from_str(voice).ok()?),
            },
            format: Cow::Borrowed("mp3"),
            speed: None,
            instructions: None,
            members: Vec::new(),
        };
        for (name, value) in object.into_members() {
            match (name.as_ref(), value.get()) {
                // A stream of audio is what an answer is.
                (_, "null") | ("input" | "voice" | "stream_format", _) => {}
                ("response_format", json) => {
                    request.format = Literal::from_json(json)?.decode().into_owned().into();
                }
                ("speed", json) => request.speed = Some(json),
                ("instructions", json) => request.instructions = Literal::from_json(json),
                (_, json) => request.members.push((name, json)),
            }
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let body = r#"{"input":"Caf\u00e9","voice":"v","speed":1.10,"stream_format":"audio","seed":7}"#;
        let request = SpeechRequest::parse(body).unwrap();
        assert_eq!((request.input.as_json(), request.format.as_ref()), (r#""Caf\u00e9""#, "mp3"));
        assert!(matches!(&request.voice, Voice::One(voice) if voice.inner() == "v"));
        assert_eq!((request.speed, request.members), (Some("1.10"), vec![("seed".into(), "7")]));
    }

    #[test]
    fn several_may_speak() {
        let body = r#"{"input":"x","voice":[{"speaker":"A","voice":"v"}],"response_format":"wav"}"#;
        let request = SpeechRequest::parse(body).unwrap();
        assert!(matches!(&request.voice, Voice::Several(voices) if voices[0].speaker.inner() == "A"));
        assert_eq!(request.format, "wav");
        assert!(SpeechRequest::parse(r#"{"input":"x","voice":[1]}"#).is_none());
    }
}
