use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};
use serde::Deserialize;

use super::answer::{Answer, Say, hash};
use super::request::{Refusal, Request};

/// As OpenAI's `pcm`: 24 kHz, 16 bits, mono, little-endian. <https://platform.openai.com/docs/guides/text-to-speech>
const SAMPLE_RATE: u32 = 24_000;
const SAMPLES_PER_WORD: u32 = SAMPLE_RATE / 10;
const LOUDNESS: i32 = 8_000;

#[derive(Deserialize)]
struct Speech {
    input: String,
    response_format: Option<String>,
}

/// A tenth of a second for each word.
pub(super) fn answer(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let speech: Speech = request.json()?;
    let format = speech.response_format.as_deref().unwrap_or("mp3");
    let content_type = match format {
        "mp3" => "audio/mpeg",
        "opus" => "audio/opus",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "pcm" => "audio/pcm",
        other => return Err(Refusal(format!("response_format: {other} is not known"))),
    };
    let body = say.bytes(|| {
        let samples = samples(&speech.input);
        if format == "wav" { wav(samples) } else { Ok(samples.flat_map(i16::to_le_bytes).collect()) }
    })?;
    Ok(Answer { content_type, body: body.into() })
}

fn samples(text: &str) -> impl Iterator<Item = i16> {
    text.split_whitespace().flat_map(|word| {
        // 200 to 600 Hz, as a triangle.
        let period = 40 + i32::try_from(hash(word) % 80).unwrap_or_default();
        (0..SAMPLES_PER_WORD).map(move |at| {
            let phase = i32::try_from(at).unwrap_or_default() % period;
            let height = (phase * 2 - period).abs() * 2 - period;
            i16::try_from(height * LOUDNESS / period).unwrap_or_default()
        })
    })
}

fn wav(samples: impl Iterator<Item = i16>) -> Result<Vec<u8>, Refusal> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let write = || -> hound::Result<()> {
        let mut writer = WavWriter::new(&mut file, spec)?;
        for sample in samples {
            writer.write_sample(sample)?;
        }
        writer.finalize()
    };
    write().map_err(|error| Refusal(error.to_string()))?;
    Ok(file.into_inner())
}
