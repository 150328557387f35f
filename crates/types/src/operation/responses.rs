use super::rules::{JsonRules, Rules, need};
use crate::shape::{Members, Shape, Tagged};

/// <https://platform.openai.com/docs/api-reference/responses/create>
pub(super) const RULES: Rules = Rules::Json(JsonRules {
    known: &[
        ("input", Shape::StringOr(&Shape::Each(&Shape::Tagged(&ITEM)))),
        ("background", Shape::Boolean),
        ("conversation", Shape::StringOr(&Shape::Object)),
        ("include", Shape::Strings),
        ("instructions", Shape::String),
        ("max_output_tokens", Shape::Integer),
        ("max_tool_calls", Shape::Integer),
        ("metadata", Shape::Object),
        ("parallel_tool_calls", Shape::Boolean),
        ("previous_response_id", Shape::String),
        ("prompt", Shape::Object),
        ("prompt_cache_key", Shape::String),
        ("reasoning", Shape::Members(&REASONING)),
        ("safety_identifier", Shape::String),
        ("service_tier", Shape::String),
        ("stream_options", Shape::Object),
        ("store", Shape::Boolean),
        ("temperature", Shape::Number),
        ("text", Shape::Members(&TEXT)),
        ("tool_choice", Shape::StringOr(&Shape::Object)),
        ("tools", Shape::Each(&Shape::Tagged(&TOOL))),
        ("top_logprobs", Shape::Integer),
        ("top_p", Shape::Number),
        ("truncation", Shape::String),
        ("user", Shape::String),
    ],
    required: |object| need(object, "input", "input is required for responses"),
    // The job is the background. A provider would answer at once, with a Response that is not finished.
    ours: &["background"],
    ..JsonRules::NONE
});

const REASONING: Members =
    Members { known: &[("effort", Shape::String), ("summary", Shape::String)], needed: &[] };
const TEXT: Members =
    Members { known: &[("format", Shape::Object), ("verbosity", Shape::String)], needed: &[] };

const ITEM: Tagged = Tagged {
    tag: "type",
    kinds: &[
        ("message", &MESSAGE),
        (
            "function_call",
            &Members {
                known: &[("call_id", Shape::String), ("name", Shape::String), ("arguments", Shape::String)],
                needed: &["call_id", "name"],
            },
        ),
        (
            "function_call_output",
            &Members {
                known: &[
                    ("call_id", Shape::String),
                    ("output", Shape::StringOr(&Shape::Each(&Shape::Tagged(&PART)))),
                ],
                needed: &["call_id"],
            },
        ),
    ],
    is_open: true,
    // A message, or a reference to an item.
    untagged: Some(&Members { known: MESSAGE.known, needed: &[] }),
};
const MESSAGE: Members = Members {
    known: &[("role", Shape::String), ("content", Shape::StringOr(&Shape::Each(&Shape::Tagged(&PART))))],
    needed: &["role", "content"],
};

const PART: Tagged = Tagged {
    tag: "type",
    kinds: &[
        ("input_text", &SAID),
        ("output_text", &SAID),
        ("refusal", &Members { known: &[("refusal", Shape::String)], needed: &["refusal"] }),
        (
            "input_image",
            &Members {
                known: &[("image_url", Shape::String), ("detail", Shape::String), ("file_id", Shape::String)],
                needed: &[],
            },
        ),
        (
            "input_file",
            &Members {
                known: &[
                    ("file_data", Shape::String),
                    ("file_id", Shape::String),
                    ("file_url", Shape::String),
                    ("filename", Shape::String),
                ],
                needed: &[],
            },
        ),
    ],
    is_open: true,
    untagged: None,
};
const SAID: Members = Members { known: &[("text", Shape::String)], needed: &["text"] };

const TOOL: Tagged = Tagged {
    tag: "type",
    kinds: &[(
        "function",
        &Members {
            known: &[
                ("name", Shape::String),
                ("description", Shape::String),
                ("parameters", Shape::Object),
                ("strict", Shape::Boolean),
            ],
            needed: &["name"],
        },
    )],
    is_open: true,
    untagged: None,
};
