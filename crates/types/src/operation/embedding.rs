use super::rules::{JsonRules, Rules, need};
use crate::shape::Shape;

/// <https://platform.openai.com/docs/api-reference/embeddings/create>, and Bifrost's content parts.
pub(super) const RULES: Rules = Rules::Json(JsonRules {
    known: &[
        ("input", Shape::PromptOrParts),
        ("encoding_format", Shape::String),
        ("dimensions", Shape::Integer),
        ("user", Shape::String),
    ],
    required: |object| need(object, "input", "input is required for embeddings"),
    ..JsonRules::NONE
});
