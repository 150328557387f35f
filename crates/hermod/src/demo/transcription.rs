use serde_json::{Value, json};

use super::answer::{Answer, Say, words};
use super::request::{Refusal, Request};

/// Every recording's length in seconds.
const SECONDS: f64 = 1.5;

/// What the file is, as if it had been said.
pub(super) fn answer(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let form = request.form()?;
    let file = form.files.iter().find(|file| file.field == "file");
    let file = file.ok_or_else(|| Refusal("file is required".to_owned()))?;
    let heard = format!("a recording of {} bytes named {}", file.bytes, file.name);
    let text = say.text(&heard);
    let usage = json!({"type": "duration", "seconds": SECONDS});
    let granularities = || form.values("timestamp_granularities[]");
    match form.value("response_format").unwrap_or("json") {
        "json" => Answer::json(&json!({"text": text, "usage": usage})),
        "verbose_json" => {
            let mut answer = json!({
                "task": "transcribe",
                "language": form.value("language").unwrap_or("english"),
                "duration": SECONDS,
                "text": text,
                "usage": usage,
            });
            if granularities().any(|granularity| granularity == "word") {
                answer["words"] = spoken_words(&text);
            }
            if granularities().next().is_none() || granularities().any(|granularity| granularity == "segment")
            {
                answer["segments"] = json!([{
                    "id": 0, "seek": 0, "start": 0.0, "end": SECONDS, "text": text, "tokens": [],
                    "temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.01,
                }]);
            }
            Answer::json(&answer)
        }
        "diarized_json" => Answer::json(&json!({
            "task": "transcribe",
            "duration": SECONDS,
            "text": text,
            "segments": [{
                "id": "seg_001", "type": "transcript.text.segment", "speaker": "A",
                "start": 0.0, "end": SECONDS, "text": text,
            }],
            "usage": usage,
        })),
        "text" => plain("text/plain; charset=utf-8", format!("{text}\n")),
        "srt" => plain("application/x-subrip", format!("1\n00:00:00,000 --> 00:00:01,500\n{text}\n\n")),
        "vtt" => plain("text/vtt", format!("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n{text}\n\n")),
        other => Err(Refusal(format!("response_format: {other} is not known"))),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it ends the function that may fail")]
fn plain(content_type: &'static str, text: String) -> Result<Answer, Refusal> {
    Ok(Answer { content_type, body: text.into() })
}

/// The words, evenly spread.
fn spoken_words(text: &str) -> Value {
    let each = SECONDS / f64::from(u32::try_from(words(text)).unwrap_or(u32::MAX));
    let starts = std::iter::successors(Some(0.0), |start| Some(start + each));
    let words = text.split_whitespace().zip(starts);
    words.map(|(word, start)| json!({"word": word, "start": start, "end": start + each})).collect()
}
