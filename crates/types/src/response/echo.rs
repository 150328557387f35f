use serde::Deserialize;

use crate::RawObject;
use crate::raw::json_string;

/// What a Response repeats of its request, and what stands there where the request has none.
pub const ECHOED: [(&str, &str); 15] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("prompt_cache_key", "null"),
    ("reasoning", "{\"effort\":null,\"summary\":null}"),
    ("safety_identifier", "null"),
    ("service_tier", "null"),
    ("temperature", "null"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];
/// The same, of what a provider repeats only if it is OpenAI's own.
const ECHOED_BY_OPENAI: [(&str, &str); 4] =
    [("max_tool_calls", "null"), ("previous_response_id", "null"), ("prompt", "null"), ("store", "true")];

/// Bytes of an echo: it stays in Redis until its job's result expires. Members beyond it are not repeated.
const MOST_BYTES: usize = 8 << 10;

/// What a Response repeats of its request while there is no provider's Response to do so.
///
/// A JSON object with `background`, `model` as the client wrote it, and the members of [`ECHOED`] that the request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseEcho(String);

pub(super) fn all_echoed() -> impl Iterator<Item = (&'static str, &'static str)> {
    ECHOED.into_iter().chain(ECHOED_BY_OPENAI)
}

#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    background: Option<bool>,
    #[serde(default)]
    store: Option<bool>,
}

impl ResponseEcho {
    /// Of a request that is one.
    pub(crate) fn of(request: &RawObject<'_>) -> Self {
        let member = |name| request.get(name).map(|value| value.get()).filter(|value| *value != "null");
        let mut echo = format!("{{\"background\":{}", member("background").unwrap_or("false"));
        // What a client tells its Responses apart by comes first.
        let first = ["model", "metadata"];
        let others = all_echoed().map(|(name, _)| name).filter(|name| !first.contains(name));
        for name in first.into_iter().chain(others) {
            let Some(value) = member(name) else { continue };
            if echo.len() + name.len() + value.len() + "\"\":,}".len() <= MOST_BYTES {
                echo.push_str(&format!(",\"{name}\":{value}"));
            }
        }
        echo.push('}');
        Self(echo)
    }

    /// Of a job that is not known to have been asked for as a Response: it runs in the background.
    pub fn of_job(model: &str) -> Self {
        Self(format!("{{\"background\":true,\"model\":{}}}", json_string(model)))
    }

    /// What a record keeps.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// What a record has kept; none for what is no echo.
    pub fn from_json(json: String) -> Option<Self> {
        serde_json::from_str::<Asked>(&json).is_ok().then_some(Self(json))
    }

    /// Whether the client wanted its answer at once, and the result later.
    pub fn is_background(&self) -> bool {
        self.asked().background == Some(true)
    }

    /// Whether the Response is to be kept: only where the client has said that it is not, it is not.
    pub fn is_stored(&self) -> bool {
        self.asked().store != Some(false)
    }

    fn asked(&self) -> Asked {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(request: &str) -> ResponseEcho {
        ResponseEcho::of(&serde_json::from_str(request).unwrap())
    }

    #[test]
    fn it_repeats_what_the_client_wrote_as_it_was_written() {
        let echo = echo(
            r#"{"input":"secret","temperature":0.70,"model":"gpt\u002d5","background":true,"metadata":{"a": "b"},"tools":null,"fallbacks":[]}"#,
        );
        let expected = r#"{"background":true,"model":"gpt\u002d5","metadata":{"a": "b"},"temperature":0.70}"#;
        assert_eq!(echo.as_json(), expected);
        assert_eq!(ResponseEcho::from_json(expected.to_owned()), Some(echo));
    }

    #[test]
    fn what_is_too_large_is_left_out_and_no_more() {
        let tools = format!("[\"{}\"]", "t".repeat(MOST_BYTES));
        let echo = echo(&format!(r#"{{"model":"m","tools":{tools},"metadata":{{"a":"b"}},"user":"u"}}"#));
        assert_eq!(echo.as_json(), r#"{"background":false,"model":"m","metadata":{"a":"b"},"user":"u"}"#);
        let of = |bytes| self::echo(&format!(r#"{{"model":"m","instructions":"{}"}}"#, "i".repeat(bytes)));
        assert_eq!(of(MOST_BYTES - 50).as_json().len(), MOST_BYTES);
        assert_eq!(of(MOST_BYTES - 49).as_json(), r#"{"background":false,"model":"m"}"#);
    }

    #[test]
    fn it_knows_how_it_was_asked_for() {
        let of = |members: &str| {
            let echo = echo(&format!(r#"{{"model":"m"{members}}}"#));
            (echo.is_background(), echo.is_stored())
        };
        assert_eq!(of(""), (false, true));
        assert_eq!(of(r#","background":null,"store":null"#), (false, true));
        assert_eq!(of(r#","background":true,"store":false"#), (true, false));
        assert!(ResponseEcho::of_job("a/b").is_background());
        assert_eq!(ResponseEcho::from_json("x".to_owned()), None);
    }
}
