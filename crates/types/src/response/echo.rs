use std::borrow::Cow;

use serde::Deserialize;

use super::ResponseId;
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
    [("max_tool_calls", "null"), (PREVIOUS, "null"), ("prompt", "null"), ("store", "true")];

/// The id of the Response that one follows.
pub(super) const PREVIOUS: &str = "previous_response_id";

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
struct Asked<'a> {
    #[serde(default)]
    background: Option<bool>,
    #[serde(default)]
    store: Option<bool>,
    #[serde(borrow, default)]
    previous_response_id: Option<Cow<'a, str>>,
}

impl ResponseEcho {
    /// Of a request that is one.
    pub(crate) fn of(request: &RawObject<'_>) -> Self {
        let member = |name| request.get(name).map(|value| value.get()).filter(|value| *value != "null");
        let mut echo = format!("{{\"background\":{}", member("background").unwrap_or("false"));
        // What counts, and what a client tells its Responses apart by, comes first.
        let first = ["model", PREVIOUS, "metadata"];
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
        serde_json::from_str::<Asked<'_>>(&json).is_ok().then_some(Self(json))
    }

    /// Whether the client wanted its answer at once, and the result later.
    pub fn is_background(&self) -> bool {
        self.asked().background == Some(true)
    }

    /// Whether the Response is to be kept: only where the client has said that it is not, it is not.
    pub fn is_stored(&self) -> bool {
        self.asked().store != Some(false)
    }

    /// The Response that it follows; none if that is none of ours.
    pub fn previous(&self) -> Option<ResponseId> {
        self.asked().previous_response_id?.parse().ok()
    }

    /// The body of its request, in which the provider's own id stands for that of the Response that it follows. That is its last
    /// member then.
    pub fn following(body: &str, their_id: &str) -> Option<String> {
        let object: RawObject<'_> = serde_json::from_str(body).ok()?;
        let mut following = String::with_capacity(body.len() + their_id.len());
        following.push('{');
        object.write_members(&mut following, |name| name != PREVIOUS);
        let comma = if following.ends_with('{') { "" } else { "," };
        following.push_str(&format!("{comma}\"{PREVIOUS}\":{}}}", json_string(their_id)));
        Some(following)
    }

    fn asked(&self) -> Asked<'_> {
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
    fn a_provider_is_told_its_own_id_of_the_one_before() {
        let ours = "resp_019c74f325677a60bcdad6ee3a081000";
        let body = format!(r#"{{"input":"x","previous_response_id":"{ours}","temperature":1.00}}"#);
        assert_eq!(echo(&body).previous().unwrap().to_string(), ours);
        let following = ResponseEcho::following(&body, "resp_\"1").unwrap();
        assert_eq!(following, r#"{"input":"x","temperature":1.00,"previous_response_id":"resp_\"1"}"#);
        let theirs =
            echo(r#"{"previous_response_id":"resp_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b"}"#);
        assert_eq!(theirs.previous(), None);
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
