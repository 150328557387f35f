use serde_json::value::RawValue;

use crate::raw::{is_deeper_than, reads_as};
use crate::shape::{self, Prompt, Shape};
use crate::{Form, InvalidTarget, Operation, RawObject, Target};

/// How many fallbacks one request may name. Bifrost sets no limit; no client is known to send more than a handful, and
/// each is kept in the job's record.
pub const MAX_FALLBACKS: usize = 128;
/// How many members the request's object may have. Those of objects within it do not count.
const MAX_MEMBERS: usize = 1024;
/// How deep arrays and objects may be within each other, the request's own object included.
const MAX_NESTING: usize = 128;

/// What the client says to Hermod and no provider may read, in any spelling of upper and lower case: `model` and
/// `stream` are written by Hermod, and a provider that finds another `model`, or `models` (`OpenRouter`'s list of
/// alternatives), would serve one that the virtual key does not allow.
const NOT_FOR_PROVIDERS: [&str; 4] = ["model", "models", "fallbacks", "stream"];

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

/// A validated request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub operation: Operation,
    /// `model`, then the fallbacks in order: the targets to try. Never empty.
    pub targets: Vec<Target>,
    /// A JSON object with the other members as the client wrote them: what the provider gets, less the
    /// model's name. Of a form, its JSON without the contents of its files.
    pub body: String,
    /// Bytes of media that go with a form.
    pub media_bytes: u64,
}

/// Why a body is not a [`Request`]: a message for the client, and the member that it is about.
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

impl Request {
    /// Reads the body of a submit.
    ///
    /// # Errors
    /// What the contract's error table says, in its order: not JSON or a wrong type, then `model`, then
    /// `prompt`, then `stream`.
    pub fn parse(
        operation: Operation,
        body: &[u8],
        default_provider: Option<&str>,
    ) -> Result<Self, InvalidRequest> {
        let _ = default_provider;
        let text = std::str::from_utf8(body).map_err(|error| {
            InvalidRequest::format(None, format_args!("not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(InvalidRequest::format(None, "the body must be a JSON object"));
        }
        let object =
            RawObject::bounded(text, MAX_MEMBERS).map_err(|error| InvalidRequest::format(None, error))?;
        check_nesting(&object)?;
        check_shapes(&object)?;

        let mut targets = vec![primary(object.get("model"))?];
        match object.get("prompt").map_or(Prompt::Missing, shape::prompt) {
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
        if object.get("stream").is_some_and(|value| value.get() == "true") {
            return Err(InvalidRequest::rule("stream", "stream is not supported for async text completions"));
        }
        if let Some(value) = object.get("fallbacks").filter(|value| value.get() != "null") {
            targets.extend(fallbacks(value)?);
        }

        let mut body = String::with_capacity(text.len());
        body.push('{');
        object.write_members(&mut body, |name| !NOT_FOR_PROVIDERS.iter().any(|ours| reads_as(name, ours)));
        body.push('}');
        Ok(Self { operation, targets, body, media_bytes: 0 })
    }

    /// Takes what is ours out of a form.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn from_form(operation: Operation, form: Form) -> Result<Self, InvalidRequest> {
        let target = primary(None)?;
        Ok(Self { operation, targets: vec![target], body: form.to_json(), media_bytes: form.media_bytes() })
    }
}

fn check_nesting(object: &RawObject<'_>) -> Result<(), InvalidRequest> {
    // One less: the members are within the request's object.
    match object.members().find(|(_, value)| is_deeper_than(value.get(), MAX_NESTING - 1)) {
        Some((name, _)) => {
            let what = format_args!("`{name}` is nested more than {MAX_NESTING} deep");
            Err(InvalidRequest::format(Some(name), what))
        }
        None => Ok(()),
    }
}

/// Refuses a known member of the wrong type, and one given twice, as readers differ on which one counts. `null` is as
/// good as absent. What is not known is the provider's matter.
fn check_shapes(object: &RawObject<'_>) -> Result<(), InvalidRequest> {
    for name in CHECKED.iter().map(|(name, _)| *name).chain(["prompt", "fallbacks"]) {
        if object.members().filter(|(given, _)| *given == name).nth(1).is_some() {
            return Err(InvalidRequest::format(Some(name), format_args!("`{name}` is given twice")));
        }
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
    let target = text.unwrap_or_default().parse();
    target.map_err(|error: InvalidTarget| InvalidRequest::rule("model", error.to_string()))
}

fn fallbacks(value: &RawValue) -> Result<Vec<Target>, InvalidRequest> {
    let invalid = |what: String| InvalidRequest::format(Some("fallbacks"), what);
    let (mut count, mut targets, mut wrong) = (0, Vec::new(), None);
    let are_strings = value.get().starts_with('[')
        && shape::each_string(value.get(), |name| {
            if count < MAX_FALLBACKS && wrong.is_none() {
                match name.parse() {
                    Ok(target) => targets.push(target),
                    Err(error) => wrong = Some((count, error)),
                }
            }
            count += 1;
        });
    if !are_strings {
        return Err(invalid("`fallbacks` must be an array of strings".to_owned()));
    }
    if count > MAX_FALLBACKS {
        return Err(invalid(format!("`fallbacks` has {count} entries, the limit is {MAX_FALLBACKS}")));
    }
    match wrong {
        None => Ok(targets),
        Some((index, InvalidTarget::Format)) => {
            Err(invalid(format!("`fallbacks[{index}]` should be in provider/model format")))
        }
        Some((_, error @ InvalidTarget::TooLong)) => {
            Err(InvalidRequest::rule("fallbacks", error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &[u8]) -> Result<Request, InvalidRequest> {
        Request::parse(Operation::TextCompletion, body, None)
    }

    fn refused(body: &str) -> (String, Option<String>) {
        let error = parse(body.as_bytes()).unwrap_err();
        (error.message, error.param)
    }

    #[test]
    fn what_the_provider_gets_is_what_the_client_wrote() {
        let body = r#"{"model":"openai/a/b", "prompt" : "h\u00e9\u0000", "fallbacks":["x/y"], "stream":false,
            "temperature":0.70, "seed":123456789012345678901234567890, "mine":{"a":[1.0,1e400]}, "stop":null}"#;
        let request = parse(body.as_bytes()).unwrap();
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
        let error = parse(b"{\"model\":\"\xff\"}").unwrap_err();
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
    fn members_and_nesting_are_bounded() {
        let members = |count: usize| {
            let more: Vec<_> = (2..count).map(|number| format!(r#","x{number}":{number}"#)).collect();
            format!(r#"{{"model":"a/b","prompt":"x"{}}}"#, more.concat())
        };
        assert!(parse(members(1024).as_bytes()).is_ok());
        let (message, _) = refused(&members(1025));
        assert!(message.starts_with("invalid request format: more than 1024 members"), "{message}");

        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!(r#"{{"model":"a/b","prompt":"x","mine":{open}"[[["{close}}}"#)
        };
        assert!(parse(nested(127).as_bytes()).is_ok(), "128 with the request's object");
        let what = "invalid request format: `mine` is nested more than 128 deep".to_owned();
        assert_eq!(refused(&nested(128)), (what, Some("mine".to_owned())));
        assert_eq!(refused(&nested(100_000)).1.as_deref(), Some("mine"));
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_wherever_it_stands() {
        let long = format!("a/{}", "b".repeat(255));
        let what = "model name is longer than 256 bytes";
        for (model, fallback, param) in [(&*long, "a/b", "model"), ("a/b", &*long, "fallbacks")] {
            let body = format!(r#"{{"model":"{model}","prompt":"x","fallbacks":["c/d","{fallback}"]}}"#);
            assert_eq!(refused(&body), (what.to_owned(), Some(param.to_owned())));
        }
    }

    #[test]
    fn fallbacks_are_counted_and_not_kept_beyond_their_limit() {
        let body = |count: usize| {
            let names = vec![r#""a/b""#; count].join(",");
            format!(r#"{{"model":"a/b","prompt":"x","fallbacks":[{names}]}}"#)
        };
        assert_eq!(parse(body(128).as_bytes()).unwrap().targets.len(), 129);
        let what = "invalid request format: `fallbacks` has 100000 entries, the limit is 128";
        assert_eq!(refused(&body(100_000)), (what.to_owned(), Some("fallbacks".to_owned())));
    }

    #[test]
    fn no_spelling_of_what_is_ours_reaches_a_provider() {
        let body = "{\"Model\":\"a/no\",\"model\":\"a/b\",\"MODEL\":1,\"prompt\":\"x\",\"Stream\":true,\"STREAM\":1,
            \"\u{17f}tream\":true,\"Fallbacks\":[],\"fallbac\u{212a}s\":[],\"models\":[\"no\"],\"Models\":[],\"modelx\":1}";
        let request = parse(body.as_bytes()).unwrap();
        assert_eq!(request.body, r#"{"prompt":"x","modelx":1}"#);
        assert_eq!(request.targets, ["a/b".parse().unwrap()]);
        // Only the name in lower case says something to us.
        assert_eq!(refused(r#"{"Model":"a/b","prompt":"x"}"#).0, MODEL_FORMAT);
    }

    #[test]
    fn an_unknown_member_given_twice_is_the_providers_matter() {
        let body = r#"{"model":"a/b","prompt":"x","mine":1,"mine":2}"#;
        let request = parse(body.as_bytes()).unwrap();
        assert_eq!(request.body, r#"{"prompt":"x","mine":1,"mine":2}"#);
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
            drop(parse(&body));
        }

        #[test]
        fn any_text_passes_through(prompt in ".*", name in "[a-z_]{1,8}x") {
            let prompt = crate::raw::json_string(&prompt);
            let body = format!(r#"{{"model":"a/b","prompt":{prompt},"{name}":{prompt}}}"#);
            let request = parse(body.as_bytes()).unwrap();
            prop_assert_eq!(request.body, format!(r#"{{"prompt":{prompt},"{name}":{prompt}}}"#));
        }
    }
}
