use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Gemini, Host, body, read};
use crate::arbitrary::json_object;
use crate::chat::{ChatPlan, ChatRequest};
use crate::dialect::test_ask;
use crate::plan::Plan;

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
}

/// What is sent when the message of an answer comes back as history.
fn sent_back(host: Host, parts: &str) -> String {
    let answer = format!(
        r#"{{"candidates":[{{"content":{{"role":"model","parts":{parts}}},"finishReason":"STOP"}}],"responseId":"r"}}"#
    );
    let plan = ChatPlan::new(r#"{"messages":[]}"#, &Gemini).unwrap();
    let result = plan.compose(&test_ask("gemini-3-pro"), vec![read(&answer).unwrap()], usize::MAX).unwrap();
    let completion: Completion<'_> = serde_json::from_str(&result).unwrap();
    let message = completion.choices[0].message.get();
    let next = format!(r#"{{"messages":[{{"role":"user","content":"x"}},{message}]}}"#);
    body(host, "gemini-3-pro", &ChatRequest::parse(&next).unwrap()).unwrap()
}

#[test]
fn a_message_that_came_out_goes_back_in() {
    let parts = r#"[{"text":"I thought.","thought":true},{"text":"é"},{"functionCall":{"name":"f","args":{"n":1e400}},"thoughtSignature":"c2ln"},
        {"functionCall":{"name":"f"}},{"functionCall":{"id":"theirs","name":"g","args":{}}}]"#;
    let turn = |host| {
        let sent: Value = serde_json::from_str(&sent_back(host, &parts.replace("1e400", "1.5"))).unwrap();
        sent["contents"][1].to_string()
    };
    assert_eq!(
        turn(Host::Vertex),
        r#"{"parts":[{"text":"é"},{"functionCall":{"args":{"n":1.5},"name":"f"},"thoughtSignature":"c2ln"},{"functionCall":{"args":{},"name":"f"}},{"functionCall":{"args":{},"name":"g"}}],"role":"model"}"#
    );
    for id in [r#""id":"call_r_0""#, r#""id":"call_r_1""#, r#""id":"theirs""#] {
        assert!(turn(Host::GeminiApi).contains(id), "{id}");
    }
    assert!(sent_back(Host::Vertex, parts).contains(r#""args":{"n":1e400}"#));
    let signed = r#"[{"text":"a"},{"text":"","thoughtSignature":"c2ln"}]"#;
    assert!(sent_back(Host::Vertex, signed).contains(r#"[{"text":"a","thoughtSignature":"c2ln"}]"#));
    let silent = r#"[{"text":"","thoughtSignature":"c2ln"}]"#;
    assert!(sent_back(Host::Vertex, silent).contains(r#"[{"text":"","thoughtSignature":"c2ln"}]"#));
}

#[test]
fn ids_are_the_same_for_the_same_answer_and_no_others() {
    let answer = |id: &str| {
        let call = r#"{"functionCall":{"name":"f"}}"#;
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{call},{call}]}}}},{{"content":{{"parts":[{call}]}}}}],"responseId":"{id}"}}"#
        )
    };
    let ids = |id: &str| -> Vec<String> {
        let reply = read(&answer(id)).unwrap();
        let calls = reply.choices.iter().flat_map(|choice| &choice.tool_calls);
        calls.map(|call| call.id.decode().into_owned()).collect()
    };
    assert_eq!(ids("a_b/c"), ["call_abc_0", "call_abc_1", "call_abc_2"]);
    assert_eq!(ids("a_b/c"), ids("a_b/c"));
    assert!(ids(&"x".repeat(99)).iter().all(|id| id.len() <= 64));
    assert_ne!(ids(""), ids(""), "where the answer has none, they are made by chance");
}

#[test]
fn what_ends_without_a_message_is_told() {
    let ended = |reason: &str, parts: &str| {
        read(&format!(r#"{{"candidates":[{{"content":{{"parts":{parts}}},"finishReason":"{reason}"}}]}}"#))
            .map(|reply| reply.choices[0].finish.unwrap().as_str())
    };
    for (reason, parts, finish) in [
        ("STOP", r#"[{"functionCall":{"name":"f"}}]"#, Ok("tool_calls")),
        ("OTHER", r#"[{"text":"a"}]"#, Ok("stop")),
        ("IMAGE_SAFETY", "[]", Ok("content_filter")),
        ("OTHER", "[]", Err("it ended a completion with OTHER")),
        ("UNEXPECTED_TOOL_CALL", r#"[{"text":"a"}]"#, Err("it ended a completion with UNEXPECTED_TOOL_CALL")),
        (
            "STOP",
            r#"[{"inlineData":{"data":"AA"}}]"#,
            Err("its answer has media, which chat has no place for"),
        ),
    ] {
        assert_eq!(ended(reason, parts), finish.map_err(str::to_owned), "{reason}");
    }
}

proptest! {
    #[test]
    fn schemas_pass_as_they_were_written(schema in json_object()) {
        let request = format!(
            r#"{{"messages":[],"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}],
                "response_format":{{"type":"json_schema","json_schema":{{"name":"r","schema":{schema}}}}}}}"#
        );
        let sent = body(Host::GeminiApi, "gemini-3-pro", &ChatRequest::parse(&request).unwrap()).unwrap();
        for member in ["parametersJsonSchema", "responseJsonSchema"] {
            let written = format!("\"{member}\":{schema}");
            prop_assert!(sent.contains(&written), "{}", sent);
        }
    }

    #[test]
    fn arguments_pass_both_ways_as_they_were_written(args in json_object()) {
        let sent = sent_back(Host::GeminiApi, &format!(r#"[{{"functionCall":{{"name":"f","args":{args}}}}}]"#));
        let written = format!("\"args\":{args}");
        prop_assert!(sent.contains(&written), "{}", sent);
    }
}
