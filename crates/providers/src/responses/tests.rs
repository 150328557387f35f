use proptest::prelude::*;

use hermod_types::Operation;

use super::*;
use crate::chat::ChatRequest;
use crate::chat::{
    AssistantMessage, ChatChoice, Differences, Finish, Message, Part, ReasoningDetail, ToolCall, Usage,
    openai_request,
};
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::literal::Literal;
use crate::plan::Plan;

fn chat_of(body: &str) -> Option<String> {
    let object: RawObject<'_> = serde_json::from_str(body).unwrap();
    let chat = request::read(&object)?;
    Some(openai_request("m", &chat, Differences::NONE))
}

fn response_of(reply: &ChatReply, request: &str) -> serde_json::Value {
    let object = serde_json::from_str(request).unwrap();
    serde_json::from_str(&response::compose("m", reply, &object)).unwrap()
}

fn reply(choice: ChatChoice) -> ChatReply {
    ChatReply {
        id: Some("chatcmpl-1".to_owned()),
        created: Some(7),
        choices: vec![choice],
        ..ChatReply::default()
    }
}

#[test]
fn a_request_is_one_of_chat_with_its_texts_as_they_came() {
    let body = r#"{"input":[
        {"role":"developer","content":"d\u00e9"},
        {"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"https://x/y","detail":"low"}]},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"so "},{"type":"summary_text","text":"that"}]},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"I","annotations":[]}]},
        {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"n\": 1e400}"},
        {"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
        {"type":"function_call_output","call_id":"c1","output":"42"},
        {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"43"}]},
        {"role":"assistant","content":"one"},{"role":"assistant","content":"two"}],
        "instructions":"be brief","tools":[{"type":"function","name":"f","description":"d","parameters":{"b":1.0,"a":[1e400]},"strict":true}],
        "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,
        "text":{"format":{"type":"json_schema","name":"r","schema":{"z":1,"a":2},"strict":true},"verbosity":"low"},
        "max_output_tokens":50,"reasoning":{"effort":"low","summary":"auto"},"temperature":0.70,"user":"u","service_tier":"flex",
        "metadata":{"a":"b"},"store":true,"include":[],"truncation":"disabled","safety_identifier":"s","prompt_cache_key":"k","top_p":null}"#;
    assert_eq!(
        chat_of(body).unwrap(),
        r#"{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"system","content":"d\u00e9"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://x/y","detail":"low"}}]},{"role":"assistant","content":"I","reasoning_content":"so that","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"n\": 1e400}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","content":"42","tool_call_id":"c1"},{"role":"tool","content":"43","tool_call_id":"c2"},{"role":"assistant","content":"one"},{"role":"assistant","content":"two"}],"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"b":1.0,"a":[1e400]},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,"response_format":{"type":"json_schema","json_schema":{"name":"r","schema":{"z":1,"a":2},"strict":true}},"reasoning_effort":"low","max_tokens":50,"user":"u","verbosity":"low","temperature":0.70,"service_tier":"flex"}"#
    );
    assert_eq!(
        chat_of(r#"{"input":"hi\u00e9","text":{"format":{"type":"text"}},"tool_choice":"auto"}"#).unwrap(),
        r#"{"model":"m","messages":[{"role":"user","content":"hi\u00e9"}],"tool_choice":"auto"}"#
    );
}

#[test]
fn a_summary_is_asked_for_as_such() {
    let display = |body: &str| {
        let object: RawObject<'_> = serde_json::from_str(body).unwrap();
        let display = request::read(&object).unwrap().reasoning.display;
        display.map(|display| display.decode().into_owned())
    };
    assert_eq!(display(r#"{"reasoning":{"summary":"detailed"}}"#).as_deref(), Some("summarized"));
    assert_eq!(display(r#"{"reasoning":{"summary":null,"effort":"low"}}"#), None);
}

#[test]
fn what_chat_has_not_is_no_request_of_it() {
    for input in [
        r#"[{"type":"item_reference","id":"m"}]"#,
        r#"[{"type":"web_search_call","id":"w"}]"#,
        r#"[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]"#,
        r#"[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#,
        r#"[{"role":"user","content":[{"type":"input_video"}]}]"#,
        "7",
    ] {
        assert_eq!(chat_of(&format!(r#"{{"input":{input}}}"#)), None, "{input}");
    }
    assert_eq!(chat_of(r#"{"input":"x","tools":[{"type":"web_search"}]}"#), None);
}

#[test]
fn a_response_has_openais_shape_and_repeats_its_request() {
    let literal = |text: &str| Literal::of(text);
    let choice = ChatChoice {
        content: Some(literal("Sunny")),
        tool_calls: vec![ToolCall {
            id: literal("call_1"),
            name: literal("weather"),
            arguments: literal("{\"n\":1e400}"),
            extra_content: Some(r#"{"google":{"thought_signature":"s"}}"#.into()),
        }],
        reasoning: vec![
            ReasoningDetail::Text { text: literal("so"), signature: Some(literal("sig")) },
            ReasoningDetail::Encrypted { data: literal("xyz"), id: None },
        ],
        annotations: vec![
            r#"{"type":"url_citation","url_citation":{"url":"https://x","start_index":0}}"#.to_owned(),
        ],
        finish: Some(Finish::ToolCalls),
        ..ChatChoice::default()
    };
    let usage = Usage { cached_tokens: Some(2), reasoning_tokens: Some(1), ..Usage::of(5, 3) };
    let reply = ChatReply { usage: Some(usage), model: Some("theirs".to_owned()), ..reply(choice) };
    let request = r#"{"input":"x","instructions":"i\u00e9","tools":[{"type":"function","name":"f","parameters":{"b":1.0,"a":1e400}}],"tool_choice":null,"temperature":0.70,"metadata":{"k":"v"},"store":true}"#;
    let object = serde_json::from_str(request).unwrap();
    assert_eq!(
        response::compose("m", &reply, &object),
        concat!(
            r#"{"id":"resp_1","object":"response","created_at":7,"status":"completed","incomplete_details":null,"model":"theirs","#,
            r#""background":false,"error":null,"previous_response_id":null,"store":false,"output":["#,
            r#"{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"so"}],"encrypted_content":"sig","reasoning_format":"unknown"},"#,
            r#"{"id":"rs_1_1","type":"reasoning","summary":[],"encrypted_content":"xyz","reasoning_format":"unknown"},"#,
            r#"{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Sunny","annotations":[{"type":"url_citation","url":"https://x","start_index":0}]}]},"#,
            r#"{"id":"fc_1","type":"function_call","status":"completed","call_id":"call_1","name":"weather","arguments":"{\"n\":1e400}","extra_content":{"google":{"thought_signature":"s"}}}],"#,
            r#""instructions":"i\u00e9","max_output_tokens":null,"metadata":{"k":"v"},"parallel_tool_calls":true,"prompt_cache_key":null,"reasoning":{"effort":null,"summary":null},"#,
            r#""safety_identifier":null,"service_tier":null,"temperature":0.70,"text":{"format":{"type":"text"}},"tool_choice":"auto","#,
            r#""tools":[{"type":"function","name":"f","parameters":{"b":1.0,"a":1e400}}],"top_p":null,"truncation":"disabled","user":null,"#,
            r#""usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":0},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":8}}"#
        )
    );
}

#[test]
fn a_response_that_is_cut_off_says_so() {
    for (finish, status, reason) in [
        (Some(Finish::Stop), "completed", None),
        (None, "completed", None),
        (Some(Finish::Length), "incomplete", Some("max_output_tokens")),
        (Some(Finish::ContentFilter), "incomplete", Some("content_filter")),
    ] {
        let choice = ChatChoice { content: Some(Literal::of("x")), finish, ..ChatChoice::default() };
        let response = response_of(&reply(choice), "{}");
        assert_eq!((&response["status"], &response["output"][0]["status"]), (&status.into(), &status.into()));
        assert_eq!(response["incomplete_details"]["reason"].as_str(), reason);
        assert_eq!(response["usage"], serde_json::Value::Null);
    }
}

#[test]
fn a_refusal_is_one_and_an_empty_answer_an_empty_text() {
    let refusal = ChatChoice { refusal: Some(Literal::of("no")), ..ChatChoice::default() };
    let content = response_of(&reply(refusal), "{}")["output"][0]["content"].clone();
    assert_eq!(content, serde_json::json!([{"type": "refusal", "refusal": "no"}]));
    let output = response_of(&reply(ChatChoice::default()), "{}")["output"].clone();
    assert_eq!(
        output[0]["content"],
        serde_json::json!([{"type": "output_text", "text": "", "annotations": []}])
    );
    let thought = ReasoningDetail::Summary(Literal::of("t"));
    let cut = ChatChoice { reasoning: vec![thought], finish: Some(Finish::Length), ..ChatChoice::default() };
    assert_eq!(response_of(&reply(cut), "{}")["output"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_over_the_limit_is_not_put_together() {
    struct Nobody;
    impl Chat for Nobody {
        fn request(&self, _: &Ask<'_>, _: &ChatRequest<'_>) -> Result<Outgoing, Unsendable> {
            Err(Unsendable::Key)
        }
        fn read(&self, _: &str) -> Result<ChatReply, String> {
            Ok(ChatReply::default())
        }
    }
    let body = format!(r#"{{"input":"x","instructions":"{}"}}"#, "i".repeat(1000));
    let plan = plan(&body, &Nobody).unwrap();
    assert_eq!((plan.calls(), plan.sent_as()), (1, Operation::ChatCompletion));
    assert!((1002..1500).contains(&plan.least_bytes()), "{}", plan.least_bytes());
    let composed =
        |limit| plan.compose(&crate::dialect::test_ask("m"), vec![reply(ChatChoice::default())], limit);
    let whole = composed(usize::MAX).unwrap().len();
    assert!(composed(whole).is_some() && composed(whole - 1).is_none());
}

/// What a model may have said, thought and called.
fn said() -> impl Strategy<Value = ChatChoice> {
    let text = || ".{0,12}".prop_map(|text| Literal::of(&text));
    let detail = prop_oneof![
        (text(), proptest::option::of(text()))
            .prop_filter("nothing was thought", |(text, signature)| !text.is_empty() || signature.is_some())
            .prop_map(|(text, signature)| ReasoningDetail::Text { text, signature }),
        text().prop_map(|data| ReasoningDetail::Encrypted { data, id: None }),
        text().prop_map(|data| ReasoningDetail::Encrypted { data, id: Some(Literal::of("theirs")) }),
    ];
    let call = (text(), text(), text(), proptest::bool::ANY).prop_map(|(id, name, arguments, is_signed)| {
        ToolCall { id, name, arguments, extra_content: is_signed.then(|| r#"{"x":1.0}"#.into()) }
    });
    let list = |most| 0..most;
    (
        proptest::option::of(text()),
        proptest::option::of(".{1,9}".prop_map(|text| Literal::of(&text))),
        proptest::collection::vec(detail, list(3)),
        proptest::collection::vec(call, list(3)),
    )
        .prop_map(|(content, refusal, reasoning, tool_calls)| ChatChoice {
            reasoning_format: (!reasoning.is_empty() && content.is_some()).then_some("anthropic-claude-v1"),
            content,
            refusal,
            reasoning,
            tool_calls,
            ..ChatChoice::default()
        })
}

fn assistant<'m>(messages: &'m [Message<'m>]) -> Option<&'m AssistantMessage<'m>> {
    match messages {
        [Message::Assistant(said)] => Some(said),
        _ => None,
    }
}

#[test]
fn a_thought_that_has_been_nowhere_else_is_openais() {
    let thought = |more: &str| {
        let input =
            format!(r#"[{{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"e"{more}}}]"#);
        let messages = input::messages(&input).unwrap();
        assistant(&messages).unwrap().reasoning_format.as_ref().map(ToString::to_string)
    };
    assert_eq!(thought("").as_deref(), Some("openai-responses-v1"));
    assert_eq!(thought(r#","reasoning_format":"unknown""#), None);
    assert_eq!(thought(r#","reasoning_format":"x""#).as_deref(), Some("x"));
}

proptest! {
    #[test]
    fn what_came_out_can_be_sent_in_again(choice in said()) {
        let reply = reply(choice);
        let output = response::compose("m", &reply, &serde_json::from_str("{}").unwrap());
        let output: RawObject<'_> = serde_json::from_str(&output).unwrap();
        let messages = input::messages(output.get("output").unwrap().get()).unwrap();
        let back = assistant(&messages).unwrap();
        let choice = &reply.choices[0];
        prop_assert_eq!(&back.reasoning, &choice.reasoning);
        prop_assert_eq!(back.reasoning_format.as_deref(), choice.reasoning_format);
        prop_assert_eq!(&back.refusal, &choice.refusal);
        let text = Literal::concat(back.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Image { .. } | Part::Audio { .. } | Part::File { .. } => None,
        }));
        prop_assert_eq!(text.inner(), choice.content.as_ref().map_or("", Literal::inner));
        let calls = |calls: &[ToolCall<'_>]| format!("{calls:?}");
        prop_assert_eq!(calls(&back.tool_calls), calls(&choice.tool_calls));
    }
}
