//! What a client wrote reaches a native provider byte for byte, and what that answers comes back so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use hermod_providers::{Bill, CallError, ProviderCall, Providers, Replies, Verdict};
use hermod_types::config::{Models, ProviderKind};
use hermod_types::{Config, ErrorCode, Journal, Operation, ResultExtra, Target};
use serde_json::json;

/// What a parser would change: order and spacing of members, numbers and escapes, members given twice.
const SCHEMA: &str = r#"{ "type":"object","properties":{"zeta":{"description":"\u00e9\/\ud83d\ude00\t","maximum":1e400},"alpha":{"default":1.0,"minimum":-0,"multipleOf":0.10}},"required":["zeta","alpha"],"x":123456789012345678901234567890,"x":null}"#;

/// A server that answers one request with these bytes, and gives the body that it was sent.
fn server(answer: String) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    // It ends with the test's process.
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        let body = loop {
            let read = stream.read(&mut piece).unwrap();
            request.extend_from_slice(piece.get(..read).unwrap());
            let text = String::from_utf8(request.clone()).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                break body.to_owned();
            }
        };
        sender.send(body).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
    });
    (address, receiver)
}

fn answer(body: &str, length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// The body that the provider was sent, and the result less `extra_fields`.
async fn call(
    kind: ProviderKind,
    operation: Operation,
    body: &str,
    answer: String,
) -> (String, Result<String, CallError>) {
    let (address, received) = server(answer);
    let config = json!({"providers": {kind.name(): {
        "keys": [{"value": "test-key"}],
        "network_config": {"base_url": address},
    }}});
    let providers = Providers::new(&Config::from_json(&config.to_string(), &|_| None).unwrap()).unwrap();
    let target: Target = format!("{kind}/a-model").parse().unwrap();
    let key = *providers.keys(&target, &Models::All).unwrap().first().unwrap();
    let permit = providers.permit(&target, Duration::from_secs(5)).await.unwrap();
    let (limit, replies) = (Duration::from_secs(60), Replies::default());
    let call = ProviderCall {
        trace: None,
        operation,
        target: &target,
        media: None,
        body,
        key,
        timeout: limit,
        limit,
        replies: &replies,
        meter: None,
        bill: &Bill::default(),
    };
    let journal = Journal::default();
    let extra = ResultExtra::new(operation, &target, target.model(), 1, 0, &journal);
    let result = providers.call(call, permit).await.map(|result| {
        let result = result.compose(&extra);
        result.split_once(r#","extra_fields":"#).unwrap().0.to_owned()
    });
    (received.recv().unwrap(), result)
}

#[tokio::test]
async fn a_request_and_its_result_are_copied() {
    let chat = format!(
        r#"{{ "messages":[{{"role":"user","content":"\u0041 \/"}}, {{"role":"assistant","content":null,"refusal":null}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{SCHEMA}}}}}],"temperature":1.0, "x":1e400 }}"#
    );
    let completion = r#"{ "choices":[{"message":{"content":"\u00e9","n":1.0}}],"z":1e400,"a":[ ]"#;
    let whole = format!("{completion}}}\r\n");
    for kind in [ProviderKind::OpenAi, ProviderKind::Compatible, ProviderKind::OpenRouter] {
        let answer = answer(&whole, whole.len());
        let (sent, result) = call(kind, Operation::ChatCompletion, &chat, answer).await;
        assert_eq!(sent, format!(r#"{{"model":"a-model",{}"#, chat.strip_prefix('{').unwrap()), "{kind}");
        assert_eq!(result.unwrap(), completion, "{kind}");
    }
}

#[tokio::test]
async fn each_endpoint_of_json_is_copied() {
    for (operation, body, result) in [
        (Operation::TextCompletion, r#"{"prompt":"\u0041","n":1.0}"#, r#"{"choices":[ ]"#),
        (
            Operation::Responses,
            r#"{"input":"\u0041","text":{"format":{"schema":{"b":1e400,"a":1.0}}}}"#,
            r#"{"output":[],"b":1e400"#,
        ),
        (
            Operation::Embedding,
            r#"{"input":[[1,2]],"dimensions":3 }"#,
            r#"{"data":[{"embedding":[1e-400,0.10]}]"#,
        ),
        (
            Operation::ImageGeneration,
            r#"{"prompt":"\u0041","strength":0.10}"#,
            r#"{"data":[{"url":"https:\/\/x"}]"#,
        ),
        (
            Operation::Rerank,
            r#"{"query":"\u0041","documents":["b", "a"]}"#,
            r#"{"results":[{"relevance_score":1.0}]"#,
        ),
        (Operation::Ocr, r#"{"document":{"type":"file","file_id":"\u0041"}}"#, r#"{"pages":[{"index":0 }]"#),
    ] {
        let whole = format!("{result}}}");
        let kind = ProviderKind::Compatible;
        let (sent, got) = call(kind, operation, body, answer(&whole, whole.len())).await;
        assert_eq!(
            sent,
            format!(r#"{{"model":"a-model",{}"#, body.strip_prefix('{').unwrap()),
            "{operation}"
        );
        assert_eq!(got.unwrap(), result, "{operation}");
    }
}

#[tokio::test]
async fn what_a_provider_calls_otherwise_leaves_the_rest_as_it_is() {
    let body = format!(
        r#"{{"messages":[{{"role":"user", "content":"\u0041"}}],"response_format":{{"json_schema":{{"schema":{SCHEMA}}}}},"max_completion_tokens":16,"reasoning":{{"effort":"l\u006fw"}},"top_p":1.0}}"#
    );
    let expected = format!(
        r#"{{"model":"a-model","messages":[{{"role":"user", "content":"\u0041"}}],"response_format":{{"json_schema":{{"schema":{SCHEMA}}}}},"max_tokens":16,"reasoning_effort":"l\u006fw","top_p":1.0}}"#
    );
    let whole = r#"{"choices":[{}]}"#;
    let answer = answer(whole, whole.len());
    let (sent, result) = call(ProviderKind::DeepSeek, Operation::ChatCompletion, &body, answer).await;
    assert_eq!(sent, expected);
    assert_eq!(result.unwrap(), r#"{"choices":[{}]"#);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_tried_again() {
    let body = r#"{"input":"x","voice":"alloy"}"#;
    for half in [r#"{"choices":[{"message":"#, "ID3"] {
        let answer = answer(half, 1000).replace("application/json", "audio/mpeg");
        let (_, result) = call(ProviderKind::OpenAi, Operation::Speech, body, answer).await;
        let error = result.unwrap_err();
        assert!(matches!(error.verdict, Verdict::Retry { .. }) && error.may_be_billed, "{error:?}");
        assert_ne!(error.code, ErrorCode::UpstreamError);
    }
}
