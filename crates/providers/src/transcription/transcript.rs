use super::request::{TranscriptFormat, TranscriptionRequest};
use crate::literal::Literal;
use crate::request_body::write_object;

/// What a provider has heard.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) text: Literal<'static>,
    pub(crate) language: Option<Literal<'static>>,
    /// Length of the audio in seconds, as JSON.
    pub(crate) duration: Option<String>,
    /// In order; none where the provider gives no times.
    pub(crate) words: Vec<Word>,
    /// As JSON, in OpenAI's form.
    pub(crate) usage: Option<String>,
}

/// A word with its times.
#[derive(Debug)]
pub(crate) struct Word {
    /// With the white space that belongs before it.
    pub(crate) text: String,
    /// Seconds from the beginning, as JSON.
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) speaker: Option<String>,
}

impl Transcript {
    pub(super) fn bytes(&self) -> usize {
        self.text.as_json().len() + self.words.iter().map(|word| word.text.len() + 64).sum::<usize>()
    }

    /// The result in the client's format.
    pub(super) fn compose(&self, request: &TranscriptionRequest) -> String {
        let text = Some(self.text.as_json());
        let (language, duration) = (self.language.as_ref().map(Literal::as_json), self.duration.as_deref());
        let usage = ("usage", self.usage.as_deref());
        match request.format {
            TranscriptFormat::Text => write_object(&[("text", text)]),
            TranscriptFormat::Json => write_object(&[("text", text), usage]),
            TranscriptFormat::VerboseJson => {
                let words = request.wants_times_of("word").then(|| self.words());
                let segments = request.wants_times_of("segment").then(|| self.segments());
                write_object(&[
                    ("task", Some("\"transcribe\"")),
                    ("language", language),
                    ("duration", duration),
                    ("text", text),
                    ("words", words.as_deref()),
                    ("segments", segments.as_deref()),
                    usage,
                ])
            }
            TranscriptFormat::DiarizedJson => write_object(&[
                ("task", Some("\"transcribe\"")),
                ("duration", duration),
                ("text", text),
                ("segments", Some(&self.turns())),
                usage,
            ]),
        }
    }

    fn words(&self) -> String {
        list(self.words.iter().map(|Word { text, start, end, .. }| {
            format!("{{\"word\":{},\"start\":{start},\"end\":{end}}}", Literal::of(text.trim()).as_json())
        }))
    }

    /// A segment for each sentence.
    fn segments(&self) -> String {
        let ends = |word: &Word| word.text.ends_with(['.', '?', '!', '。', '？', '！']);
        let sentences = self.words.chunk_by(|word, next| !ends(word) && word.speaker == next.speaker);
        list(sentences.enumerate().filter_map(|(id, words)| {
            let (text, start, end) = spoken(words)?;
            Some(format!("{{\"id\":{id},\"start\":{start},\"end\":{end},\"text\":{}}}", text.as_json()))
        }))
    }

    /// A segment for all that one speaker says before the next.
    fn turns(&self) -> String {
        let turns = self.words.chunk_by(|word, next| word.speaker == next.speaker);
        list(turns.enumerate().filter_map(|(id, words)| {
            let (text, start, end) = spoken(words)?;
            let speaker = Literal::of(words.first()?.speaker.as_deref().unwrap_or("unknown"));
            Some(format!(
                "{{\"type\":\"transcript.text.segment\",\"id\":\"seg_{id}\",\"start\":{start},\"end\":{end},\"text\":{},\"speaker\":{}}}",
                text.as_json(),
                speaker.as_json()
            ))
        }))
    }
}

/// The text of neighbouring words, and when it begins and ends.
fn spoken(words: &[Word]) -> Option<(Literal<'static>, &str, &str)> {
    let text: String = words.iter().map(|word| word.text.as_str()).collect();
    Some((Literal::of(text.trim()), &words.first()?.start, &words.last()?.end))
}

fn list(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: &str = "2.5";

    fn compose(fields: &[(&str, &str)]) -> String {
        let mut parts = vec![r#"{"name":"file","bytes":3}"#.to_owned()];
        parts.extend(
            fields.iter().map(|(name, value)| format!("{{\"name\":\"{name}\",\"value\":\"{value}\"}}")),
        );
        let request = TranscriptionRequest::parse(&format!("{{\"parts\":[{}]}}", parts.join(","))).unwrap();
        let word = |text: &str, start: &str, end: &str, speaker: &str| Word {
            text: text.to_owned(),
            start: start.to_owned(),
            end: end.to_owned(),
            speaker: Some(speaker.to_owned()),
        };
        let transcript = Transcript {
            text: Literal::of("Hi there. Yes! No"),
            language: Some(Literal::of("en")),
            duration: Some(DURATION.to_owned()),
            words: vec![
                word("Hi", "0.1", "0.5", "a"),
                word(" there.", "0.6", "1.0", "a"),
                word(" Yes!", "1.1", "1.50", "a"),
                word(" No", "1.6", "2", "b"),
            ],
            usage: Some(r#"{"type":"duration","seconds":2.5}"#.to_owned()),
        };
        transcript.compose(&request)
    }

    #[test]
    fn a_transcript_has_the_form_that_is_asked_for() {
        assert_eq!(compose(&[]), r#"{"text":"Hi there. Yes! No","usage":{"type":"duration","seconds":2.5}}"#);
        assert_eq!(compose(&[("response_format", "text")]), r#"{"text":"Hi there. Yes! No"}"#);
        let verbose = compose(&[("response_format", "verbose_json")]);
        let segments = r#""segments":[{"id":0,"start":0.1,"end":1.0,"text":"Hi there."},{"id":1,"start":1.1,"end":1.50,"text":"Yes!"},{"id":2,"start":1.6,"end":2,"text":"No"}]"#;
        assert!(verbose.contains(segments) && !verbose.contains("\"words\""), "{verbose}");
        let words = compose(&[("response_format", "verbose_json"), ("timestamp_granularities[]", "word")]);
        assert!(words.contains(r#"{"word":"there.","start":0.6,"end":1.0}"#) && !words.contains("segments"));
        let diarized = compose(&[("response_format", "diarized_json")]);
        let turn = r#"{"type":"transcript.text.segment","id":"seg_0","start":0.1,"end":1.50,"text":"Hi there. Yes!","speaker":"a"}"#;
        assert!(diarized.contains(turn) && diarized.contains("\"id\":\"seg_1\""), "{diarized}");
    }

    #[test]
    fn other_formats_and_forms_are_not_read() {
        for parts in [
            r#"{"name":"file","bytes":3},{"name":"response_format","value":"srt"}"#,
            r#"{"name":"file","value":"no file"}"#,
        ] {
            let body = format!("{{\"parts\":[{parts}]}}");
            assert!(TranscriptionRequest::parse(&body).is_none(), "{parts}");
        }
    }
}
