//! How much Claude is to think, which is said alike at Anthropic and at Bedrock.
//!
//! - A budget, up to Claude 4.6: <https://platform.claude.com/docs/en/build-with-claude/extended-thinking>
//! - Adaptive, from Claude 4.6 on: <https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>
//! - Effort: <https://platform.claude.com/docs/en/build-with-claude/effort>

use super::Unsendable;
use crate::chat::Reasoning;
use crate::literal::Literal;
use crate::request_body::write_object;

/// The least that a budget may be, in tokens.
const LEAST_BUDGET: u64 = 1024;
/// Tokens for the answer behind the thoughts, where the client gives no limit.
const ANSWER_TOKENS: u64 = 4096;

/// Efforts, with the share of the client's limit of tokens that each may think with, in percent, and the budget where it gives none.
const BUDGETS: [(&str, u64, u64); 6] = [
    ("minimal", 10, 1024),
    ("low", 20, 2048),
    ("medium", 50, 8192),
    ("high", 80, 16_384),
    ("xhigh", 95, 24_576),
    ("max", 95, 24_576),
];

/// What a request says of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Thinking {
    /// `thinking`, as JSON.
    pub(super) thinking: Option<String>,
    /// `output_config.effort`.
    pub(super) effort: Option<&'static str>,
    /// The limit of tokens that it needs, where the client gives none.
    pub(super) max_tokens: Option<u64>,
}

/// The version of a model: 406 is 4.6. None where its name has none. A date is no number of a version.
fn version(model: &str) -> Option<u16> {
    let (_, name) = model.split_once("claude")?;
    let number = |part: &str| (1..=2).contains(&part.len()).then(|| part.parse::<u16>().ok()).flatten();
    let mut parts = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let major = parts.by_ref().find_map(number)?;
    Some(major * 100 + parts.next().and_then(number).unwrap_or(0))
}

pub(super) fn is_claude(model: &str) -> bool {
    model.contains("claude")
}

/// # Errors
/// If the model cannot think, or not so.
pub(super) fn thinking(
    model: &str,
    reasoning: &Reasoning<'_>,
    max_tokens: Option<&str>,
) -> Result<Thinking, Unsendable> {
    let effort = reasoning.effort.as_deref();
    let is_off =
        reasoning.enabled == Some(false) || effort == Some("none") || reasoning.max_tokens == Some("0");
    let is_asked = effort.is_some() || reasoning.max_tokens.is_some() || reasoning.enabled == Some(true);
    if is_off || !is_asked {
        return Ok(Thinking::default());
    }
    let effort = match effort {
        None => None,
        Some(effort) => Some(BUDGETS.iter().find(|(known, ..)| *known == effort).ok_or_else(no_effort)?),
    };
    // A model whose name has no version is newer than those that have one.
    let version = version(model).unwrap_or(u16::MAX);
    let display = reasoning.display.as_ref().map(Literal::as_json);
    match (version, reasoning.max_tokens) {
        (..307, _) => Err(no_effort()),
        (407.., Some(_)) => Err(Unsendable::Member("reasoning.max_tokens".to_owned())),
        (307..=406, Some(_)) | (307..=405, None) => budget(reasoning.max_tokens, effort, max_tokens, display),
        (406.., None) => Ok(Thinking {
            thinking: Some(write_object(&[("type", Some("\"adaptive\"")), ("display", display)])),
            effort: effort.map(|(effort, ..)| match *effort {
                "minimal" => "low",
                "xhigh" if version == 406 => "high",
                effort => effort,
            }),
            max_tokens: None,
        }),
    }
}

fn no_effort() -> Unsendable {
    Unsendable::Member("reasoning_effort".to_owned())
}

/// A budget is below the limit of tokens.
fn budget(
    asked: Option<&str>,
    effort: Option<&(&str, u64, u64)>,
    max_tokens: Option<&str>,
    display: Option<&str>,
) -> Result<Thinking, Unsendable> {
    let limit = max_tokens.and_then(|limit| limit.parse::<u64>().ok());
    let asked = match asked {
        None => None,
        Some(asked) => {
            let asked = asked.parse::<u64>().ok().filter(|asked| *asked >= LEAST_BUDGET);
            Some(asked.ok_or_else(|| Unsendable::Member("reasoning.max_tokens".to_owned()))?)
        }
    };
    let (_, percent, fixed) = effort.copied().unwrap_or(("medium", 50, 8192));
    let budget = match (asked, limit) {
        (Some(asked), _) => asked,
        (None, Some(limit)) => (limit.saturating_mul(percent) / 100).max(LEAST_BUDGET),
        (None, None) => fixed,
    };
    let budget = limit.map_or(budget, |limit| budget.min(limit.saturating_sub(1)));
    if budget < LEAST_BUDGET {
        return Err(no_effort());
    }
    let tokens = budget.to_string();
    let members =
        [("type", Some("\"enabled\"")), ("budget_tokens", Some(tokens.as_str())), ("display", display)];
    let max_tokens = limit.is_none().then(|| budget.saturating_add(ANSWER_TOKENS));
    Ok(Thinking { thinking: Some(write_object(&members)), effort: None, max_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ChatRequest;

    #[test]
    fn a_version_is_read_off_every_form_of_a_name() {
        for (model, wanted) in [
            ("claude-opus-4-6", Some(406)),
            ("claude-sonnet-4-20250514", Some(400)),
            ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", Some(307)),
            ("anthropic.claude-opus-4-6-v1", Some(406)),
            ("claude-sonnet-4-5@20250929", Some(405)),
            ("claude-2.1", Some(201)),
            ("claude-fable-5", Some(500)),
            ("claude-mythos-preview", None),
            ("amazon.nova-lite-v1:0", None),
        ] {
            assert_eq!(version(model), wanted, "{model}");
        }
    }

    fn asked(model: &str, members: &str) -> Result<(String, Option<&'static str>, Option<u64>), Unsendable> {
        let body = format!("{{{members}}}");
        let chat = ChatRequest::parse(&body).unwrap();
        let Thinking { thinking, effort, max_tokens } = thinking(model, &chat.reasoning, chat.max_tokens)?;
        Ok((thinking.unwrap_or_default(), effort, max_tokens))
    }

    #[test]
    fn each_generation_thinks_in_its_own_way() {
        let budget = |tokens: u64, limit| {
            Ok((format!(r#"{{"type":"enabled","budget_tokens":{tokens}}}"#), None, limit))
        };
        let adaptive = |effort| Ok((r#"{"type":"adaptive"}"#.to_owned(), effort, None));
        let refused = |param: &str| Err(Unsendable::Member(param.to_owned()));
        let nothing = || Ok((String::new(), None, None));
        for (model, members, wanted) in [
            ("claude-sonnet-4-5", "", nothing()),
            ("claude-sonnet-4-5", r#""reasoning_effort":"none""#, nothing()),
            ("claude-3-5-haiku", r#""reasoning":{"enabled":false}"#, nothing()),
            ("claude-sonnet-4-5", r#""reasoning_effort":"low""#, budget(2048, Some(6144))),
            ("claude-sonnet-4-5", r#""reasoning_effort":"high","max_tokens":10000"#, budget(8000, None)),
            ("claude-sonnet-4-5", r#""reasoning_effort":"low","max_tokens":2000"#, budget(1024, None)),
            (
                "claude-sonnet-4-5",
                r#""reasoning_effort":"low","max_tokens":1024"#,
                refused("reasoning_effort"),
            ),
            ("claude-sonnet-4-5", r#""reasoning":{"max_tokens":5000},"max_tokens":3000"#, budget(2999, None)),
            ("claude-sonnet-4-5", r#""reasoning":{"max_tokens":5000}"#, budget(5000, Some(9096))),
            ("claude-sonnet-4-5", r#""reasoning_max_tokens":1000"#, refused("reasoning.max_tokens")),
            ("claude-sonnet-4-5", r#""reasoning_effort":"turbo""#, refused("reasoning_effort")),
            ("claude-3-5-haiku-20241022", r#""reasoning_effort":"low""#, refused("reasoning_effort")),
            ("claude-opus-4-6", r#""reasoning_effort":"xhigh""#, adaptive(Some("high"))),
            ("claude-opus-4-6", r#""reasoning":{"max_tokens":2000}"#, budget(2000, Some(6096))),
            ("claude-opus-4-7", r#""reasoning_effort":"minimal""#, adaptive(Some("low"))),
            ("claude-opus-4-7", r#""reasoning":{"enabled":true}"#, adaptive(None)),
            ("claude-opus-4-7", r#""reasoning":{"max_tokens":2000}"#, refused("reasoning.max_tokens")),
            ("claude-mythos-preview", r#""reasoning_effort":"max""#, adaptive(Some("max"))),
        ] {
            assert_eq!(asked(model, members), wanted, "{model} {members}");
        }
        let shown = asked("claude-opus-4-7", r#""reasoning":{"effort":"low","display":"omitted"}"#);
        assert_eq!(shown.unwrap().0, r#"{"type":"adaptive","display":"omitted"}"#);
    }
}
