//! Speech: <https://ai.google.dev/gemini-api/docs/speech-generation>
//!
//! It gives samples alone, in 16 bits and one channel. They are what OpenAI calls `pcm`; a header before them makes them a WAV file.

use std::borrow::Cow;

use hermod_types::RawObject;

use super::content::generated;
use super::{Gemini, post};
use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::literal::Literal;
use crate::native::media_type;
use crate::request_body::RequestBody;
use crate::speech::{Audio, Speech, SpeechRequest, Voice};

/// Samples a second, where the answer does not say it.
const RATE: u32 = 24_000;

impl Speech for Gemini {
    fn request(&self, ask: &Ask<'_>, request: &SpeechRequest<'_>) -> Result<Outgoing, Unsendable> {
        format(request)?;
        if request.speed.is_some_and(|speed| speed.parse::<f64>().is_ok_and(|speed| speed != 1.0)) {
            return Err(Unsendable::Member("speed".to_owned()));
        }
        // How to say it stands before what to say.
        let text = match &request.instructions {
            Some(how) => Literal::concat([how, &Literal::of("\n\n"), &request.input]),
            None => request.input.clone().into_owned(),
        };
        let mut body = RequestBody::new(&["user"]);
        body.own("contents", &format!("[{{\"role\":\"user\",\"parts\":[{{\"text\":{}}}]}}]", text.as_json()));
        let mut config = RequestBody::nested();
        config.own("responseModalities", "[\"AUDIO\"]");
        config.own("speechConfig", &speech_config(request)?);
        let mut clients: Option<RawObject<'_>> = None;
        for (name, value) in &request.members {
            match name.as_ref() {
                "language_code" => {}
                "generationConfig" => clients = serde_json::from_str(value).ok(),
                name => body.client(name, value),
            }
        }
        for (name, value) in clients.iter().flat_map(RawObject::members) {
            config.client(name, value.get());
        }
        body.own("generationConfig", &config.finish());
        post(ask, "generateContent", body.finish())
    }

    fn read<'a>(&self, request: &SpeechRequest<'_>, answer: &'a Answer) -> Result<Audio<'a>, String> {
        let generated = generated(answer)?;
        let mut samples = Vec::new();
        let mut rate = RATE;
        for media in generated.whole_media()? {
            let kind = media.mime_type.decode();
            if !["audio/l16", "audio/pcm"].iter().any(|pcm| kind.to_ascii_lowercase().starts_with(pcm)) {
                return Err(format!("its audio is {kind:.64} and not samples"));
            }
            let mut said = kind.split(';').filter_map(|part| part.trim().strip_prefix("rate=")?.parse().ok());
            rate = said.next().unwrap_or(rate);
            samples.extend(Audio::from_base64(&media.data.decode())?);
        }
        let format = format(request).map_err(|_| "its audio has another format".to_owned())?;
        let bytes = if format == "wav" { wav(&samples, rate)? } else { samples };
        let usage = generated.usage().map(|usage| {
            format!(
                "{{\"input_tokens\":{},\"output_tokens\":{},\"total_tokens\":{}}}",
                usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
            )
        });
        Ok(Audio {
            bytes: Cow::Owned(bytes),
            format: format.to_owned(),
            content_type: media_type(format).to_owned(),
            usage,
            members: Vec::new(),
        })
    }
}

/// What the result will be. Who has asked for `mp3` has been refused before: this is OpenAI's word where nothing was said.
fn format(request: &SpeechRequest<'_>) -> Result<&'static str, Unsendable> {
    match request.format.as_ref() {
        "wav" | "mp3" => Ok("wav"),
        "pcm" => Ok("pcm"),
        _ => Err(Unsendable::Member("response_format".to_owned())),
    }
}

fn speech_config(request: &SpeechRequest<'_>) -> Result<String, Unsendable> {
    let voice_config =
        |voice: &Literal<'_>| format!("{{\"prebuiltVoiceConfig\":{{\"voiceName\":{}}}}}", voice.as_json());
    let mut config = RequestBody::nested();
    match &request.voice {
        Voice::One(voice) => config.own("voiceConfig", &voice_config(voice)),
        Voice::Several(speakers) => match speakers.as_slice() {
            [one] => config.own("voiceConfig", &voice_config(&one.voice)),
            [_, _] => {
                let voices: Vec<String> = speakers
                    .iter()
                    .map(|said| {
                        let (speaker, voice) = (said.speaker.as_json(), voice_config(&said.voice));
                        format!("{{\"speaker\":{speaker},\"voiceConfig\":{voice}}}")
                    })
                    .collect();
                let voices = format!("{{\"speakerVoiceConfigs\":[{}]}}", voices.join(","));
                config.own("multiSpeakerVoiceConfig", &voices);
            }
            // It knows two who speak with each other.
            _ => return Err(Unsendable::Member("voice".to_owned())),
        },
    }
    if let Some((_, language)) = request.members.iter().find(|(name, _)| name == "language_code") {
        config.own("languageCode", language);
    }
    Ok(config.finish())
}

/// A WAV file of 16-bit samples in one channel: <http://soundfile.sapp.org/doc/WaveFormat/>
fn wav(samples: &[u8], rate: u32) -> Result<Vec<u8>, String> {
    let too_long = || "its audio is too long for a WAV file".to_owned();
    let bytes = u32::try_from(samples.len()).map_err(|_| too_long())?;
    let riff = bytes.checked_add(36).ok_or_else(too_long)?;
    let mut out = Vec::with_capacity(samples.len() + 44);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&riff.to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    // The size of what describes the format, PCM, channels.
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&rate.to_le_bytes());
    out.extend_from_slice(&rate.saturating_mul(2).to_le_bytes());
    // Bytes of a sample of all channels, and its bits.
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(samples);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_makes_samples_a_file() {
        let file = wav(&[1, 2, 3, 4], 24_000).unwrap();
        assert_eq!(file.len(), 48);
        assert_eq!((&file[..4], &file[8..16], &file[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        assert_eq!((number(4), number(24), number(28), number(40)), (40, 24_000, 48_000, 4));
    }

    #[test]
    fn speech_that_is_cut_off_is_none() {
        let read = |end: &str| {
            let answer = format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"mimeType":"audio/L16;rate=24000","data":"AAA="}}}}]}},"finishReason":"{end}"}}]}}"#
            );
            let request = SpeechRequest::parse(r#"{"input":"x","voice":"v"}"#).unwrap();
            let answer = Answer::test("application/json", answer.as_bytes());
            Speech::read(&Gemini, &request, &answer).map(|audio| audio.bytes.len())
        };
        assert_eq!(read("STOP"), Ok(46));
        assert!(read("MAX_TOKENS").unwrap_err().contains("MAX_TOKENS"));
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        let voices = |count: usize| {
            let voice = r#"{"speaker":"A","voice":"v"}"#;
            format!(r#"{{"input":"x","voice":[{}]}}"#, vec![voice; count].join(","))
        };
        for (body, param) in [
            (r#"{"input":"x","voice":"v","speed":2}"#.to_owned(), "speed"),
            (r#"{"input":"x","voice":"v","response_format":"opus"}"#.to_owned(), "response_format"),
            (voices(3), "voice"),
        ] {
            let request = SpeechRequest::parse(&body).unwrap();
            let refused = Gemini.request(&crate::dialect::test_ask("m"), &request).map(|_| ());
            assert_eq!(refused, Err(Unsendable::Member(param.to_owned())), "{body}");
        }
        let one = SpeechRequest::parse(r#"{"input":"x","voice":[{"speaker":"A","voice":"v"}],"speed":1.0}"#)
            .unwrap();
        assert!(Gemini.request(&crate::dialect::test_ask("m"), &one).is_ok());
    }
}
