use super::rules::{JsonRules, Rules, need, refuse_if};
use crate::shape::{MAX_MEMBERS, Member, Members, Shape, Tagged};
use crate::{InvalidRequest, RawObject};

/// <https://platform.openai.com/docs/api-reference/chat/create>, and what Bifrost adds to it.
pub(super) const RULES: Rules = Rules::Json(JsonRules {
    known: &[
        ("messages", Shape::Each(&Shape::Tagged(&MESSAGE))),
        ("max_completion_tokens", Shape::Integer),
        ("max_tokens", Shape::Integer),
        ("temperature", Shape::Number),
        ("tools", Shape::Each(&Shape::Tagged(&TOOL))),
        ("tool_choice", Shape::StringOr(&Shape::Object)),
        ("parallel_tool_calls", Shape::Boolean),
        ("response_format", Shape::Object),
        ("reasoning_effort", Shape::String),
        ("reasoning_max_tokens", Shape::Integer),
        ("reasoning_display", Shape::String),
        ("reasoning", Shape::Members(&REASONING)),
        ("top_p", Shape::Number),
        ("frequency_penalty", Shape::Number),
        ("presence_penalty", Shape::Number),
        ("n", Shape::Integer),
        ("seed", Shape::Integer),
        ("top_logprobs", Shape::Integer),
        ("logprobs", Shape::Boolean),
        ("store", Shape::Boolean),
        ("stop", Shape::StringOrStrings),
        ("logit_bias", Shape::NumberByToken),
        ("metadata", Shape::Object),
        ("modalities", Shape::Strings),
        ("audio", Shape::Object),
        ("prediction", Shape::Object),
        ("web_search_options", Shape::Object),
        ("stream_options", Shape::Object),
        ("user", Shape::String),
        ("safety_identifier", Shape::String),
        ("prompt_cache_key", Shape::String),
        ("prompt_cache_retention", Shape::String),
        ("service_tier", Shape::String),
        ("verbosity", Shape::String),
        ("truncation", Shape::String),
    ],
    required,
    ..JsonRules::NONE
});

const REASONING: Members = Members {
    known: &[
        ("enabled", Shape::Boolean),
        ("effort", Shape::String),
        ("max_tokens", Shape::Integer),
        ("display", Shape::String),
    ],
    needed: &[],
};

const MESSAGE: Tagged = Tagged {
    tag: "role",
    kinds: &[
        ("system", &SPOKEN),
        ("developer", &SPOKEN),
        ("user", &SPOKEN),
        ("assistant", &ANSWERED),
        ("tool", &SPOKEN),
        ("function", &ANSWERED),
    ],
    is_open: false,
    untagged: None,
};

/// A message that says something.
const SPOKEN: Members = Members { known: MESSAGE_MEMBERS, needed: &["content"] };
/// A message that may have tool calls, or nothing, instead of content.
const ANSWERED: Members = Members { known: MESSAGE_MEMBERS, needed: &[] };

const MESSAGE_MEMBERS: &[Member] = &[
    ("role", Shape::String),
    ("content", Shape::StringOr(&Shape::Each(&Shape::Tagged(&PART)))),
    ("name", Shape::String),
    ("tool_call_id", Shape::String),
    ("tool_calls", Shape::Each(&Shape::Tagged(&TOOL_CALL))),
    ("function_call", Shape::Members(&CALLED_FUNCTION)),
    ("refusal", Shape::String),
    ("reasoning", Shape::String),
    ("reasoning_content", Shape::String),
    ("reasoning_details", Shape::Each(&Shape::Object)),
    ("audio", Shape::Object),
];

const PART: Tagged = Tagged {
    tag: "type",
    kinds: &[
        ("text", &Members { known: &[("text", Shape::String)], needed: &["text"] }),
        ("refusal", &Members { known: &[("refusal", Shape::String)], needed: &["refusal"] }),
        ("image_url", &Members { known: &[("image_url", Shape::Members(&IMAGE))], needed: &["image_url"] }),
        (
            "input_audio",
            &Members { known: &[("input_audio", Shape::Members(&AUDIO))], needed: &["input_audio"] },
        ),
        ("file", &Members { known: &[("file", Shape::Members(&FILE))], needed: &["file"] }),
    ],
    is_open: true,
    untagged: None,
};
const IMAGE: Members = Members {
    known: &[("url", Shape::String), ("detail", Shape::String), ("file_id", Shape::String)],
    needed: &[],
};
const AUDIO: Members =
    Members { known: &[("data", Shape::String), ("format", Shape::String)], needed: &["data"] };
const FILE: Members = Members {
    known: &[
        ("file_data", Shape::String),
        ("file_id", Shape::String),
        ("filename", Shape::String),
        ("file_url", Shape::String),
        ("file_type", Shape::String),
    ],
    needed: &[],
};

const TOOL_CALL: Tagged = Tagged {
    tag: "type",
    kinds: &[("function", &FUNCTION_CALL)],
    is_open: true,
    // Some providers leave the type out of what they answer, and their calls come back as history.
    untagged: Some(&FUNCTION_CALL),
};
const FUNCTION_CALL: Members = Members {
    known: &[("id", Shape::String), ("function", Shape::Members(&CALLED_FUNCTION))],
    needed: &["function"],
};
const CALLED_FUNCTION: Members =
    Members { known: &[("name", Shape::String), ("arguments", Shape::String)], needed: &["name"] };

const TOOL: Tagged = Tagged {
    tag: "type",
    kinds: &[(
        "function",
        &Members { known: &[("function", Shape::Members(&FUNCTION))], needed: &["function"] },
    )],
    is_open: true,
    untagged: Some(&Members { known: &[("function", Shape::Members(&FUNCTION))], needed: &[] }),
};
const FUNCTION: Members = Members {
    known: &[
        ("name", Shape::String),
        ("description", Shape::String),
        ("parameters", Shape::Object),
        ("strict", Shape::Boolean),
    ],
    needed: &["name"],
};

/// Short forms of members of `reasoning`.
const SHORT: [(&str, &str); 3] = [
    ("reasoning_effort", "effort"),
    ("reasoning_max_tokens", "max_tokens"),
    ("reasoning_display", "display"),
];

fn required(object: &RawObject<'_>) -> Result<(), InvalidRequest> {
    need(object, "messages", "messages is required for chat completion")?;
    let Some(reasoning) = object.get("reasoning").filter(|value| value.get() != "null") else {
        return Ok(());
    };
    let reasoning = RawObject::bounded(reasoning.get(), MAX_MEMBERS)
        .map_err(|error| InvalidRequest::format(Some("reasoning"), error))?;
    let is_given = |object: &RawObject<'_>, name| object.get(name).is_some_and(|value| value.get() != "null");
    SHORT.iter().try_for_each(|(short, long)| {
        let message = format!("both {short} and reasoning.{long} cannot be present at the same time");
        refuse_if(is_given(object, short) && is_given(&reasoning, long), short, message)
    })
}
