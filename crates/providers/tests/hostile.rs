//! What a client cannot do to a provider: override what Hermod writes, change the path, make a result without bound.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hermod_providers::{Bill, CallError, CallResult, ProviderCall, Providers, Replies, Verdict};
use hermod_types::config::{Form, Models, ProviderKind, Support};
use hermod_types::{Config, ErrorCode, Operation, Target};
use serde_json::{Value, json};

/// A provider that gives each request the same answer.
struct Upstream {
    address: String,
    /// Path and body of each request.
    received: Arc<Mutex<Vec<(String, String)>>>,
}

impl Upstream {
    fn start(status: u16, answer: Value) -> Self {
        Self::start_after(0, status, answer)
    }

    /// The first `good` have 200.
    fn start_after(good: usize, status: u16, answer: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let record = Arc::clone(&received);
        let answer = answer.to_string();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let status = if number < good { 200 } else { status };
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(&stream);
                let (mut path, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(rest) = line.strip_prefix("POST ") {
                        path = rest.split(' ').next().unwrap().to_owned();
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                record.lock().unwrap().push((path, String::from_utf8(body).unwrap()));
                let head = format!(
                    "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    answer.len()
                );
                // Whoever has enough of it hangs up.
                drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes())));
            }
        });
        Self { address, received }
    }

    /// Calls it as a provider of this kind.
    async fn call(&self, kind: ProviderKind, model: &str, body: &str) -> Result<CallResult, CallError> {
        // With any other address, that name means a server of one's own.
        let router = if kind == ProviderKind::HuggingFace { "/router.huggingface.co" } else { "" };
        let config = json!({"providers": {kind.name(): {
            "keys": [{"name": "one", "value": "test-key"}],
            "network_config": {"base_url": format!("{}{router}", self.address)},
        }}});
        let config = Config::from_json(&config.to_string(), &|_| None).unwrap();
        let providers = Providers::new(&config).unwrap();
        let target: Target = format!("{kind}/{model}").parse().unwrap();
        let key = *providers.keys(&target, &Models::All).unwrap().first().unwrap();
        let permit = providers.permit(&target, Duration::from_secs(5)).await.unwrap();
        let (limit, replies) = (Duration::from_secs(60), Replies::default());
        let call = ProviderCall {
            trace: None,
            operation: Operation::TextCompletion,
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
        providers.call(call, permit).await
    }

    fn received(&self) -> Vec<(String, String)> {
        self.received.lock().unwrap().clone()
    }
}

/// What a form writes besides the members that no form takes from a client.
fn own_members(kind: ProviderKind) -> &'static [&'static str] {
    match (kind.form(), kind) {
        (Form::Native, _) => &[],
        (Form::PerPrompt { .. }, ProviderKind::Gemini | ProviderKind::Vertex) => {
            &["contents", "prompt", "n", "echo"]
        }
        (Form::PerPrompt { .. }, ProviderKind::Mistral) => &["prompt", "n", "echo"],
        (Form::PerPrompt { .. }, _) => &["messages", "prompt", "n", "echo"],
    }
}

/// Those that have text completions.
fn writers() -> impl Iterator<Item = ProviderKind> {
    ProviderKind::all().filter(|kind| kind.support(Operation::TextCompletion) != Support::Absent)
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

#[tokio::test]
async fn no_member_overrides_what_a_form_writes_in_any_spelling() {
    let upstream = Upstream::start(418, json!({}));
    for kind in writers() {
        let mut body = json!({"prompt": "mine", "top_k": 5});
        for name in ["model", "models", "stream", "fallbacks"].iter().chain(own_members(kind)) {
            for spelling in [capitalized(name), name.to_ascii_uppercase()] {
                body[spelling] = json!(["forbidden"]);
            }
            if !["prompt", "n", "echo"].contains(name) {
                body[*name] = json!(["forbidden"]);
            }
        }
        let error = upstream.call(kind, "allowed", &body.to_string()).await.unwrap_err();
        assert_eq!(error.status, 418, "{kind}: {error}");
        let (path, sent) = upstream.received().pop().unwrap();
        assert!(!sent.contains("forbidden"), "{kind}: {sent}");
        assert!(sent.contains("\"mine\"") && sent.contains(":5"), "{kind}: {sent}");
        assert!(path.contains("allowed") || sent.contains(r#""model":"allowed""#), "{kind}: {path} {sent}");
    }
}

#[tokio::test]
async fn renamed_members_are_written_once() {
    let upstream = Upstream::start(418, json!({}));
    for (kind, body, sent) in [
        (ProviderKind::Anthropic, json!({"stop": "a", "Stop_Sequences": ["forbidden"]}), "stop_sequences"),
        (ProviderKind::Anthropic, json!({"user": "u", "METADATA": "forbidden"}), "metadata"),
        (ProviderKind::Anthropic, json!({"Max_Tokens": "forbidden"}), "max_tokens"),
        (ProviderKind::Cohere, json!({"top_p": 0.5, "P": "forbidden"}), "p"),
        (ProviderKind::Mistral, json!({"seed": 5, "Random_Seed": "forbidden"}), "random_seed"),
    ] {
        let mut body = body;
        body["prompt"] = json!("x");
        upstream.call(kind, "m", &body.to_string()).await.unwrap_err();
        let (_, text) = upstream.received().pop().unwrap();
        assert!(!text.contains("forbidden") && text.contains(&format!("\"{sent}\":")), "{kind}: {text}");
    }
    let body = json!({"prompt": "x", "max_tokens": 5, "inferenceConfig": {"MaxTokens": 7, "topK": 1}});
    upstream.call(ProviderKind::Bedrock, "m", &body.to_string()).await.unwrap_err();
    let (_, text) = upstream.received().pop().unwrap();
    assert!(text.contains(r#""inferenceConfig":{"maxTokens":5,"topK":1}"#), "{text}");
}

#[tokio::test]
async fn a_model_does_not_change_the_path() {
    let upstream = Upstream::start(418, json!({}));
    for kind in [ProviderKind::Azure, ProviderKind::Bedrock, ProviderKind::Gemini, ProviderKind::Vertex] {
        for model in [".", ".."] {
            let error = upstream.call(kind, model, r#"{"prompt":"x"}"#).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest, "{kind}/{model}: {error}");
            assert_eq!((error.verdict, error.blames_target), (Verdict::NextTarget, false));
            assert_eq!(error.detail.param.as_deref(), Some("model"));
        }
        assert!(upstream.received().is_empty(), "{kind}: nothing was sent");
    }
    for (kind, path) in [
        (ProviderKind::Azure, "/openai/deployments/a%2F..%2F%252e%3F%23/completions?api-version=2024-10-21"),
        (ProviderKind::Bedrock, "/model/a%2F..%2F%252e%3F%23/converse"),
        (ProviderKind::Gemini, "/v1beta/models/a%2F..%2F%252e%3F%23:generateContent"),
        (ProviderKind::Vertex, "/v1/publishers/google/models/a%2F..%2F%252e%3F%23:generateContent"),
    ] {
        upstream.call(kind, "a/../%2e?#", r#"{"prompt":"x"}"#).await.unwrap_err();
        assert_eq!(upstream.received().pop().unwrap().0, path, "{kind}");
    }
}

fn chat_answer(text: &str) -> Value {
    json!({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
}

fn is_too_large(error: &CallError, may_be_billed: bool) {
    assert_eq!((error.code, error.status), (ErrorCode::UpstreamAnswerTooLarge, 502), "{error}");
    assert_eq!((error.verdict, error.blames_target), (Verdict::NextTarget, false));
    assert_eq!(error.may_be_billed, may_be_billed, "{error}");
    assert!(error.detail.message.contains("larger than 33554432 bytes"), "{error}");
}

#[tokio::test]
async fn echoed_prompts_over_the_limit_are_not_asked_at_all() {
    let upstream = Upstream::start(200, chat_answer("never"));
    let body = json!({"prompt": "x".repeat(250_000), "n": 200, "echo": true});
    is_too_large(&upstream.call(ProviderKind::Groq, "m", &body.to_string()).await.unwrap_err(), false);
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_composed_result_is_bounded_with_its_echoed_prompts() {
    let upstream = Upstream::start(200, chat_answer(&"y".repeat(20_000)));
    let mut body = json!({"prompt": "x".repeat(120_000), "n": 250});
    upstream.call(ProviderKind::Groq, "m", &body.to_string()).await.unwrap();
    body["echo"] = json!(true);
    is_too_large(&upstream.call(ProviderKind::Groq, "m", &body.to_string()).await.unwrap_err(), true);
}

#[tokio::test]
async fn answers_to_one_job_have_one_limit() {
    let upstream = Upstream::start(200, chat_answer(&"y".repeat(12 << 20)));
    let two = r#"{"prompt":["a","b"]}"#;
    upstream.call(ProviderKind::Groq, "m", two).await.unwrap();
    let three = r#"{"prompt":["a","b","c"]}"#;
    is_too_large(&upstream.call(ProviderKind::Groq, "m", three).await.unwrap_err(), true);
}

#[tokio::test]
async fn a_request_of_too_many_calls_makes_none() {
    let upstream = Upstream::start(200, chat_answer("never"));
    for n in ["65537", "18446744073709551615"] {
        let body = format!(r#"{{"prompt":"x","n":{n}}}"#);
        let error = upstream.call(ProviderKind::Groq, "m", &body).await.unwrap_err();
        assert_eq!((error.code, error.verdict), (ErrorCode::InvalidRequest, Verdict::NextTarget));
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn what_one_model_has_answered_is_no_part_of_anothers_answer() {
    let answer = json!({"choices": [{"message": {"content": "x"}}]});
    let upstream = Upstream::start_after(1, 503, answer);
    let key = |model: &str| json!({"name": model, "value": "test-key", "aliases": {"m": model}});
    let config = json!({"providers": {"groq": {
        "keys": [key("first"), key("second")],
        "network_config": {"base_url": upstream.address},
    }}});
    let config = Config::from_json(&config.to_string(), &|_| None).unwrap();
    let providers = Providers::new(&config).unwrap();
    let target: Target = "groq/m".parse().unwrap();
    let (limit, replies) = (Duration::from_secs(60), Replies::default());
    let keys = providers.keys(&target, &Models::All).unwrap();
    for (model, is_empty) in [("first", false), ("second", true)] {
        let key = *keys.iter().find(|key| key.name() == Some(model)).unwrap();
        let permit = providers.permit(&target, limit).await.unwrap();
        let call = ProviderCall {
            trace: None,
            operation: Operation::TextCompletion,
            target: &target,
            media: None,
            body: r#"{"prompt":["a","b"]}"#,
            key,
            timeout: limit,
            limit,
            replies: &replies,
            meter: None,
            bill: &Bill::default(),
        };
        assert_eq!(providers.call(call, permit).await.unwrap_err().status, 503);
        assert_eq!(replies.is_empty(), is_empty, "{model}");
    }
}
