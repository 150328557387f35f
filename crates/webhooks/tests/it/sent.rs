//! What a receiver gets.

use std::time::Duration;

use hermod_types::Timestamp;
use hermod_webhooks::Verdict;
use reqwest::header::{HeaderMap, HeaderName};
use standardwebhooks::Webhook;

use super::receiver::{Does, Received, Receiver, answer};
use super::*;

fn headers_of(received: &Received) -> HeaderMap {
    let pair =
        |(name, value): (&String, &String)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    received.headers.iter().map(pair).collect()
}

#[tokio::test]
async fn a_delivery_is_what_the_specification_says_and_its_library_verifies_it() {
    let receiver = Receiver::start(Does::Answers(answer("204 No Content", "", ""))).await;
    let url = format!("http://hook.example:{}/in?a=b%20c", receiver.port);
    let endpoint = endpoint(&url, r#","headers":{"Authorization":"Bearer é","x-team":""}"#);
    let body = "{\"text\":\"\u{1f40e} \\u0000 1.50\"}";
    let attempt = sender().send(Message { body: body.to_owned(), ..message(&endpoint) }).await;
    assert_eq!(
        (attempt.verdict, attempt.status, attempt.error.as_str()),
        (Verdict::Delivered, Some(204), "")
    );
    assert!(attempt.duration > Duration::ZERO);
    let [received] = receiver.received().try_into().unwrap();
    assert_eq!(received.line, "POST /in?a=b%20c HTTP/1.1");
    assert_eq!(received.body, body);
    let timestamp: u64 = received.headers["webhook-timestamp"].parse().unwrap();
    assert!(timestamp.abs_diff(Timestamp::now().as_millis() / 1000) <= 5, "{timestamp}");
    let header = |name: &str| received.headers[name].as_str();
    assert_eq!(header("host"), format!("hook.example:{}", receiver.port));
    assert_eq!((header("webhook-id"), header("x-bifrost-event")), (ID, "async_job.completed"));
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("user-agent"), concat!("Hermod/", env!("CARGO_PKG_VERSION")));
    assert_eq!((header("authorization"), header("x-team")), ("Bearer é", ""));
    let names: Vec<_> = received.headers.keys().map(String::as_str).collect();
    let expected = [
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-bifrost-event",
        "x-team",
    ];
    assert_eq!(names, expected, "and nothing else");
    let verifier = Webhook::new(endpoint.secret.expose()).unwrap();
    verifier.verify(body.as_bytes(), &headers_of(&received)).unwrap();
    assert!(verifier.verify(b"{}", &headers_of(&received)).is_err());
}

#[tokio::test]
async fn during_a_rotation_both_secrets_verify_and_then_the_new_one() {
    let receiver = Receiver::start(Does::Answers(answer("200 OK", "", "ok"))).await;
    let before = endpoint(&format!("http://hook.example:{}/", receiver.port), "");
    let both = before.with_new_secret(LONG, Timestamp::now());
    let new = before.with_new_secret(Duration::ZERO, Timestamp::now());
    for endpoint in [&before, &both, &new] {
        assert_eq!(sender().send(message(endpoint)).await.verdict, Verdict::Delivered);
    }
    let verifies = |endpoint: &Endpoint, received: &Received| {
        let verifier = Webhook::new(endpoint.secret.expose()).unwrap();
        verifier.verify(received.body.as_bytes(), &headers_of(received)).is_ok()
    };
    let received = receiver.received();
    let verified: Vec<_> = received
        .iter()
        .map(|received| [&before, &both, &new].map(|endpoint| verifies(endpoint, received)))
        .collect();
    assert_eq!(verified, [[true, false, false], [true, true, false], [false, false, true]]);
}

#[test]
fn an_attempt_takes_no_longer_than_its_endpoint_says() {
    let timeout = |members: &str| message(&endpoint("http://h/", members)).timeout;
    let seconds = Duration::from_secs;
    assert_eq!((timeout(""), timeout(r#","attempt_timeout_seconds":3"#)), (seconds(10), seconds(3)));
}

#[tokio::test]
async fn a_connection_is_used_again_after_its_answer_was_read() {
    for status in ["200 OK", "500 Oops"] {
        let receiver = Receiver::start(Does::Answers(answer(status, "", "thank you"))).await;
        let endpoint = endpoint(&format!("http://hook.example:{}/", receiver.port), "");
        let sender = sender();
        for _ in 0..3 {
            sender.send(message(&endpoint)).await;
        }
        assert_eq!((receiver.received().len(), receiver.connections()), (3, 1), "{status}");
    }
}
