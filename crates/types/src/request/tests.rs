use proptest::prelude::*;

use super::*;

fn parse(body: &[u8]) -> Result<Request, InvalidRequest> {
    Request::parse(Operation::TextCompletion, body, Naming::default())
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

/// Brackets, strings and members, in whatever order.
const JSON: &str =
    r#"(\[|\]|\{|\}|,|:|1e400|null|"role"|"user"|"content"|"type"|"text"|"function"|"name"|"\\n"){0,24}"#;

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), json in JSON) {
        let naming = Naming { default_provider: Some("a"), choose: None };
        for operation in Operation::all() {
            drop(Request::parse(operation, &body, naming));
            for name in ["messages", "input", "voice", "documents", "document", "tools", "reasoning"] {
                let body = format!(r#"{{"model":"a","{name}":{json}}}"#);
                drop(Request::parse(operation, body.as_bytes(), naming));
            }
        }
    }

    #[test]
    fn any_text_passes_through(prompt in ".*", name in "[a-z_]{1,8}x") {
        let prompt = crate::raw::json_string(&prompt);
        let body = format!(r#"{{"model":"a/b","prompt":{prompt},"{name}":{prompt}}}"#);
        let request = parse(body.as_bytes()).unwrap();
        prop_assert_eq!(request.body, format!(r#"{{"prompt":{prompt},"{name}":{prompt}}}"#));
    }
}

#[test]
fn a_model_without_a_provider_may_be_chosen_for_and_named_fallbacks_count() {
    let choose = |model: &str| match model {
        "m" => ["b/m", "c/m"].map(|target| target.parse().unwrap()).to_vec(),
        _ => Vec::new(),
    };
    let targets = |body: &str| {
        let naming = Naming { default_provider: None, choose: Some(&choose) };
        let request = Request::parse(Operation::TextCompletion, body.as_bytes(), naming)?;
        Ok::<_, InvalidRequest>(request.targets.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(targets(r#"{"model":"m","prompt":"x"}"#).unwrap(), ["b/m", "c/m"]);
    assert_eq!(targets(r#"{"model":"m","prompt":"x","fallbacks":null}"#).unwrap(), ["b/m", "c/m"]);
    assert_eq!(targets(r#"{"model":"m","prompt":"x","fallbacks":[]}"#).unwrap(), ["b/m"]);
    assert_eq!(targets(r#"{"model":"m","prompt":"x","fallbacks":["d/e"]}"#).unwrap(), ["b/m", "d/e"]);
    assert_eq!(targets(r#"{"model":"a/m","prompt":"x"}"#).unwrap(), ["a/m"]);
    assert_eq!(targets(r#"{"model":"n","prompt":"x"}"#).unwrap_err().message, MODEL_FORMAT);
}
