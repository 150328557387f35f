//! Responses that go out as the client wrote them, less what was thought elsewhere: nobody takes a thought that is not their own, or a
//! member that they do not know.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::history::{Change, changed, each, without};

/// One of these stands in each body that has something of ours.
const MARKS: [&str; 2] = ["\"reasoning_format\"", "\"extra_content\""];

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_format: Option<&'a RawValue>,
    #[serde(borrow, default)]
    extra_content: Option<&'a RawValue>,
}

/// The body as it came, where nothing in it is ours.
pub(crate) fn without_foreign(body: &str) -> Cow<'_, str> {
    if !MARKS.iter().any(|mark| body.contains(mark)) {
        return Cow::Borrowed(body);
    }
    changed(body, "input", |items| each(items, item)).map_or(Cow::Borrowed(body), Cow::Owned)
}

fn item(json: &str) -> Change {
    let Ok(item) = serde_json::from_str::<Item<'_>>(json) else { return Change::Stays };
    match (item.kind.as_deref(), item.reasoning_format, item.extra_content) {
        (Some("reasoning"), Some(_), _) => Change::Goes,
        (Some("message" | "function_call"), _, Some(_)) => without(json, &["extra_content"]),
        _ => Change::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_left_out_and_all_else_passes_byte_for_byte() {
        let theirs = r#"{"input": [{"type":"reasoning","id":"rs_1", "summary":[],"encrypted_content":"e","format":"x"},{"role":"user","content":"\"extra_content\""}],"n":1e400}"#;
        assert_eq!(without_foreign(theirs), theirs);
        let input = r#"[{"type":"reasoning","id":"rs_1","summary":[],"reasoning_format":"unknown"},{"type":"function_call","call_id":"c", "arguments":"{\"n\": 1e400}","extra_content":{"google":{}}},{"type":"function_call_output","call_id":"c", "output":"x"}]"#;
        assert_eq!(
            without_foreign(&format!(r#"{{"input":{input},"n":1e400}}"#)),
            r#"{"input":[{"type":"function_call","call_id":"c","arguments":"{\"n\": 1e400}"},{"type":"function_call_output","call_id":"c", "output":"x"}],"n":1e400}"#
        );
    }
}
