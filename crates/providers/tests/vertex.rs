//! Access tokens for Vertex AI: how one is asked for, for how long it is used, and what its refusal means.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hermod_providers::{Bill, CallError, CallResult, ProviderCall, Providers, Replies, Verdict};
use hermod_types::config::Models;
use hermod_types::{Config, Operation, Target};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

const PRIVATE_KEY: &str = include_str!("keys/service_account.pem");
const PUBLIC_KEY: &str = include_str!("keys/service_account.pub.pem");
const MODEL_PATH: &str =
    "/v1/projects/my-project/locations/global/publishers/google/models/gemini-2.5-flash:generateContent";

/// Google: its token endpoint, which answers `token` and the number of the request behind the text `N`, and Vertex.
struct Google {
    address: String,
    tokens_asked: Arc<AtomicUsize>,
    assertion: Arc<Mutex<String>>,
    /// What `Authorization` the models were asked with.
    shown: Arc<Mutex<Vec<String>>>,
}

impl Google {
    fn start(token: (u16, Value), model: (u16, Value)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let google = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            tokens_asked: Arc::default(),
            assertion: Arc::default(),
            shown: Arc::default(),
        };
        let (asked, assertion, shown) =
            (Arc::clone(&google.tokens_asked), Arc::clone(&google.assertion), Arc::clone(&google.shown));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (path, authorization, body) = receive(&stream);
                let (status, answer) = if path == "/token" {
                    let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
                    *assertion.lock().unwrap() = body;
                    (token.0, token.1.to_string().replace("ya29.N", &format!("ya29.{number}")))
                } else {
                    assert_eq!(path, MODEL_PATH);
                    shown.lock().unwrap().push(authorization);
                    (model.0, model.1.to_string())
                };
                let head = format!(
                    "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {}",
                    answer.len()
                );
                stream.write_all(format!("{head}\r\n\r\n{answer}").as_bytes()).unwrap();
            }
        });
        google
    }

    fn asked(&self) -> usize {
        self.tokens_asked.load(Ordering::SeqCst)
    }

    fn shown(&self) -> Vec<String> {
        self.shown.lock().unwrap().clone()
    }

    fn providers(&self) -> Providers {
        let token_uri = format!("{}/token", self.address);
        let account = json!({
            "type": "service_account", "project_id": "my-project", "private_key_id": "kid-1",
            "private_key": PRIVATE_KEY, "client_email": "hermod@my-project.iam.gserviceaccount.com",
            "token_uri": token_uri,
        });
        Providers::new(&config(&account.to_string(), &self.address)).unwrap()
    }
}

fn receive(stream: &TcpStream) -> (String, String, String) {
    let mut reader = BufReader::new(stream);
    let (mut path, mut authorization, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix("POST ") {
            path = rest.split(' ').next().unwrap().to_owned();
        }
        match line.split_once(": ") {
            _ if line.is_empty() => break,
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                value.clone_into(&mut authorization);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some(_) | None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (path, authorization, String::from_utf8(body).unwrap())
}

fn config(credentials: &str, base_url: &str) -> Config {
    let config = json!({"providers": {"vertex": {
        "keys": [{"name": "account", "vertex_key_config":
            {"project_id": "my-project", "region": "global", "auth_credentials": credentials}}],
        "network_config": {"base_url": base_url},
    }}});
    Config::from_json(&config.to_string(), &|_| None).unwrap()
}

async fn call(providers: &Providers, body: &str) -> Result<CallResult, CallError> {
    let target: Target = "vertex/gemini-2.5-flash".parse().unwrap();
    let key = *providers.keys(&target, &Models::All).unwrap().first().unwrap();
    let permit = providers.permit(&target, Duration::from_secs(5)).await.unwrap();
    let (limit, replies) = (Duration::from_secs(20), Replies::default());
    let call = ProviderCall {
        trace: None,
        operation: Operation::TextCompletion,
        media: None,
        target: &target,
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

fn granted(seconds: u64) -> (u16, Value) {
    (200, json!({"access_token": "ya29.N", "expires_in": seconds, "token_type": "Bearer"}))
}

fn said(text: &str) -> (u16, Value) {
    (200, json!({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}]}))
}

#[tokio::test]
async fn a_token_is_asked_for_with_a_signed_assertion_and_serves_many_calls() {
    let google = Google::start(granted(3599), said("hello"));
    let providers = google.providers();
    let (one, other) =
        tokio::join!(call(&providers, r#"{"prompt":["a","b"]}"#), call(&providers, r#"{"prompt":"c"}"#));
    one.unwrap();
    other.unwrap();
    assert_eq!((google.asked(), google.shown()), (1, vec!["Bearer ya29.1".to_owned(); 3]));

    let form = google.assertion.lock().unwrap().clone();
    let assertion = form
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .unwrap();
    let token_uri = format!("{}/token", google.address);
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[&token_uri]);
    validation.set_issuer(&["hermod@my-project.iam.gserviceaccount.com"]);
    let key = DecodingKey::from_rsa_pem(PUBLIC_KEY.as_bytes()).unwrap();
    let decoded = jsonwebtoken::decode::<Value>(assertion, &key, &validation).unwrap();
    assert_eq!(decoded.header.kid.as_deref(), Some("kid-1"));
    assert_eq!(decoded.claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(decoded.claims["exp"].as_u64().unwrap() - decoded.claims["iat"].as_u64().unwrap(), 3600);
}

#[tokio::test]
async fn a_token_that_ends_within_the_minute_is_not_kept() {
    let google = Google::start(granted(59), said("hello"));
    let providers = google.providers();
    for _ in 0..2 {
        call(&providers, r#"{"prompt":"a"}"#).await.unwrap();
    }
    assert_eq!(google.shown(), ["Bearer ya29.1", "Bearer ya29.2"]);
}

#[tokio::test]
async fn a_token_that_is_refused_is_not_shown_again() {
    let refused = json!({"error": {"code": 401, "status": "UNAUTHENTICATED",
        "message": "Request had invalid authentication credentials: ya29.1"}});
    let google = Google::start(granted(3599), (401, refused));
    let providers = google.providers();
    let error = call(&providers, r#"{"prompt":"a"}"#).await.unwrap_err();
    assert_eq!((error.verdict, error.status), (Verdict::NextKey, 401));
    assert_eq!(error.detail.message, "Request had invalid authentication credentials: ****");
    call(&providers, r#"{"prompt":"a"}"#).await.unwrap_err();
    assert_eq!(google.shown(), ["Bearer ya29.1", "Bearer ya29.2"]);
}

#[tokio::test]
async fn an_account_that_is_refused_buries_its_key_and_an_endpoint_that_is_busy_does_not() {
    let refused = json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
    for (status, body, verdict, message) in [
        (
            400,
            refused,
            Verdict::NextKey,
            "an access token was refused with 400: invalid_grant: Invalid JWT Signature.",
        ),
        (
            401,
            json!({"error": "invalid_client"}),
            Verdict::NextKey,
            "an access token was refused with 401: invalid_client",
        ),
        (
            503,
            json!("busy"),
            Verdict::Retry { after: None, another_key: false },
            "an access token was refused with 503",
        ),
        (
            200,
            json!({}),
            Verdict::Retry { after: None, another_key: false },
            "no access token: the answer to the request for one has none",
        ),
    ] {
        let google = Google::start((status, body), said("never"));
        let error = call(&google.providers(), r#"{"prompt":"a"}"#).await.unwrap_err();
        assert_eq!((error.verdict, error.detail.message.as_str()), (verdict, message));
        assert!(!error.may_be_billed && google.shown().is_empty());
    }
}

#[test]
fn credentials_that_are_none_are_found_at_the_start() {
    let no_key = json!({"client_email": "a", "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"});
    for credentials in ["{}", "/path/to/key.json", &no_key.to_string()] {
        let error = Providers::new(&config(credentials, "http://localhost")).unwrap_err().to_string();
        let expected = "provider vertex: the key account: \
            vertex_key_config.auth_credentials: expected the JSON of a service account";
        assert_eq!(error, expected);
    }
}
