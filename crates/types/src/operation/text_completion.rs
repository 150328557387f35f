use super::rules::{JsonRules, Rules, need};
use crate::shape::Shape;

/// <https://platform.openai.com/docs/api-reference/completions/create>
pub(super) const RULES: Rules = Rules::Json(JsonRules {
    known: &[
        ("prompt", Shape::Prompt),
        ("best_of", Shape::Integer),
        ("max_tokens", Shape::Integer),
        ("n", Shape::Integer),
        ("logprobs", Shape::Integer),
        ("seed", Shape::Integer),
        ("frequency_penalty", Shape::Number),
        ("presence_penalty", Shape::Number),
        ("temperature", Shape::Number),
        ("top_p", Shape::Number),
        ("echo", Shape::Boolean),
        ("logit_bias", Shape::NumberByToken),
        ("stop", Shape::StringOrStrings),
        ("suffix", Shape::String),
        ("user", Shape::String),
    ],
    required: |object| need(object, "prompt", "prompt is required for text completion"),
    ..JsonRules::NONE
});
