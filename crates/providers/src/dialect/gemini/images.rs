//! Images: Gemini's by `generateContent`, <https://ai.google.dev/gemini-api/docs/image-generation>, and Imagen's by `predict`,
//! <https://ai.google.dev/gemini-api/docs/imagen>. At Vertex AI they are the same.

use hermod_types::media_type_of;
use serde::Deserialize;

use super::content::generated;
use super::contents::write_media;
use super::{Gemini, Host, authorized, url};
use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::images::{Image, ImageReply, ImageRequest, Images};
use crate::literal::Literal;
use crate::payload::{FILE, Upload};
use crate::request_body::RequestBody;

/// Most images of a call of `predict`.
const MOST_OF_IMAGEN: usize = 4;
/// Ratios that each takes, as width and height.
const GEMINIS: &[(u32, u32)] =
    &[(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 5), (5, 4), (9, 16), (16, 9), (21, 9)];
const IMAGENS: &[(u32, u32)] = &[(1, 1), (3, 4), (4, 3), (9, 16), (16, 9)];
/// How far a size may be from a ratio: 1792x1024 is meant to be 16:9.
const TOLERANCE: f64 = 0.05;

impl Images for Gemini {
    fn most_images(&self, model: &str) -> usize {
        most_images(model)
    }

    fn request(&self, ask: &Ask<'_>, request: &ImageRequest<'_>, n: usize) -> Result<Outgoing, Unsendable> {
        let (method, body) = body(Host::GeminiApi, ask.model, request, n)?;
        authorized(ask, Outgoing::with_files(&url(ask, method)?, &body, &request.images)?)
    }

    fn read(&self, answer: &Answer) -> Result<ImageReply, String> {
        read(answer)
    }
}

fn is_imagen(model: &str) -> bool {
    model.contains("imagen")
}

pub(in crate::dialect) fn most_images(model: &str) -> usize {
    if is_imagen(model) { MOST_OF_IMAGEN } else { 1 }
}

/// The method, and the request, in which [`FILE`] stands for each of the images.
///
/// # Errors
/// With the name of what cannot be said.
pub(in crate::dialect) fn body(
    host: Host,
    model: &str,
    request: &ImageRequest<'_>,
    n: usize,
) -> Result<(&'static str, String), Unsendable> {
    let prompt = request.prompt.as_ref().ok_or_else(|| Unsendable::Member("prompt".to_owned()))?;
    if request.mask.is_some() {
        return Err(Unsendable::Member("mask".to_owned()));
    }
    if is_imagen(model) { predict(request, prompt, n) } else { generate(host, request, prompt) }
}

fn generate(
    host: Host,
    request: &ImageRequest<'_>,
    prompt: &Literal<'_>,
) -> Result<(&'static str, String), Unsendable> {
    let mut body = RequestBody::new(&[]);
    let (mut config, mut image) = (RequestBody::nested(), RequestBody::nested());
    let mut output = RequestBody::nested();
    config.own("responseModalities", "[\"IMAGE\"]");
    let mut parts = format!("{{\"text\":{}}}", prompt.as_json());
    for upload in &request.images {
        let kind = Literal::of(kind_of(upload)?);
        parts.push_str(&format!(",{{\"inlineData\":{{\"mimeType\":{},\"data\":{FILE}}}}}", kind.as_json()));
    }
    if let Some(ratio) = ratio(request, GEMINIS)? {
        image.own("aspectRatio", &ratio);
    }
    if let Some(size) = resolution(request) {
        image.own("imageSize", &size);
    }
    for (name, value) in &request.members {
        match (name.as_ref(), host) {
            ("size" | "aspect_ratio" | "resolution", _) => {}
            ("seed", _) => config.own("seed", value),
            ("input_images", _) => input_images(&mut parts, host, value)?,
            ("output_format", Host::Vertex) => output.own("mimeType", &output_kind(value)?),
            ("output_format", Host::GeminiApi) if &**value == "\"png\"" => {}
            ("output_compression", Host::Vertex) => output.own("compressionQuality", value),
            (name, _) if changes_nothing(name, value) => {}
            (name, _) => refuse_openais(name, &mut body, value)?,
        }
    }
    if !output.is_empty() {
        image.own("imageOutputOptions", &output.finish());
    }
    if !image.is_empty() {
        config.own("imageConfig", &image.finish());
    }
    body.own("contents", &format!("[{{\"role\":\"user\",\"parts\":[{parts}]}}]"));
    body.own("generationConfig", &config.finish());
    Ok(("generateContent", body.finish()))
}

fn predict(
    request: &ImageRequest<'_>,
    prompt: &Literal<'_>,
    n: usize,
) -> Result<(&'static str, String), Unsendable> {
    if !request.images.is_empty() {
        return Err(Unsendable::Member("image".to_owned()));
    }
    let mut body = RequestBody::new(&[]);
    let (mut parameters, mut output) = (RequestBody::nested(), RequestBody::nested());
    parameters.own("sampleCount", &n.to_string());
    if let Some(ratio) = ratio(request, IMAGENS)? {
        parameters.own("aspectRatio", &ratio);
    }
    if let Some(size) = resolution(request) {
        parameters.own("sampleImageSize", &size);
    }
    for (name, value) in &request.members {
        match name.as_ref() {
            "size" | "aspect_ratio" | "resolution" => {}
            "negative_prompt" => parameters.own("negativePrompt", value),
            "seed" => {
                parameters.own("seed", value);
                // It refuses a seed with a watermark: <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api>
                parameters.own("addWatermark", "false");
            }
            "output_format" => output.own("mimeType", &output_kind(value)?),
            "output_compression" => output.own("compressionQuality", value),
            name if changes_nothing(name, value) => {}
            name => refuse_openais(name, &mut body, value)?,
        }
    }
    if !output.is_empty() {
        parameters.own("outputOptions", &output.finish());
    }
    body.own("instances", &format!("[{{\"prompt\":{}}}]", prompt.as_json()));
    body.own("parameters", &parameters.finish());
    Ok(("predict", body.finish()))
}

/// Members of OpenAI's with a value that asks for what is done anyway.
fn changes_nothing(name: &str, value: &str) -> bool {
    match name {
        "moderation" | "partial_images" => true,
        "response_format" => value == "\"b64_json\"",
        "quality" => matches!(value, "\"auto\"" | "\"standard\"" | "\"medium\""),
        "background" => matches!(value, "\"auto\"" | "\"opaque\""),
        "output_compression" => value == "100",
        "input_fidelity" => value == "\"low\"",
        _ => false,
    }
}

/// Passes on what is Google's own.
fn refuse_openais<'a>(name: &'a str, body: &mut RequestBody<'a>, value: &'a str) -> Result<(), Unsendable> {
    const OPENAIS: [&str; 11] = [
        "response_format",
        "quality",
        "background",
        "output_format",
        "output_compression",
        "input_fidelity",
        "input_images",
        "negative_prompt",
        "num_inference_steps",
        "style",
        "type",
    ];
    if OPENAIS.contains(&name) {
        return Err(Unsendable::Member(name.to_owned()));
    }
    body.client(name, value);
    Ok(())
}

/// The ratio that the client has asked for, or that of its size, as a JSON string.
fn ratio(request: &ImageRequest<'_>, known: &[(u32, u32)]) -> Result<Option<String>, Unsendable> {
    if let Some(ratio) = request.member("aspect_ratio").filter(|ratio| *ratio != "\"auto\"") {
        return Ok(Some(ratio.to_owned()));
    }
    let Some((width, height)) = request.size() else {
        return match request.member("size") {
            None | Some("\"auto\"") => Ok(None),
            Some(_) => Err(Unsendable::Member("size".to_owned())),
        };
    };
    let wanted = f64::from(width) / f64::from(height);
    let distance = |(width, height): (u32, u32)| (f64::from(width) / f64::from(height) / wanted - 1.0).abs();
    let nearest = known.iter().copied().min_by(|a, b| distance(*a).total_cmp(&distance(*b)));
    match nearest.filter(|nearest| distance(*nearest) <= TOLERANCE) {
        Some((width, height)) => Ok(Some(format!("\"{width}:{height}\""))),
        None => Err(Unsendable::Member("size".to_owned())),
    }
}

/// `1K`, `2K` or `4K`, where the client has said it, or where its size is more than the first.
fn resolution(request: &ImageRequest<'_>) -> Option<String> {
    if let Some(resolution) = request.text("resolution") {
        return Some(Literal::of(&resolution.to_ascii_uppercase()).as_json().to_owned());
    }
    let (width, height) = request.size()?;
    match width.max(height) {
        0..2048 => None,
        2048..4096 => Some("\"2K\"".to_owned()),
        4096.. => Some("\"4K\"".to_owned()),
    }
}

/// The media type of an `output_format`, as a JSON string.
fn output_kind(format: &str) -> Result<String, Unsendable> {
    match format {
        "\"png\"" => Ok("\"image/png\"".to_owned()),
        "\"jpeg\"" => Ok("\"image/jpeg\"".to_owned()),
        _ => Err(Unsendable::Member("output_format".to_owned())),
    }
}

/// Images that stand in a request for a new one, as URLs.
fn input_images(parts: &mut String, host: Host, urls: &str) -> Result<(), Unsendable> {
    let urls: Vec<Literal<'_>> = serde_json::from_str(urls).map_err(|_| Unsendable::Unreadable)?;
    for (place, url) in urls.iter().enumerate() {
        parts.push(',');
        if !write_media(parts, host, url) {
            return Err(Unsendable::Member(format!("input_images[{place}]")));
        }
    }
    Ok(())
}

/// By what the client says, else by the file's name.
fn kind_of(upload: &Upload) -> Result<&str, Unsendable> {
    let said = upload.content_type.as_deref().filter(|kind| kind.starts_with("image/"));
    let named = || media_type_of(upload.filename.as_deref()?);
    said.or_else(named).ok_or_else(|| Unsendable::Member("image".to_owned()))
}

pub(in crate::dialect) fn read(answer: &Answer) -> Result<ImageReply, String> {
    let text = answer.text()?;
    if let Ok(Predicted { predictions: Some(predictions) }) = serde_json::from_str(text) {
        return predicted(predictions);
    }
    let generated = generated(answer)?;
    let media = generated.media()?;
    let images = media.iter().map(|media| Image::of_base64(media.data.clone().into_owned())).collect();
    Ok(ImageReply { images, usage: generated.usage() })
}

fn predicted(predictions: Vec<Prediction<'_>>) -> Result<ImageReply, String> {
    let mut reply = ImageReply::default();
    for prediction in predictions {
        match prediction {
            Prediction { bytes_base64_encoded: Some(bytes), prompt, .. } => {
                let revised_prompt = prompt.map(Literal::into_owned);
                reply.images.push(Image { revised_prompt, ..Image::of_base64(bytes.into_owned()) });
            }
            Prediction { rai_filtered_reason: Some(reason), .. } if reply.images.is_empty() => {
                return Err(format!("it withheld the image: {:.200}", reason.decode()));
            }
            Prediction { .. } => {}
        }
    }
    Ok(reply)
}

#[derive(Deserialize)]
struct Predicted<'a> {
    #[serde(borrow, default)]
    predictions: Option<Vec<Prediction<'a>>>,
}

/// <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api#response-body>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prediction<'a> {
    #[serde(borrow, default)]
    bytes_base64_encoded: Option<Literal<'a>>,
    /// What it made of the client's.
    #[serde(borrow, default)]
    prompt: Option<Literal<'a>>,
    #[serde(borrow, default)]
    rai_filtered_reason: Option<Literal<'a>>,
}

#[cfg(test)]
mod tests {
    use hermod_types::Operation;

    use super::*;

    fn ask(host: Host, model: &str, members: &str) -> Result<String, Unsendable> {
        let body = format!(r#"{{"prompt":"x"{members}}}"#);
        let request = ImageRequest::parse(Operation::ImageGeneration, &body).unwrap();
        super::body(host, model, &request, 1).map(|(_, body)| body)
    }

    #[test]
    fn a_size_becomes_a_ratio_that_there_is() {
        for (model, size, said) in [
            ("gemini-2.5-flash-image", "1024x1024", Some(r#"{"aspectRatio":"1:1"}"#)),
            ("gemini-2.5-flash-image", "1536x1024", Some(r#"{"aspectRatio":"3:2"}"#)),
            ("gemini-2.5-flash-image", "1792x1024", Some(r#"{"aspectRatio":"16:9"}"#)),
            ("gemini-3-pro-image", "4096x4096", Some(r#"{"aspectRatio":"1:1","imageSize":"4K"}"#)),
            ("gemini-3-pro-image", "auto", None),
            ("imagen-4.0-generate-001", "1024x1792", Some(r#""aspectRatio":"9:16"}"#)),
        ] {
            let body = ask(Host::GeminiApi, model, &format!(r#","size":"{size}""#)).unwrap();
            assert_eq!(body.contains("aspectRatio"), said.is_some(), "{body}");
            assert!(body.contains(said.unwrap_or_default()), "{body}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        for (host, model, members, param) in [
            (Host::GeminiApi, "gemini-2.5-flash-image", r#","size":"4000x100""#, "size"),
            (Host::GeminiApi, "gemini-2.5-flash-image", r#","size":"0x0""#, "size"),
            (Host::GeminiApi, "gemini-2.5-flash-image", r#","size":"large""#, "size"),
            (Host::GeminiApi, "imagen-4.0-generate-001", r#","size":"1536x1024""#, "size"),
            (Host::GeminiApi, "gemini-2.5-flash-image", r#","style":"vivid""#, "style"),
            (Host::GeminiApi, "gemini-2.5-flash-image", r#","response_format":"url""#, "response_format"),
            (Host::GeminiApi, "gemini-2.5-flash-image", r#","output_format":"jpeg""#, "output_format"),
            (Host::Vertex, "gemini-2.5-flash-image", r#","output_format":"webp""#, "output_format"),
            (Host::GeminiApi, "gemini-2.5-flash-image", r#","negative_prompt":"x""#, "negative_prompt"),
            (Host::GeminiApi, "gemini-2.5-flash-image", r#","input_images":["x"]"#, "input_images[0]"),
            (Host::GeminiApi, "imagen-4.0-generate-001", r#","input_images":["x"]"#, "input_images"),
        ] {
            assert_eq!(
                ask(host, model, members),
                Err(Unsendable::Member(param.to_owned())),
                "{model} {members}"
            );
        }
        let nothing = r#","quality":"auto","background":"opaque","response_format":"b64_json","moderation":"low","size":"auto""#;
        assert!(ask(Host::GeminiApi, "gemini-2.5-flash-image", nothing).is_ok());
    }
}
