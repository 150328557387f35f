use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Answer, Say, hash, words};
use super::completion::texts;
use super::request::{Refusal, Request};

const DEFAULT_DIMENSIONS: usize = 8;
const MOST_DIMENSIONS: usize = 65_536;

#[derive(Deserialize)]
struct Embed {
    input: Value,
    dimensions: Option<usize>,
    encoding_format: Option<String>,
}

#[derive(Serialize)]
struct EmbeddingList<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Encoded,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Encoded {
    Float(Vec<f32>),
    /// Little-endian.
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// A vector for each input.
pub(super) fn answer(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let embed: Embed = request.json()?;
    let as_base64 = match embed.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => return Err(Refusal(format!("encoding_format: {other} is neither float nor base64"))),
    };
    let dimensions = match say {
        Say::Echo => embed.dimensions.unwrap_or(DEFAULT_DIMENSIONS),
        Say::Bytes(bytes) => bytes / size_of::<f32>(),
    };
    if matches!(say, Say::Echo) && !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(Refusal(format!("dimensions: expected 1 to {MOST_DIMENSIONS}")));
    }
    let inputs = texts(&embed.input);
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let numbers = vector(input, dimensions);
        let embedding = if as_base64 {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            Encoded::Base64(BASE64_STANDARD.encode(bytes))
        } else {
            Encoded::Float(numbers)
        };
        Embedding { object: "embedding", index, embedding }
    });
    let tokens = inputs.iter().map(|input| words(input)).sum();
    Answer::json(&EmbeddingList {
        object: "list",
        data: data.collect(),
        model: &request.model,
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
    })
}

/// A direction that the text's hash chooses, of length 1.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(hash(text));
    let mut numbers: Vec<f32> = std::iter::repeat_with(|| random.f32() - 0.5).take(dimensions).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
    numbers.iter_mut().for_each(|number| *number /= length);
    numbers
}
