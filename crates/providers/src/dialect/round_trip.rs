//! Whatever a client or a provider writes reaches the other side as the text that it was.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::anthropic::Anthropic;
use super::bedrock::Bedrock;
use super::gemini::Gemini;
use super::test_ask;
use crate::arbitrary::{json_object, json_text};
use crate::chat::{Chat, ChatPlan};
use crate::literal::Literal;
use crate::payload::Payload;
use crate::plan::Plan;
use hermod_types::RawObject;

const CLAUDE: &str = "claude-sonnet-4-5";

fn id() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_-]{1,64}"
}

/// What is written and must be found, and the message that it is in.
type Written = (String, Vec<String>);

/// A call of a tool, and what that gave.
fn called() -> impl Strategy<Value = Written> {
    (id(), json_object(), json_text(), json_text()).prop_map(|(id, arguments, said, given)| {
        let quoted = Literal::of(&arguments);
        let messages = format!(
            r#"{{"role":"assistant","content":{said},"tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"f","arguments":{}}}}}]}},{{"role":"tool","tool_call_id":"{id}","content":{given}}}"#,
            quoted.as_json()
        );
        (messages, vec![format!("\"{id}\""), arguments, said, given])
    })
}

fn message() -> impl Strategy<Value = Written> {
    prop_oneof![
        called(),
        json_text().prop_map(|text| (format!(r#"{{"role":"user","content":{text}}}"#), vec![text])),
        json_text().prop_map(|text| (format!(r#"{{"role":"developer","content":{text}}}"#), vec![text])),
        (json_text(), json_text()).prop_map(|(one, two)| {
            let parts = format!(r#"[{{"type":"text","text":{one}}},{{"type":"text","text":{two}}}]"#);
            (format!(r#"{{"role":"user","content":{parts}}}"#), vec![one, two])
        }),
    ]
}

fn sent(chat: &dyn Chat, model: &str, body: &str) -> String {
    let plan = ChatPlan::new(body, chat).unwrap();
    match plan.request(&test_ask(model), 0).unwrap().body {
        Payload::Text(text) => text,
        Payload::Segments(_) => panic!("a chat has no media of its own"),
    }
}

/// Whether `text` is JSON in which all that was `written` stands.
fn assert_holds(text: &str, written: &[String]) -> Result<(), TestCaseError> {
    prop_assert!(serde_json::from_str::<&RawValue>(text).is_ok(), "{}", text);
    for piece in written {
        prop_assert!(text.contains(piece.as_str()), "{} in {}", piece, text);
    }
    Ok(())
}

/// The message of the first choice that the client gets.
fn answered(chat: &dyn Chat, answer: &str) -> String {
    let plan = ChatPlan::new(r#"{"messages":[]}"#, chat).unwrap();
    let result = plan.compose(&test_ask(CLAUDE), vec![chat.read(answer).unwrap()], usize::MAX).unwrap();
    let result: RawObject<'_> = serde_json::from_str(&result).unwrap();
    let choices: Vec<RawObject<'_>> = serde_json::from_str(result.get("choices").unwrap().get()).unwrap();
    choices[0].get("message").unwrap().get().to_owned()
}

/// With a result for each of the calls.
fn history(message: &str, ids: &[String]) -> String {
    let results: Vec<String> = ids
        .iter()
        .map(|id| format!(r#",{{"role":"tool","tool_call_id":"{id}","content":"done"}}"#))
        .collect();
    format!(r#"{{"messages":[{{"role":"user","content":"go"}},{message}{}]}}"#, results.concat())
}

proptest! {
    #[test]
    fn what_a_client_writes_reaches_the_provider(
        messages in vec(message(), 1..6),
        schemas in vec(json_object(), 0..3),
        schema in option::of(json_object()),
    ) {
        let (messages, mut written): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
        let tools: Vec<String> = schemas
            .iter()
            .map(|schema| format!(r#"{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}"#))
            .collect();
        let format = schema.as_ref().map_or_else(String::new, |schema| format!(
            r#","response_format":{{"type":"json_schema","json_schema":{{"name":"r","schema":{schema}}}}}"#
        ));
        let body = format!(r#"{{"messages":[{}],"tools":[{}]{format}}}"#, messages.join(","), tools.join(","));
        written.push(schemas);
        let mut written = written.concat();
        let bedrock = sent(&Bedrock, "anthropic.claude-sonnet-4-5-20250929-v1:0", &body);
        assert_holds(&bedrock, &written)?;
        if let Some(schema) = schema {
            // Bedrock has it in a string.
            assert_holds(&bedrock, &[Literal::of(&schema).as_json().to_owned()])?;
            written.push(schema);
        }
        assert_holds(&sent(&Anthropic, CLAUDE, &body), &written)?;
    }

    #[test]
    fn what_a_provider_answers_can_be_sent_back(
        text in option::of(json_text()),
        thought in json_text(),
        signature in "[A-Za-z0-9+/]{8,40}",
        calls in vec((id(), json_object()), 1..4),
    ) {
        let ids: Vec<String> = calls.iter().map(|(id, _)| id.clone()).collect();
        let mut written: Vec<String> =
            calls.iter().flat_map(|(id, input)| [format!("\"{id}\""), input.clone()]).collect();
        written.extend([thought.clone(), format!("\"{signature}\"")]);
        written.extend(text.clone());

        let said = text.as_ref().map_or_else(String::new, |text| format!(r#"{{"type":"text","text":{text}}},"#));
        let uses: Vec<String> = calls
            .iter()
            .map(|(id, input)| format!(r#"{{"type":"tool_use","id":"{id}","name":"f","input":{input}}}"#))
            .collect();
        let anthropic = answered(&Anthropic, &format!(
            r#"{{"content":[{{"type":"thinking","thinking":{thought},"signature":"{signature}"}},{{"type":"redacted_thinking","data":"only-its-own"}},{said}{}],"stop_reason":"tool_use"}}"#,
            uses.join(",")
        ));

        let said = text.as_ref().map_or_else(String::new, |text| format!(r#"{{"text":{text}}},"#));
        let uses: Vec<String> = calls
            .iter()
            .map(|(id, input)| format!(r#"{{"toolUse":{{"toolUseId":"{id}","name":"f","input":{input}}}}}"#))
            .collect();
        let bedrock = answered(&Bedrock, &format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{{"reasoningContent":{{"reasoningText":{{"text":{thought},"signature":"{signature}"}}}}}},{{"reasoningContent":{{"redactedContent":"only-its-own"}}}},{said}{}]}}}},"stopReason":"tool_use"}}"#,
            uses.join(",")
        ));

        for (message, is_anthropics) in [(&anthropic, true), (&bedrock, false)] {
            let body = history(message, &ids);
            let to_anthropic = sent(&Anthropic, CLAUDE, &body);
            assert_holds(&to_anthropic, &written)?;
            let to_bedrock = sent(&Bedrock, "anthropic.claude-sonnet-4-5-20250929-v1:0", &body);
            assert_holds(&to_bedrock, &written)?;
            prop_assert_eq!(to_anthropic.contains("only-its-own"), is_anthropics);
            prop_assert_eq!(to_bedrock.contains("only-its-own"), !is_anthropics);
            // A model of another maker has no use for Claude's signature.
            let to_nova = sent(&Bedrock, "amazon.nova-lite-v1:0", &body);
            prop_assert!(!is_anthropics || !to_nova.contains(&signature));
        }
    }
}

#[test]
fn what_only_the_model_tells_is_refused() {
    let tool = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;
    let called = r#"{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}"#;
    for (model, messages, members, param) in [
        ("amazon.nova-lite-v1:0", "", r#""parallel_tool_calls":false"#, Some("parallel_tool_calls")),
        ("anthropic.claude-opus-4-6-v1", "", r#""parallel_tool_calls":false"#, None),
        ("amazon.nova-lite-v1:0", "", r#""tool_choice":"none""#, None),
        ("amazon.nova-lite-v1:0", called, r#""tool_choice":"none""#, Some("tool_choice")),
        ("meta.llama3-1-8b-instruct-v1:0", "", r#""reasoning_effort":"low""#, Some("reasoning_effort")),
        ("amazon.nova-2-lite-v1:0", "", r#""reasoning":{"max_tokens":5000}"#, Some("reasoning.max_tokens")),
        ("anthropic.claude-3-5-haiku-v1:0", "", r#""reasoning_effort":"low""#, Some("reasoning_effort")),
    ] {
        let body = format!(r#"{{"messages":[{messages}],{tool},{members}}}"#);
        let plan = ChatPlan::new(&body, &Bedrock).unwrap();
        let refused = plan.request(&test_ask(model), 0).err();
        let wanted = param.map(|param| super::Unsendable::Member(param.to_owned()));
        assert_eq!(refused, wanted, "{model} {members}");
    }
}

#[test]
fn a_turn_is_all_that_one_side_says() {
    let body = r#"{"messages":[{"role":"user","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"b"},{"role":"assistant","content":null,"refusal":"no"},{"role":"assistant","content":""},{"role":"user","content":"c"},{"role":"tool","tool_call_id":"t","content":""}]}"#;
    let sent = sent(&Anthropic, CLAUDE, body);
    let messages = r#""messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":[{"type":"text","text":"no"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":""},{"type":"text","text":"c"}]}]"#;
    assert!(sent.contains(messages), "{sent}");
}

/// What grows with the square of a request's length takes minutes here.
#[test]
fn a_long_conversation_takes_a_time_of_its_length() {
    const MANY: usize = 20_000;
    let user = |part: &str| {
        format!(r#"{{"messages":[{{"role":"user","content":[{}]}}]}}"#, vec![part; MANY].join(","))
    };
    let cached = user(r#"{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}"#);
    let files =
        user(r#"{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AA=="}}"#);
    let calls: Vec<String> = (0..MANY)
        .map(|id| {
            format!(
                r#"{{"role":"assistant","tool_calls":[{{"id":"{id}","function":{{"name":"f{id}"}}}}]}},{{"role":"tool","tool_call_id":"{id}","content":"x"}}"#
            )
        })
        .collect();
    let called = format!(r#"{{"messages":[{}]}}"#, calls.join(","));
    let begun = std::time::Instant::now();
    for body in [&cached, &files, &called] {
        assert!(sent(&Anthropic, CLAUDE, body).len() > MANY);
        assert!(sent(&Bedrock, "anthropic.claude-sonnet-4-5-20250929-v1:0", body).len() > MANY);
        assert!(sent(&Gemini, "gemini-3-pro", body).len() > MANY);
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}
