//! Images at Amazon Bedrock, which each family of models is asked for in its own way.
//!
//! - Amazon Titan Image Generator: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-image.html>
//! - Amazon Nova Canvas: <https://docs.aws.amazon.com/nova/latest/userguide/image-gen-req-resp-structure.html>
//! - Stability AI: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-stability-diffusion.html>
//!
//! Amazon's models have a task, with parameters of its own, and a configuration that is the same for all. Those of Stability AI have all
//! in one object, and a task each. A mask goes as it came: Amazon's are black where the image changes, Stability AI's white.

use hermod_types::Operation;
use serde::Deserialize;

use super::bedrock::{Bedrock, url};
use super::{Ask, Outgoing, Unsendable};
use crate::answer::Answer;
use crate::images::{Image, ImageReply, ImageRequest, Images};
use crate::literal::Literal;
use crate::payload::{FILE, Upload};
use crate::request_body::RequestBody;

/// What Amazon's models make in a call.
const MOST_IMAGES: usize = 5;

/// Where Amazon's models have a member: in the task's parameters, or in the configuration; and its name there.
const PARAMETERS: [(&str, &str); 7] = [
    ("negative_prompt", "negativeText"),
    ("style", "style"),
    ("maskPrompt", "maskPrompt"),
    ("outPaintingMode", "outPaintingMode"),
    ("similarityStrength", "similarityStrength"),
    ("controlMode", "controlMode"),
    ("controlStrength", "controlStrength"),
];
const CONFIGURATION: [(&str, &str); 3] =
    [("seed", "seed"), ("cfgScale", "cfgScale"), ("cfg_scale", "cfgScale")];

/// Members that have been read. A model of Stability AI's is its task, whatever the `type`.
const READ: [&str; 3] = ["size", "quality", "type"];

/// Ratios of width to height that Stability AI's models have.
const RATIOS: [(u32, u32); 9] = [(16, 9), (1, 1), (21, 9), (2, 3), (3, 2), (4, 5), (5, 4), (9, 16), (9, 21)];

impl Images for Bedrock {
    fn most_images(&self, model: &str) -> usize {
        if is_stability(model) { 1 } else { MOST_IMAGES }
    }

    fn request(&self, ask: &Ask<'_>, request: &ImageRequest<'_>, n: usize) -> Result<Outgoing, Unsendable> {
        let (body, files) =
            if is_stability(ask.model) { stability(ask.model, request)? } else { amazon(request, n)? };
        Outgoing::with_files(&url(ask, "invoke")?, &body, files)
    }

    fn read(&self, answer: &Answer) -> Result<ImageReply, String> {
        let unlike = |_| "its answer is not one of images".to_owned();
        let made: Made<'_> = serde_json::from_str(answer.text()?).map_err(unlike)?;
        if let Some(reason) = made.finish_reasons.into_iter().flatten().next() {
            return Err(format!("it made no image: {}", reason.decode()));
        }
        let images = made.images.into_iter().map(|image| Image::of_base64(image.into_owned()));
        Ok(ImageReply { images: images.collect(), usage: None })
    }
}

/// Its id, that of an inference profile and a foundation model's ARN all name the maker.
fn is_stability(model: &str) -> bool {
    model.contains("stability.")
}

fn unsaid(name: &str) -> Unsendable {
    Unsendable::Member(name.to_owned())
}

/// A request to one of Amazon's models, and its files in their order.
fn amazon<'r>(request: &'r ImageRequest<'_>, n: usize) -> Result<(String, Vec<&'r Upload>), Unsendable> {
    let (task, parameters) = task(request)?;
    let mut own = RequestBody::nested();
    let mut files: Vec<&Upload> = Vec::new();
    match task {
        "TEXT_IMAGE" => {}
        "IMAGE_VARIATION" => {
            files.extend(&request.images);
            own.own("images", &format!("[{}]", vec![FILE; files.len()].join(",")));
        }
        _ => {
            let [image] = request.images.as_slice() else { return Err(unsaid("image")) };
            files.push(image);
            own.own("image", FILE);
        }
    }
    if let Some(mask) = &request.mask {
        if !matches!(task, "INPAINTING" | "OUTPAINTING") {
            return Err(unsaid("mask"));
        }
        files.push(mask);
        own.own("maskImage", FILE);
    }
    let is_removal = task == "BACKGROUND_REMOVAL";
    if let Some(prompt) = request.prompt.as_ref().filter(|_| !is_removal) {
        own.own("text", prompt.as_json());
    }
    let mut configuration = RequestBody::nested();
    configuration.own("numberOfImages", &n.to_string());
    if let Some((width, height)) = size(request)? {
        configuration.own("width", &width.to_string());
        configuration.own("height", &height.to_string());
    }
    if let Some(quality) = quality(request)? {
        configuration.own("quality", quality);
    }
    for (name, value) in request.members.iter().filter(|(name, _)| !READ.contains(&name.as_ref())) {
        let place = |places: &[(&str, &'static str)]| {
            places.iter().find(|(ours, _)| ours == name).map(|(_, theirs)| *theirs)
        };
        if let Some(theirs) = place(&PARAMETERS) {
            own.client(theirs, value);
        } else if let Some(theirs) = place(&CONFIGURATION) {
            configuration.client(theirs, value);
        } else if (name.as_ref(), value.as_ref()) != ("output_format", "\"png\"") {
            return Err(unsaid(name));
        }
    }
    let mut body = RequestBody::nested();
    body.own("taskType", &format!("\"{task}\""));
    body.own(parameters, &own.finish());
    // One image is all that this task gives.
    if !is_removal {
        body.own("imageGenerationConfig", &configuration.finish());
    } else if n > 1 {
        return Err(unsaid("n"));
    }
    Ok((body.finish(), files))
}

/// The task, and where its parameters are. An edit that does not name its `type` is one of what a mask covers, or, without any, a
/// variation by the prompt.
fn task(request: &ImageRequest<'_>) -> Result<(&'static str, &'static str), Unsendable> {
    if request.operation == Operation::ImageGeneration {
        return Ok(("TEXT_IMAGE", "textToImageParams"));
    }
    let is_masked = request.mask.is_some() || request.member("maskPrompt").is_some();
    let named = request.text("type").filter(|_| request.operation == Operation::ImageEdit);
    match named.as_deref() {
        None if is_masked => Ok(("INPAINTING", "inPaintingParams")),
        None | Some("variation") => Ok(("IMAGE_VARIATION", "imageVariationParams")),
        Some("inpainting") => Ok(("INPAINTING", "inPaintingParams")),
        Some("outpainting") => Ok(("OUTPAINTING", "outPaintingParams")),
        Some("background_removal") => Ok(("BACKGROUND_REMOVAL", "backgroundRemovalParams")),
        Some(_) => Err(unsaid("type")),
    }
}

/// The size, unless it is the model's choice.
fn size(request: &ImageRequest<'_>) -> Result<Option<(u32, u32)>, Unsendable> {
    if request.member("size").is_none() {
        Ok(None)
    } else {
        request.size().map(Some).ok_or_else(|| unsaid("size"))
    }
}

/// In Amazon's words.
fn quality(request: &ImageRequest<'_>) -> Result<Option<&'static str>, Unsendable> {
    match request.text("quality").as_deref() {
        None => Ok(None),
        Some("standard" | "low" | "medium") => Ok(Some("\"standard\"")),
        Some("premium" | "hd" | "high") => Ok(Some("\"premium\"")),
        Some(_) => Err(unsaid("quality")),
    }
}

/// A request to one of Stability AI's models, and its files in their order.
fn stability<'r>(
    model: &str,
    request: &'r ImageRequest<'_>,
) -> Result<(String, Vec<&'r Upload>), Unsendable> {
    let mut body = RequestBody::nested();
    let mut files = Vec::new();
    if let Some(prompt) = &request.prompt {
        body.own("prompt", prompt.as_json());
    }
    match request.images.as_slice() {
        [] => {}
        [image] => {
            files.push(image);
            body.own("image", FILE);
            // These make images of texts, too, unless told.
            if model.contains(".sd3") {
                body.client("mode", "\"image-to-image\"");
            }
        }
        _ => return Err(unsaid("image")),
    }
    if let Some(mask) = &request.mask {
        files.push(mask);
        body.own("mask", FILE);
    }
    if let Some((width, height)) = size(request)? {
        let ratio = RATIOS
            .iter()
            .find(|(w, h)| u64::from(width) * u64::from(*h) == u64::from(height) * u64::from(*w));
        let (width, height) = ratio.ok_or_else(|| unsaid("size"))?;
        body.own("aspect_ratio", &format!("\"{width}:{height}\""));
    }
    if request.text("quality").is_some_and(|quality| quality != "standard") {
        return Err(unsaid("quality"));
    }
    for (name, value) in request.members.iter().filter(|(name, _)| !READ.contains(&name.as_ref())) {
        body.client(name, value);
    }
    Ok((body.finish(), files))
}

#[derive(Deserialize)]
struct Made<'a> {
    #[serde(borrow, default)]
    images: Vec<Literal<'a>>,
    /// Stability AI's, one for each image: none for one that was made.
    #[serde(borrow, default)]
    finish_reasons: Vec<Option<Literal<'a>>>,
}
