use serde_json::value::RawValue;

use crate::shape::{self, Prompt, Shape};
use crate::{RawObject, Target};

/// How many fallbacks one request may name: work is bounded everywhere.
pub const MAX_FALLBACKS: usize = 32;

/// The members whose shape is checked; all others pass to the provider as they came.
const CHECKED: [(&str, Shape); 16] = [
    ("best_of", Shape::Integer),
    ("max_tokens", Shape::Integer),
    ("n", Shape::Integer),
    ("logprobs", Shape::Integer),
    ("seed", Shape::Integer),
    ("frequency_penalty", Shape::Number),
    ("presence_penalty", Shape::Number),
    ("temperature", Shape::Number),
    ("top_p", Shape::Number),
    ("stream", Shape::Boolean),
    ("echo", Shape::Boolean),
    ("logit_bias", Shape::NumberByToken),
    ("stop", Shape::StringOrStrings),
    ("suffix", Shape::String),
    ("user", Shape::String),
    ("model", Shape::String),
];

/// A validated text-completion request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletionRequest {
    /// `model`, then the fallbacks in order: the targets to try. Never empty.
    pub targets: Vec<Target>,
    /// A JSON object with the other members as the client wrote them: what the provider gets, less the
    /// model's name.
    pub body: String,
}

/// Why a body is not a [`CompletionRequest`]: a message for the client, and the member that it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRequest {
    /// What is wrong, in the contract's words where it has them.
    pub message: String,
    /// The member at fault, where there is one.
    pub param: Option<String>,
}

impl InvalidRequest {
    fn format(param: Option<&str>, what: impl std::fmt::Display) -> Self {
        Self { message: format!("invalid request format: {what}"), param: param.map(str::to_owned) }
    }

    fn rule(param: &str, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.to_owned()) }
    }
}

impl CompletionRequest {
    /// Reads the body of a submit.
    ///
    /// # Errors
    /// What the contract's error table says, in its order: not JSON or a wrong type, then `model`, then
    /// `prompt`, then `stream`.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidRequest> {
        let text = std::str::from_utf8(body).map_err(|error| {
            InvalidRequest::format(None, format_args!("not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(InvalidRequest::format(None, "the body must be a JSON object"));
        }
        let object: RawObject<'_> =
            serde_json::from_str(text).map_err(|error| InvalidRequest::format(None, error))?;
        check_shapes(&object)?;
        let member = |wanted| object.members().find(|(name, _)| *name == wanted).map(|(_, value)| value);

        let mut targets = vec![primary(member("model"))?];
        match member("prompt").map_or(Prompt::Missing, shape::prompt) {
            Prompt::Given => {}
            Prompt::Missing => {
                return Err(InvalidRequest::rule("prompt", "prompt is required for text completion"));
            }
            Prompt::Malformed => {
                return Err(InvalidRequest::format(
                    Some("prompt"),
                    "`prompt` must be a string, or an array of strings, of token ids, or of arrays of token ids",
                ));
            }
        }
        if member("stream").is_some_and(|value| value.get() == "true") {
            return Err(InvalidRequest::rule("stream", "stream is not supported for async text completions"));
        }
        if let Some(value) = member("fallbacks").filter(|value| value.get() != "null") {
            targets.extend(fallbacks(value)?);
        }

        let mut body = String::with_capacity(text.len());
        body.push('{');
        object.write_members(&mut body, |name| !matches!(name, "model" | "fallbacks" | "stream"));
        body.push('}');
        Ok(Self { targets, body })
    }
}

/// Refuses a member given twice, as readers differ on which one counts, and a known one of the wrong type.
/// `null` is as good as absent.
fn check_shapes(object: &RawObject<'_>) -> Result<(), InvalidRequest> {
    if let Some(name) = object.given_twice() {
        return Err(InvalidRequest::format(Some(name), format_args!("`{name}` is given twice")));
    }
    for (name, value) in object.members() {
        let Some((_, shape)) = CHECKED.iter().find(|(checked, _)| *checked == name) else { continue };
        if value.get() != "null" && !shape.fits(value) {
            return Err(InvalidRequest::format(
                Some(name),
                format_args!("`{name}` must be {}", shape.name()),
            ));
        }
    }
    Ok(())
}

fn primary(value: Option<&RawValue>) -> Result<Target, InvalidRequest> {
    let text: Option<String> = match value {
        Some(value) => serde_json::from_str(value.get())
            .map_err(|error| InvalidRequest::format(Some("model"), format_args!("`model`: {error}")))?,
        None => None,
    };
    text.unwrap_or_default()
        .parse()
        .map_err(|error: crate::InvalidTarget| InvalidRequest::rule("model", error.to_string()))
}

fn fallbacks(value: &RawValue) -> Result<Vec<Target>, InvalidRequest> {
    let invalid = |what: String| InvalidRequest::format(Some("fallbacks"), what);
    let names: Vec<String> = serde_json::from_str(value.get())
        .map_err(|_| invalid("`fallbacks` must be an array of strings".to_owned()))?;
    if names.len() > MAX_FALLBACKS {
        return Err(invalid(format!(
            "`fallbacks` has {} entries, the limit is {MAX_FALLBACKS}",
            names.len()
        )));
    }
    let target = |(index, name): (usize, &String)| {
        name.parse().map_err(|_| invalid(format!("`fallbacks[{index}]` should be in provider/model format")))
    };
    names.iter().enumerate().map(target).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(body: &str) -> (String, Option<String>) {
        let error = CompletionRequest::parse(body.as_bytes()).unwrap_err();
        (error.message, error.param)
    }

    #[test]
    fn what_the_provider_gets_is_what_the_client_wrote() {
        let body = r#"{"model":"openai/a/b", "prompt" : "h\u00e9\u0000", "fallbacks":["x/y"], "stream":false,
            "temperature":0.70, "seed":123456789012345678901234567890, "mine":{"a":[1.0,1e400]}, "stop":null}"#;
        let request = CompletionRequest::parse(body.as_bytes()).unwrap();
        assert_eq!(
            request.body,
            r#"{"prompt":"h\u00e9\u0000","temperature":0.70,"seed":123456789012345678901234567890,"mine":{"a":[1.0,1e400]},"stop":null}"#
        );
        let targets: Vec<_> = request.targets.iter().map(ToString::to_string).collect();
        assert_eq!(targets, ["openai/a/b", "x/y"]);
    }

    #[test]
    fn what_is_not_json_says_where() {
        assert!(refused("{\"model\":").0.starts_with("invalid request format: EOF while parsing"));
        for body in ["", "[]", "\"a\"", "null", "1"] {
            assert_eq!(refused(body).0, "invalid request format: the body must be a JSON object");
        }
        let error = CompletionRequest::parse(b"{\"model\":\"\xff\"}").unwrap_err();
        assert_eq!(error.message, "invalid request format: not UTF-8 at byte 10");
        let twice = refused(r#"{"model":"a/b","prompt":"x","prompt":"y"}"#);
        assert_eq!(twice, ("invalid request format: `prompt` is given twice".into(), Some("prompt".into())));
    }

    #[test]
    fn a_wrong_type_names_the_member() {
        for (member, value) in [
            ("max_tokens", "1.5"),
            ("temperature", "\"hot\""),
            ("stream", "\"true\""),
            ("logit_bias", "[]"),
            ("stop", "[1]"),
            ("user", "7"),
            ("prompt", "{}"),
            ("fallbacks", "\"a/b\""),
            ("fallbacks", "[\"b\"]"),
        ] {
            let mut members = vec![("model", "\"a/b\""), ("prompt", "\"x\"")];
            members.retain(|(name, _)| *name != member);
            members.push((member, value));
            let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let (message, param) = refused(&format!("{{{}}}", members.join(",")));
            assert!(message.starts_with("invalid request format: `"), "{message}");
            assert_eq!(param.as_deref(), Some(member), "{message}");
        }
        assert_eq!(refused(r#"{"model":7,"prompt":"x"}"#).1.as_deref(), Some("model"));
    }

    #[test]
    fn rules_have_the_contracts_words() {
        for model in ["null", "\"\"", "\"gpt\"", "\"/\"", "\"a/\"", "\"/b\""] {
            let (message, param) = refused(&format!(r#"{{"model":{model},"prompt":"x"}}"#));
            assert_eq!((message.as_str(), param.as_deref()), (MODEL_FORMAT, Some("model")), "{model}");
        }
        assert_eq!(refused(r#"{"prompt":"x"}"#).0, MODEL_FORMAT);
        for prompt in ["", ",\"prompt\":null", ",\"prompt\":[]"] {
            let (message, _) = refused(&format!(r#"{{"model":"a/b"{prompt}}}"#));
            assert_eq!(message, "prompt is required for text completion");
        }
        assert_eq!(
            refused(r#"{"model":"a/b","prompt":"x","stream":true}"#).0,
            "stream is not supported for async text completions"
        );
    }

    const MODEL_FORMAT: &str = "model should be in provider/model format";

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(CompletionRequest::parse(&body));
        }

        #[test]
        fn any_text_passes_through(prompt in ".*", name in "[a-z_]{1,8}x") {
            let prompt = crate::raw::json_string(&prompt);
            let body = format!(r#"{{"model":"a/b","prompt":{prompt},"{name}":{prompt}}}"#);
            let request = CompletionRequest::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(request.body, format!(r#"{{"prompt":{prompt},"{name}":{prompt}}}"#));
        }
    }
}
