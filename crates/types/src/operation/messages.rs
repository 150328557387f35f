use super::rules::{JsonRules, Rules, need};
use crate::shape::{Members, Shape, Tagged};

/// <https://docs.claude.com/en/api/messages>
pub(super) const RULES: Rules = Rules::Json(JsonRules {
    known: &[
        ("messages", Shape::Each(&Shape::Tagged(&MESSAGE))),
        ("max_tokens", Shape::Integer),
        ("system", Shape::StringOr(&Shape::Each(&Shape::Tagged(&BLOCK)))),
        ("metadata", Shape::Members(&METADATA)),
        ("output_config", Shape::Members(&OUTPUT)),
        ("service_tier", Shape::String),
        ("stop_sequences", Shape::Strings),
        ("temperature", Shape::Number),
        ("thinking", Shape::Members(&THINKING)),
        ("tool_choice", Shape::Members(&TOOL_CHOICE)),
        ("tools", Shape::Each(&Shape::Members(&TOOL))),
        ("top_k", Shape::Integer),
        ("top_p", Shape::Number),
    ],
    required: |object| {
        need(object, "messages", "messages: Field required")?;
        need(object, "max_tokens", "max_tokens: Field required")
    },
    ..JsonRules::NONE
});

const METADATA: Members = Members { known: &[("user_id", Shape::String)], needed: &[] };
const OUTPUT: Members =
    Members { known: &[("effort", Shape::String), ("format", Shape::Object)], needed: &[] };
const THINKING: Members = Members {
    known: &[("type", Shape::String), ("budget_tokens", Shape::Integer), ("display", Shape::String)],
    needed: &["type"],
};
const TOOL_CHOICE: Members = Members {
    known: &[("type", Shape::String), ("name", Shape::String), ("disable_parallel_tool_use", Shape::Boolean)],
    needed: &["type"],
};
/// A tool of the client's, or one of Anthropic's, which has a type.
const TOOL: Members = Members {
    known: &[
        ("type", Shape::String),
        ("name", Shape::String),
        ("description", Shape::String),
        ("input_schema", Shape::Object),
        ("strict", Shape::Boolean),
    ],
    needed: &[],
};

const MESSAGE: Tagged = Tagged {
    tag: "role",
    kinds: &[("user", &SPOKEN), ("assistant", &SPOKEN)],
    is_open: true,
    untagged: None,
};
const SPOKEN: Members = Members {
    known: &[("content", Shape::StringOr(&Shape::Each(&Shape::Tagged(&BLOCK))))],
    needed: &["content"],
};

const BLOCK: Tagged = Tagged {
    tag: "type",
    kinds: &[
        ("text", &Members { known: &[("text", Shape::String)], needed: &["text"] }),
        ("image", &Members { known: &[("source", Shape::Tagged(&SOURCE))], needed: &["source"] }),
        ("document", &Members { known: DOCUMENT, needed: &["source"] }),
        (
            "thinking",
            &Members {
                known: &[("thinking", Shape::String), ("signature", Shape::String)],
                needed: &["thinking"],
            },
        ),
        ("redacted_thinking", &Members { known: &[("data", Shape::String)], needed: &["data"] }),
        (
            "tool_use",
            &Members {
                known: &[("id", Shape::String), ("name", Shape::String), ("input", Shape::Object)],
                needed: &["id", "name", "input"],
            },
        ),
        (
            "tool_result",
            &Members {
                known: &[
                    ("tool_use_id", Shape::String),
                    ("content", Shape::StringOr(&Shape::Each(&Shape::Tagged(&RESULT)))),
                    ("is_error", Shape::Boolean),
                ],
                needed: &["tool_use_id"],
            },
        ),
    ],
    is_open: true,
    untagged: None,
};
/// What a tool's result is made of.
const RESULT: Tagged = Tagged {
    tag: "type",
    kinds: &[
        ("text", &Members { known: &[("text", Shape::String)], needed: &["text"] }),
        ("image", &Members { known: &[("source", Shape::Tagged(&SOURCE))], needed: &["source"] }),
        ("document", &Members { known: DOCUMENT, needed: &["source"] }),
    ],
    is_open: true,
    untagged: None,
};
const DOCUMENT: &[crate::shape::Member] =
    &[("source", Shape::Tagged(&SOURCE)), ("title", Shape::String), ("context", Shape::String)];

const SOURCE: Tagged = Tagged {
    tag: "type",
    kinds: &[
        (
            "base64",
            &Members {
                known: &[("media_type", Shape::String), ("data", Shape::String)],
                needed: &["media_type", "data"],
            },
        ),
        ("url", &Members { known: &[("url", Shape::String)], needed: &["url"] }),
        ("text", &Members { known: &[("data", Shape::String)], needed: &["data"] }),
        ("file", &Members { known: &[("file_id", Shape::String)], needed: &["file_id"] }),
    ],
    is_open: true,
    untagged: None,
};

#[cfg(test)]
mod tests {
    use crate::{InvalidRequest, Operation, Request};

    fn parse(members: &str) -> Result<Request, InvalidRequest> {
        Request::parse(
            Operation::Messages,
            format!("{{\"model\":\"a/b\",{members}}}").as_bytes(),
            crate::Naming::default(),
        )
    }

    #[test]
    fn they_are_responses_but_for_their_records() {
        for operation in Operation::all() {
            let is_public = operation.is_public() && operation.record_type() == operation.request_type();
            assert_eq!(is_public, operation != Operation::Messages, "{operation}");
            let json = serde_json::to_string(&operation).unwrap();
            assert_eq!(json, format!("\"{}\"", operation.record_type()));
            assert_eq!(serde_json::from_str::<Operation>(&json).unwrap(), operation);
        }
        let messages = Operation::Messages;
        assert_eq!((messages.polled_as(), messages.request_type()), (Operation::Responses, "responses"));
        assert_eq!(messages.record_type(), "messages");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_by_its_path() {
        let message =
            |content: &str| format!(r#""max_tokens":1,"messages":[{{"role":"user","content":[{content}]}}]"#);
        let format = |param: &str, what: &str| format!("invalid request format: `{param}` {what}");
        let missing = |param: &str| format!("{param}: Field required");
        let input = "messages[0].content[0].input";
        let url = "messages[0].content[0].source.url";
        for (members, param, what) in [
            (r#""max_tokens":1"#.to_owned(), "messages", missing("messages")),
            (r#""messages":[],"max_tokens":1"#.to_owned(), "messages", missing("messages")),
            (r#""messages":[{"role":"user","content":"x"}]"#.to_owned(), "max_tokens", missing("max_tokens")),
            (
                message(r#"{"type":"tool_use","id":"t","name":"f","input":"{}"}"#),
                input,
                format(input, "must be an object"),
            ),
            (
                message(r#"{"type":"image","source":{"type":"url","url":1}}"#),
                url,
                format(url, "must be a string"),
            ),
        ] {
            let error = parse(&members).unwrap_err();
            assert_eq!((error.message.as_str(), error.param.as_deref()), (what.as_str(), Some(param)));
        }
    }

    #[test]
    fn what_clients_write_passes_as_they_wrote_it() {
        let members = concat!(
            r#""max_tokens":1024,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"#,
            r#""messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},"#,
            r#"{"type":"document","source":{"type":"content","content":[]}},{"type":"video_of_tomorrow","text":7}]},"#,
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"s"},{"type":"redacted_thinking","data":"d"},"#,
            r#"{"type":"tool_use","id":"t","name":"f","input":{"a":1.0}},{"type":"server_tool_use","input":1e400}]},"#,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"x"}],"is_error":true}]}],"#,
            r#""tools":[{"name":"f","input_schema":{"z":1,"a":{"n":1e400}}},{"type":"web_search_20250305","name":"web_search"}],"#,
            r#""tool_choice":{"type":"auto"},"thinking":{"type":"enabled","budget_tokens":1024}"#
        );
        assert_eq!(parse(members).unwrap().body, format!("{{{members}}}"));
    }
}
