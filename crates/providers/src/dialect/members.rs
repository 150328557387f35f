//! Members of OpenAI's chat where a provider's form has none for them.

/// What is done with such a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It asks for nothing that an answer shows, or for what is done anyway.
    LeftOut,
    /// It cannot be said.
    Refused,
    /// OpenAI has no such member: it is the provider's own.
    Passed,
}

/// What is done with a member that has this value, as JSON.
pub(super) fn foreign(name: &str, value: &str) -> Foreign {
    let left_out = match name {
        "user"
        | "safety_identifier"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "metadata"
        | "store"
        // How soon and at what price: no answer shows it.
        | "service_tier"
        // Anthropic's, of what may be kept.
        | "cache_control" => true,
        "logprobs" => value == "false",
        "top_logprobs" => value == "0",
        "logit_bias" => is_empty(value, '{', '}'),
        "modalities" => is_empty(value, '[', ']') || only_text(value),
        "verbosity" => value == "\"medium\"",
        "truncation" => value == "\"disabled\"",
        "functions" => is_empty(value, '[', ']'),
        "function_call" => matches!(value, "\"auto\"" | "\"none\""),
        "web_search_options" | "audio" | "prediction" => false,
        _ => return Foreign::Passed,
    };
    if left_out { Foreign::LeftOut } else { Foreign::Refused }
}

fn is_empty(value: &str, open: char, close: char) -> bool {
    value
        .strip_prefix(open)
        .and_then(|rest| rest.strip_suffix(close))
        .is_some_and(|inner| inner.trim().is_empty())
}

fn only_text(value: &str) -> bool {
    let modalities: Vec<String> = serde_json::from_str(value).unwrap_or_default();
    modalities == ["text"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_an_answer_is_not_left_out() {
        for (name, value, done) in [
            ("store", "true", Foreign::LeftOut),
            ("logit_bias", "{ }", Foreign::LeftOut),
            ("logit_bias", r#"{"1":5}"#, Foreign::Refused),
            ("modalities", r#"[ "text" ]"#, Foreign::LeftOut),
            ("modalities", r#"["text","audio"]"#, Foreign::Refused),
            ("logprobs", "false", Foreign::LeftOut),
            ("logprobs", "true", Foreign::Refused),
            ("verbosity", r#""low""#, Foreign::Refused),
            ("service_tier", r#""flex""#, Foreign::LeftOut),
            ("web_search_options", "{}", Foreign::Refused),
            ("safetySettings", "[]", Foreign::Passed),
        ] {
            assert_eq!(foreign(name, value), done, "{name} {value}");
        }
    }
}
