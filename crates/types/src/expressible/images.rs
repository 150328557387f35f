//! Images at providers with a form of their own: they give images themselves, and no addresses.

use super::Inexpressible;
use super::members::{Limited, Members, first_unsaid, too_many};
use crate::Operation;
use crate::config::ProviderKind;

const ADDRESS: Limited = ("response_format", &["b64_json"]);

/// Of all models at Bedrock.
const BEDROCK: &[Limited] = &[
    ("input_images", &[]),
    ("background", &["auto"]),
    ("moderation", &["auto"]),
    ("input_fidelity", &["low"]),
    ("output_compression", &[]),
    ("num_inference_steps", &[]),
    ("resolution", &[]),
];
/// <https://docs.aws.amazon.com/nova/latest/userguide/image-gen-req-resp-structure.html>
const AMAZON: &[Limited] = &[
    ("aspect_ratio", &[]),
    ("output_format", &["png"]),
    ("quality", &["auto", "standard", "premium", "low", "medium", "high", "hd"]),
    ("type", &["inpainting", "outpainting", "background_removal", "variation"]),
];
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-stability-diffusion.html>
const STABILITY: &[Limited] = &[("output_format", &["png", "jpeg"]), ("quality", &["auto", "standard"])];

/// <https://ai.google.dev/gemini-api/docs/image-generation>
const GEMINI: &[Limited] = &[
    ("background", &["auto", "opaque"]),
    ("input_fidelity", &["low"]),
    ("mask", &[]),
    ("negative_prompt", &[]),
    ("num_inference_steps", &[]),
    ("output_format", &["png", "jpeg"]),
    ("quality", &["auto", "standard", "medium"]),
    ("style", &[]),
    ("type", &[]),
];
/// Of those, what the Gemini API lacks and Vertex AI has.
const GEMINI_API: &[Limited] = &[("output_compression", &["100"]), ("output_format", &["png"])];
/// <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api>
const IMAGEN: &[Limited] = &[
    ("background", &["auto", "opaque"]),
    ("input_images", &[]),
    ("num_inference_steps", &[]),
    ("output_format", &["png", "jpeg"]),
    ("quality", &["auto", "standard", "medium"]),
    ("style", &[]),
    ("type", &[]),
];

/// Bedrock's longest body, in base64: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
const BEDROCK_MEDIA_BYTES: u64 = 25_000_000 / 4 * 3;

pub(super) fn inexpressible(
    kind: ProviderKind,
    operation: Operation,
    model: &str,
    body: &str,
    max_calls: u64,
) -> Option<Inexpressible> {
    let members = Members::of(operation, body)?;
    let unsaid = |limited: &[Limited]| first_unsaid(kind, operation, &members, limited);
    if let Some(reason) = unsaid(&[ADDRESS]) {
        return Some(reason);
    }
    let n =
        members.text("n").map_or(1, |n| n.parse().unwrap_or(if n.starts_with('-') { 0 } else { u64::MAX }));
    if n == 0 {
        return Some(Inexpressible::member("n", format!("{kind} takes an `n` of 1 or more")));
    }
    if kind != ProviderKind::Bedrock {
        let is_imagen = model.contains("imagen");
        let is_googles = matches!(kind, ProviderKind::Gemini | ProviderKind::Vertex);
        let reason = if is_imagen && is_googles {
            unsaid(IMAGEN)
        } else if is_googles {
            unsaid(GEMINI).or_else(|| unsaid(GEMINI_API).filter(|_| kind == ProviderKind::Gemini))
        } else {
            None
        };
        if is_imagen && operation != Operation::ImageGeneration {
            let message = format!("{model:.64} makes images of a prompt alone");
            return Some(Inexpressible::member("image", message));
        }
        return reason.or_else(|| too_many(kind, "n", n.div_ceil(if is_imagen { 4 } else { 1 }), max_calls));
    }
    let is_stability = model.contains("stability.");
    if let Some(reason) = unsaid(BEDROCK).or_else(|| unsaid(if is_stability { STABILITY } else { AMAZON })) {
        return Some(reason);
    }
    if members.media_bytes() > BEDROCK_MEDIA_BYTES {
        let message = format!("{kind} takes files of up to {BEDROCK_MEDIA_BYTES} bytes together");
        return Some(Inexpressible::member("image", message));
    }
    let size = members.text("size").filter(|size| size != "auto");
    if size.is_some_and(|size| pixels(&size).is_none()) {
        return Some(Inexpressible::member(
            "size",
            format!("{kind} takes a `size` of width and height: `1024x768`"),
        ));
    }
    too_many(kind, "n", n.div_ceil(if is_stability { 1 } else { 5 }), max_calls)
}

/// Width and height.
fn pixels(size: &str) -> Option<(u32, u32)> {
    let (width, height) = size.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOVA: &str = "amazon.nova-canvas-v1:0";
    const SD3: &str = "stability.sd3-5-large-v1:0";

    fn fault(kind: ProviderKind, model: &str, members: &str) -> Option<String> {
        let body = format!("{{\"prompt\":\"x\",{members}}}");
        let reason = inexpressible(kind, Operation::ImageGeneration, model, &body, 2);
        reason.and_then(|reason| reason.param)
    }

    #[test]
    fn what_a_generation_cannot_say_is_named() {
        for (model, members, param) in [
            (NOVA, r#""n":10,"size":"1024x768","quality":"hd","response_format":"b64_json""#, None),
            (NOVA, r#""n":11"#, Some("n")),
            (NOVA, r#""n":0"#, Some("n")),
            (NOVA, r#""n":-1"#, Some("n")),
            (SD3, r#""n":3"#, Some("n")),
            (NOVA, r#""response_format":"url""#, Some("response_format")),
            (NOVA, r#""size":"large""#, Some("size")),
            (NOVA, r#""size":"auto","background":"auto""#, None),
            (NOVA, r#""background":"transparent""#, Some("background")),
            (NOVA, r#""output_format":"jpeg""#, Some("output_format")),
            (SD3, r#""output_format":"jpeg","aspect_ratio":"16:9""#, None),
            (NOVA, r#""aspect_ratio":"16:9""#, Some("aspect_ratio")),
            (NOVA, r#""input_images":["x"]"#, Some("input_images")),
        ] {
            assert_eq!(fault(ProviderKind::Bedrock, model, members).as_deref(), param, "{model} {members}");
        }
        const FLASH: &str = "gemini-2.5-flash-image";
        const IMAGEN: &str = "imagen-4.0-generate-001";
        for (kind, model, members, param) in [
            (ProviderKind::Gemini, FLASH, r#""response_format":"url""#, Some("response_format")),
            (ProviderKind::Gemini, FLASH, r#""quality":"auto","n":2,"size":"auto""#, None),
            (ProviderKind::Gemini, FLASH, r#""n":3"#, Some("n")),
            (ProviderKind::Gemini, FLASH, r#""output_format":"jpeg""#, Some("output_format")),
            (ProviderKind::Vertex, FLASH, r#""output_format":"jpeg""#, None),
            (ProviderKind::Vertex, FLASH, r#""output_format":"webp""#, Some("output_format")),
            (ProviderKind::Gemini, FLASH, r#""negative_prompt":"x""#, Some("negative_prompt")),
            (ProviderKind::Vertex, IMAGEN, r#""negative_prompt":"x","n":8"#, None),
            (ProviderKind::Vertex, IMAGEN, r#""n":9"#, Some("n")),
            (ProviderKind::Vertex, IMAGEN, r#""style":"vivid""#, Some("style")),
        ] {
            assert_eq!(fault(kind, model, members).as_deref(), param, "{kind} {model} {members}");
        }
    }

    #[test]
    fn a_mask_is_a_file() {
        let body = r#"{"parts":[{"name":"image","bytes":1},{"name":"mask","bytes":1},{"name":"prompt","value":"x"}]}"#;
        let fault = |kind, model| {
            let reason = inexpressible(kind, Operation::ImageEdit, model, body, 2);
            reason.and_then(|reason| reason.param)
        };
        assert_eq!(fault(ProviderKind::Gemini, "gemini-2.5-flash-image").as_deref(), Some("mask"));
        assert_eq!(fault(ProviderKind::Bedrock, NOVA), None);
    }

    #[test]
    fn an_edits_files_are_within_a_bedrock_body() {
        for (bytes, kind, param) in [
            (BEDROCK_MEDIA_BYTES, "inpainting", None),
            (BEDROCK_MEDIA_BYTES + 1, "inpainting", Some("image")),
            (1, "erase", Some("type")),
        ] {
            let body = format!(
                r#"{{"parts":[{{"name":"image","bytes":{bytes}}},{{"name":"type","value":"{kind}"}},{{"name":"n","value":"2"}}]}}"#
            );
            let reason = inexpressible(ProviderKind::Bedrock, Operation::ImageEdit, NOVA, &body, 2);
            assert_eq!(reason.and_then(|reason| reason.param).as_deref(), param, "{bytes} {kind}");
        }
    }
}
