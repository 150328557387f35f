//! Messages that go to Anthropic as the client wrote them, less what was thought elsewhere.
//!
//! A conversation that has been with another provider has blocks that [`super::message`] wrote: thoughts that Anthropic has not signed,
//! and members that it does not know. It refuses both: <https://docs.claude.com/en/docs/build-with-claude/extended-thinking>

use std::borrow::Cow;

use hermod_types::RawObject;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::{BEDROCK_REASONING, CLAUDE_REASONING};
use crate::history::{Change, changed, each, without};
use crate::literal::Literal;

/// Members that are ours.
const OURS: [&str; 2] = ["extra_content", "reasoning_format"];
/// One of these stands in each body that has something of ours.
const MARKS: [&str; 2] = ["thinking\"", "\"extra_content\""];

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    signature: Option<Literal<'a>>,
    #[serde(borrow, default)]
    reasoning_format: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    extra_content: Option<&'a RawValue>,
}

/// The body as Anthropic takes it: as it came, where nothing in it is ours.
pub(crate) fn without_foreign(body: &str) -> Cow<'_, str> {
    if !MARKS.iter().any(|mark| body.contains(mark)) {
        return Cow::Borrowed(body);
    }
    changed(body, "messages", |messages| each(messages, message)).map_or(Cow::Borrowed(body), Cow::Owned)
}

fn message(json: &str) -> Change {
    let is_said =
        |object: &RawObject<'_>| object.get("role").is_some_and(|role| role.get() == "\"assistant\"");
    if !serde_json::from_str(json).is_ok_and(|object| is_said(&object)) {
        return Change::Stays;
    }
    changed(json, "content", |blocks| each(blocks, block)).map_or(Change::Stays, Change::Becomes)
}

fn block(json: &str) -> Change {
    let Ok(block) = serde_json::from_str::<Block<'_>>(json) else { return Change::Stays };
    let reads =
        |formats: &[&str]| block.reasoning_format.as_deref().is_none_or(|format| formats.contains(&format));
    let is_foreign = match block.kind.as_ref() {
        "thinking" => {
            let is_signed = block.signature.as_ref().is_some_and(|signature| !signature.is_empty());
            !(is_signed && reads(&[CLAUDE_REASONING, BEDROCK_REASONING]))
        }
        "redacted_thinking" => !reads(&[CLAUDE_REASONING]),
        "text" | "tool_use" => false,
        _ => return Change::Stays,
    };
    if is_foreign {
        return Change::Goes;
    }
    if block.reasoning_format.is_none() && block.extra_content.is_none() {
        return Change::Stays;
    }
    without(json, &OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(content: &str) -> String {
        format!(
            r#"{{"max_tokens": 9,"messages": [{{"role":"user","content":"thinking\"" }},{{"content":{content}, "role":"assistant"}}],"n":1e400}}"#
        )
    }

    #[test]
    fn what_is_anthropics_passes_byte_for_byte() {
        for content in [
            "\"text\"",
            r#"[{"type":"thinking","thinking":"t", "signature":"s"},{"type":"redacted_thinking","data":"d"},{"type":"text","text":"x"}]"#,
            r#"[{"type":"server_tool_use","format":"x","input":1e400}]"#,
        ] {
            let body = said(content);
            assert_eq!(without_foreign(&body), body);
        }
    }

    #[test]
    fn what_was_thought_elsewhere_and_what_is_ours_is_left_out() {
        let body = said(
            r#"[{"type":"thinking","thinking":"t","signature":""},{"type":"thinking","thinking":"u"},{"type":"thinking","thinking":"v","signature":"s","reasoning_format":"google"},{"type":"redacted_thinking","data":"d","reasoning_format":"google"},{"type":"thinking","thinking":"w","signature":"s","reasoning_format":"anthropic-claude-v1"},{"type":"text", "text":"x\u00e9","extra_content":{}},{"type":"tool_use","id":"t","name":"f","input":{"n": 1e400},"extra_content":{"google":{}}}]"#,
        );
        assert_eq!(
            without_foreign(&body),
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"thinking\"" },{"content":[{"type":"thinking","thinking":"w","signature":"s"},{"type":"text","text":"x\u00e9"},{"type":"tool_use","id":"t","name":"f","input":{"n": 1e400}}],"role":"assistant"}],"n":1e400}"#
        );
    }
}
