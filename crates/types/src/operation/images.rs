use super::rules::{FormRules, JsonRules, Rules, need_text};
use crate::shape::Shape;

/// <https://platform.openai.com/docs/api-reference/images/create>, and what other providers add to it.
pub(super) const GENERATION: Rules = Rules::Json(JsonRules {
    known: &[
        ("prompt", Shape::String),
        ("n", Shape::Integer),
        ("partial_images", Shape::Integer),
        ("output_compression", Shape::Integer),
        ("seed", Shape::Integer),
        ("num_inference_steps", Shape::Integer),
        ("size", Shape::String),
        ("quality", Shape::String),
        ("background", Shape::String),
        ("moderation", Shape::String),
        ("output_format", Shape::String),
        ("style", Shape::String),
        ("response_format", Shape::String),
        ("negative_prompt", Shape::String),
        ("aspect_ratio", Shape::String),
        ("resolution", Shape::String),
        ("user", Shape::String),
        ("input_images", Shape::Strings),
    ],
    required: |object| need_text(object, "prompt", "prompt cannot be empty"),
    ..JsonRules::NONE
});

/// <https://platform.openai.com/docs/api-reference/images/createEdit>
pub(super) const EDIT: Rules = Rules::Form(FORM);
/// <https://platform.openai.com/docs/api-reference/images/createVariation>
pub(super) const VARIATION: Rules = Rules::Form(FORM);

const FORM: FormRules = FormRules {
    files: &["image[]", "image"],
    missing: "at least one image is required",
    param: "image",
    integers: &["n", "partial_images", "output_compression", "seed", "num_inference_steps"],
};
