use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Say, created, hash, words};
use super::request::{Refusal, Request};

/// An image's sides, in pixels.
const SIDE: u32 = 16;
/// The most images of one call, as OpenAI has it.
const MOST_IMAGES: u32 = 10;

#[derive(Deserialize)]
struct Generate {
    prompt: String,
    n: Option<u32>,
    response_format: Option<String>,
}

/// `n` images, whose colours the prompt chooses.
pub(super) fn generation(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let generate: Generate = request.json()?;
    let seed = hash(&generate.prompt);
    let text_tokens = words(&generate.prompt);
    images(seed, generate.n, generate.response_format.as_deref(), (text_tokens, 0), say)
}

/// The same from images, for edits and variations.
pub(super) fn from_images(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let form = request.form()?;
    let given = form.files.iter().filter(|file| file.field == "image").count();
    if given == 0 {
        return Err(Refusal("image is required".to_owned()));
    }
    let n = form.value("n").map(str::parse).transpose();
    let n = n.map_err(|_| Refusal("n: expected an integer".to_owned()))?;
    let prompt = form.value("prompt").unwrap_or_default();
    images(hash((prompt, &form.files)), n, form.value("response_format"), (words(prompt), given), say)
}

fn images(
    seed: u64,
    n: Option<u32>,
    response_format: Option<&str>,
    (text_tokens, image_tokens): (usize, usize),
    say: Say,
) -> Result<Answer, Refusal> {
    let as_url = match response_format {
        None | Some("b64_json") => false,
        Some("url") => true,
        Some(other) => return Err(Refusal(format!("response_format: {other} is neither url nor b64_json"))),
    };
    let n = n.unwrap_or(1);
    if !(1..=MOST_IMAGES).contains(&n) {
        return Err(Refusal(format!("n: expected 1 to {MOST_IMAGES}")));
    }
    let image = |number: u32| -> Result<Value, Refusal> {
        let base64 = BASE64_STANDARD.encode(say.bytes(|| png(hash((seed, number))))?);
        Ok(if as_url {
            json!({"url": format!("data:image/png;base64,{base64}")})
        } else {
            json!({"b64_json": base64})
        })
    };
    let data = (0..n).map(image).collect::<Result<Vec<_>, _>>()?;
    let input_tokens = text_tokens + image_tokens;
    Answer::json(&json!({
        "created": created(),
        "data": data,
        "output_format": "png",
        "size": format!("{SIDE}x{SIDE}"),
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": {"text_tokens": text_tokens, "image_tokens": image_tokens},
            "output_tokens": n,
            "total_tokens": input_tokens + data.len(),
        },
    }))
}

/// An image of one colour.
fn png(colour: u64) -> Result<Vec<u8>, Refusal> {
    let [red, green, blue, ..] = colour.to_le_bytes();
    let pixels = [red, green, blue].repeat((SIDE * SIDE) as usize);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIDE, SIDE);
    encoder.set_color(png::ColorType::Rgb);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.map_err(|error| Refusal(error.to_string()))?;
    Ok(file)
}
