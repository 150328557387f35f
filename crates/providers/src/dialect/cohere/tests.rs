use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Cohere;
use crate::arbitrary::{json_object, json_string};
use crate::chat::{Chat, ChatPlan, ChatRequest};
use crate::dialect::test_ask;
use crate::payload::Payload;
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

fn sent(request: &str) -> String {
    match Cohere.request(&test_ask("m"), &ChatRequest::parse(request).unwrap()).unwrap().body {
        Payload::Text(text) => text,
        Payload::Segments(_) => String::new(),
    }
}

/// What is sent when the message of an answer comes back as history.
fn sent_back(message: &str) -> String {
    let answer = format!(r#"{{"message":{message},"finish_reason":"COMPLETE"}}"#);
    let plan = ChatPlan::new(r#"{"messages":[]}"#, &Cohere).unwrap();
    let result = plan.compose(&test_ask("m"), vec![Cohere.read(&answer).unwrap()], usize::MAX).unwrap();
    let completion: Completion<'_> = serde_json::from_str(&result).unwrap();
    sent(&format!(r#"{{"messages":[{}]}}"#, completion.choices[0].message.get()))
}

#[test]
fn a_message_that_came_out_goes_back_in() {
    for message in [
        r#"{"role":"assistant","content":"é"}"#,
        r#"{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"}]}"#,
        r#"{"role":"assistant","tool_plan":"p","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"n\": 1e400}"}}]}"#,
        r#"{"role":"assistant","content":[{"type":"thinking","thinking":"hm"}],"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
    ] {
        // A lone text comes as a part and goes as a string.
        let theirs = message.replace(r#""content":"é""#, r#""content":[{"type":"text","text":"é"}]"#);
        assert_eq!(sent_back(&theirs), format!(r#"{{"model":"m","messages":[{message}]}}"#));
    }
}

#[test]
fn thoughts_of_another_are_not_shown() {
    let theirs = r#"{"role":"assistant","content":"a","reasoning_details":[{"type":"reasoning.text","text":"hm","FIELD"}]}"#;
    for field in [r#"format":"google-gemini-v1"#, r#"signature":"s"#] {
        let request = format!(r#"{{"messages":[{}]}}"#, theirs.replace("FIELD", field));
        assert_eq!(sent(&request), r#"{"model":"m","messages":[{"role":"assistant","content":"a"}]}"#);
    }
}

proptest! {
    #[test]
    fn schemas_and_arguments_pass_as_they_were_written(schema in json_object(), arguments in json_string()) {
        let request = format!(
            r#"{{"messages":[{{"role":"assistant","tool_calls":[{{"id":"1","type":"function","function":{{"name":"f","arguments":{arguments}}}}}]}}],
                "tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}],
                "response_format":{{"type":"json_schema","json_schema":{{"schema":{schema}}}}}}}"#
        );
        let sent = sent(&request);
        for (member, value) in [("parameters", &schema), ("json_schema", &schema), ("arguments", &arguments)] {
            let written = format!("\"{member}\":{value}");
            prop_assert!(sent.contains(&written), "{}", sent);
        }
    }
}
