use hermod_types::config::ProviderKind;
use proptest::prelude::*;

use super::*;
use crate::chat::{
    ChatChoice, Differences, Finish, Message, Part, ReasoningDetail, ToolCall, Usage, openai_request,
};
use crate::literal::Literal;

fn chat_of(body: &str) -> Option<String> {
    Some(openai_request("m", &request::read(body, Words::of(ProviderKind::Groq, false))?, Differences::NONE))
}

fn reply(choice: ChatChoice) -> ChatReply {
    ChatReply { id: Some("chatcmpl-1".to_owned()), choices: vec![choice], ..ChatReply::default() }
}

#[test]
fn a_request_is_one_of_chat_with_its_texts_as_they_came() {
    let body = r#"{"max_tokens":50,"system":[{"type":"text","text":"s\u00e9","cache_control":{"type":"ephemeral"}}],"messages":[
        {"role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},
            {"type":"image","source":{"type":"url","url":"https://x/y"}},
            {"type":"document","title":"T","source":{"type":"base64","media_type":"application/pdf","data":"BB=="}},
            {"type":"document","title":"U","context":"C","source":{"type":"text","media_type":"text/plain","data":"D"}}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"so","signature":""},{"type":"text","text":"I"},
            {"type":"tool_use","id":"t1","name":"f","input":{"n": 1e400}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"42"}],"is_error":true},{"type":"text","text":"and?"}]}],
        "tools":[{"name":"f","description":"d","input_schema":{"b":1.0,"a":[1e400]}}],
        "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},"thinking":{"type":"enabled","budget_tokens":5000},
        "output_config":{"format":{"type":"json_schema","schema":{"z":1,"a":2}}},"stop_sequences":["x"],"metadata":{"user_id":"u"},
        "temperature":0.70,"top_k":5,"service_tier":"auto","cache_control":{"type":"ephemeral"},"top_p":null}"#;
    assert_eq!(
        chat_of(body).unwrap(),
        concat!(
            r#"{"model":"m","messages":[{"role":"system","content":"s\u00e9"},{"role":"user","content":[{"type":"text","text":"a"},"#,
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},{"type":"image_url","image_url":{"url":"https://x/y"}},"#,
            r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,BB==","filename":"T"}},{"type":"text","text":"U"},{"type":"text","text":"C"},{"type":"text","text":"D"}]},"#,
            r#"{"role":"assistant","content":"I","reasoning_content":"so","tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"n\": 1e400}"}}]},"#,
            r#"{"role":"tool","content":"42","tool_call_id":"t1"},{"role":"user","content":"and?"}],"#,
            r#""tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"b":1.0,"a":[1e400]}}}],"tool_choice":{"type":"function","function":{"name":"f"}},"#,
            r#""parallel_tool_calls":false,"response_format":{"type":"json_schema","json_schema":{"name":"response","schema":{"z":1,"a":2},"strict":true}},"#,
            r#""reasoning_effort":"medium","max_tokens":50,"stop":["x"],"user":"u","temperature":0.70,"top_k":5}"#
        )
    );
}

#[test]
fn a_budget_stays_one_where_chat_has_them() {
    let reasoning = |thinking: &str, is_own| {
        let body = format!(r#"{{"messages":[],"thinking":{thinking}}}"#);
        let chat = request::read(&body, Words::of(ProviderKind::Gemini, is_own)).unwrap();
        let effort = chat.reasoning.effort.map(std::borrow::Cow::into_owned);
        (chat.reasoning.enabled, chat.reasoning.max_tokens.map(str::to_owned), effort)
    };
    let enabled = r#"{"type":"enabled","budget_tokens":1024}"#;
    assert_eq!(reasoning(enabled, true), (Some(true), Some("1024".to_owned()), None));
    for (budget, effort) in [("1024", "low"), ("4096", "medium"), ("16384", "high"), ("1e9", "high")] {
        let thinking = enabled.replace("1024", budget);
        assert_eq!(reasoning(&thinking, false), (Some(true), None, Some(effort.to_owned())));
    }
    assert_eq!(reasoning(r#"{"type":"disabled"}"#, false), (Some(false), None, None));
    assert_eq!(reasoning(r#"{"type":"adaptive"}"#, false), (Some(true), None, None));
}

#[test]
fn what_chat_has_not_is_no_request_of_it() {
    for block in [
        r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#,
        r#"{"type":"search_result"}"#,
        r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"search_result"}]}"#,
        r#"{"type":"thinking","thinking":"x"}"#,
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":[{block}]}}]}}"#);
        assert_eq!(chat_of(&body), None, "{block}");
    }
}

#[test]
fn a_message_has_anthropics_shape() {
    let literal = |text: &str| Literal::of(text);
    let choice = ChatChoice {
        content: Some(literal("Sunny\n")),
        tool_calls: vec![ToolCall {
            id: literal("call_1"),
            name: literal("weather"),
            arguments: literal("{\"n\": 1e400}"),
            extra_content: None,
        }],
        reasoning: vec![
            ReasoningDetail::Text { text: literal("so"), signature: Some(literal("sig")) },
            ReasoningDetail::Summary(literal("sum")),
            ReasoningDetail::Encrypted { data: literal("xyz"), id: None },
        ],
        finish: Some(Finish::Stop),
        ..ChatChoice::default()
    };
    let usage = Usage { cached_tokens: Some(2), cache_write_tokens: Some(1), ..Usage::of(5, 3) };
    let reply = ChatReply { usage: Some(usage), ..reply(choice) };
    assert_eq!(
        message::compose("m", &reply),
        concat!(
            r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"so","signature":"sig"},"#,
            r#"{"type":"thinking","thinking":"sum","signature":""},{"type":"redacted_thinking","data":"xyz"},{"type":"text","text":"Sunny\n"},"#,
            r#"{"type":"tool_use","id":"call_1","name":"weather","input":{"n": 1e400}}],"stop_reason":"tool_use","stop_sequence":null,"#,
            r#""usage":{"input_tokens":2,"cache_creation_input_tokens":1,"cache_read_input_tokens":2,"output_tokens":3}}"#
        )
    );
}

#[test]
fn why_it_stopped_is_said_in_anthropics_words() {
    for (finish, reason) in [
        (Some(Finish::Stop), "end_turn"),
        (None, "end_turn"),
        (Some(Finish::Length), "max_tokens"),
        (Some(Finish::ToolCalls), "tool_use"),
        (Some(Finish::ContentFilter), "refusal"),
    ] {
        let choice = ChatChoice { content: Some(Literal::of("x")), finish, ..ChatChoice::default() };
        let message: serde_json::Value =
            serde_json::from_str(&message::compose("m", &reply(choice))).unwrap();
        assert_eq!(message["stop_reason"], reason);
        assert_eq!(message["usage"]["output_tokens"], 0, "its clients need a usage");
    }
}

fn said() -> impl Strategy<Value = ChatChoice> {
    let text = |least: usize| {
        proptest::string::string_regex(&format!(".{{{least},12}}"))
            .unwrap()
            .prop_map(|text| Literal::of(&text))
    };
    let detail = prop_oneof![
        (text(0), proptest::option::of(text(1)))
            .prop_map(|(text, signature)| ReasoningDetail::Text { text, signature }),
        text(0).prop_map(|data| ReasoningDetail::Encrypted { data, id: None }),
    ];
    let call = (text(1), text(1), text(0), 0..1000_u32).prop_map(|(id, name, value, number)| ToolCall {
        id,
        name,
        arguments: Literal::of(&format!("{{\"v\": {}, \"n\":{number}.0e4}}", value.as_json())),
        extra_content: (number > 500).then(|| r#"{"x":1.0}"#.into()),
    });
    (
        proptest::option::of(text(0)),
        proptest::collection::vec(detail, 0..3),
        proptest::collection::vec(call, 0..3),
    )
        .prop_map(|(content, reasoning, tool_calls)| ChatChoice {
            content,
            reasoning,
            tool_calls,
            ..ChatChoice::default()
        })
}

proptest! {
    #[test]
    fn what_came_out_can_be_sent_in_again(choice in said()) {
        let reply = reply(choice);
        let message = message::compose("m", &reply);
        let message: hermod_types::RawObject<'_> = serde_json::from_str(&message).unwrap();
        let mut messages = Vec::new();
        content::message("assistant", message.get("content").unwrap().get(), &mut messages).unwrap();
        let Some(Message::Assistant(back)) = messages.first() else { panic!("{messages:?}") };
        let choice = &reply.choices[0];
        prop_assert_eq!(&back.reasoning, &choice.reasoning);
        let text = Literal::concat(back.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Image { .. } | Part::Audio { .. } | Part::File { .. } => None,
        }));
        prop_assert_eq!(text.inner(), choice.content.as_ref().map_or("", Literal::inner));
        prop_assert_eq!(format!("{:?}", back.tool_calls), format!("{:?}", choice.tool_calls));
    }
}
