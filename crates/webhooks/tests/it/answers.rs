//! What becomes of each kind of answer, and of none.

use std::time::Duration;

use hermod_webhooks::Verdict;

use super::receiver::{Does, Receiver, answer};
use super::*;

const RETRY: Verdict = Verdict::Retry { after: None };

async fn told(does: Does, timeout: Duration) -> (Attempt, Receiver) {
    let receiver = Receiver::start(does).await;
    (attempt(&format!("http://hook.example:{}/", receiver.port), timeout).await, receiver)
}

#[tokio::test]
async fn each_status_has_its_verdict_and_the_answer_is_told() {
    let body = "  <h1>no</h1>\n";
    let after = |seconds| Verdict::Retry { after: Some(Duration::from_secs(seconds)) };
    for (status, headers, verdict) in [
        ("201 Created", "", Verdict::Delivered),
        ("301 Moved", "location: http://hook.example/\r\n", Verdict::Permanent { disable: false }),
        ("400 Bad", "", Verdict::Permanent { disable: false }),
        ("408 Late", "", RETRY),
        ("410 Gone", "", Verdict::Permanent { disable: true }),
        ("425 Early", "", RETRY),
        ("429 Slow", "retry-after: 86400\r\n", after(3600)),
        ("503 Busy", "retry-after: 7\r\n", after(7)),
    ] {
        let (attempt, receiver) = told(Does::Answers(answer(status, headers, body)), LONG).await;
        let code: u16 = status.split(' ').next().unwrap().parse().unwrap();
        assert_eq!((attempt.verdict, attempt.status), (verdict, Some(code)), "{status}");
        let error =
            if code < 300 { String::new() } else { format!("receiver responded {code}: <h1>no</h1>") };
        assert_eq!(attempt.error, error);
        assert_eq!(receiver.received().len(), 1, "one attempt is one request");
    }
    let (attempt, _) = told(Does::Answers(answer("500 Oops", "", " \n")), LONG).await;
    assert_eq!(attempt.error, "receiver responded 500");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for code in [301, 302, 303, 307, 308] {
        let other = Receiver::start(Does::Answers(answer("200 OK", "", ""))).await;
        let location = format!("location: http://hook.example:{}/\r\n", other.port);
        let (attempt, _) =
            told(Does::AnswersAndCloses(answer(&format!("{code} Moved"), &location, "")), LONG).await;
        assert_eq!(attempt.verdict, Verdict::Permanent { disable: false });
        assert_eq!((attempt.status, other.connections()), (Some(code), 0));
    }
}

#[tokio::test]
async fn who_hangs_or_drips_is_left_when_the_time_is_over() {
    let short = Duration::from_millis(300);
    for does in [
        Does::Hangs,
        Does::Drips("HTTP/1.1 200 OK\r\n".to_owned(), "x"),
        Does::Drips("HTTP/1.1 200 OK\r\nx: ".to_owned(), "y"),
    ] {
        let told_by = format!("{does:?}");
        let (attempt, receiver) = told(does, short).await;
        let expected = (RETRY, None, "no answer within 300ms");
        assert_eq!((attempt.verdict, attempt.status, attempt.error.as_str()), expected, "{told_by}");
        // The connection is gone with the attempt.
        receiver.until_all_have_ended().await;
    }
}

#[tokio::test]
async fn the_status_counts_once_it_is_there_whatever_comes_of_the_body() {
    let head = |status: &str, length: &str| format!("HTTP/1.1 {status}\r\n{length}\r\n\r\n");
    let half = "content-length: 100";
    // Cut off, garbled, and one that never ends.
    for (does, expected) in [
        (Does::AnswersAndCloses(head("200 OK", half) + "half"), (Verdict::Delivered, Some(200), "")),
        (
            Does::AnswersAndCloses(head("500 Oops", half) + "half"),
            (RETRY, Some(500), "receiver responded 500: half"),
        ),
        (
            Does::AnswersAndCloses(head("410 Gone", "transfer-encoding: chunked") + "4\r\nhalf\r\nzz\r\n"),
            (Verdict::Permanent { disable: true }, Some(410), "receiver responded 410: half"),
        ),
    ] {
        let (attempt, _) = told(does, LONG).await;
        assert_eq!((attempt.verdict, attempt.status, attempt.error.as_str()), expected);
    }
    let drip = |status: &str| Does::Drips(head(status, "content-length: 1000000"), "z");
    let (attempt, receiver) = told(drip("500 Oops"), Duration::from_millis(500)).await;
    assert_eq!((attempt.verdict, attempt.status), (RETRY, Some(500)));
    assert!(attempt.error.starts_with("receiver responded 500: z"), "{}", attempt.error);
    receiver.until_all_have_ended().await;
    // A delivery that is known to be one holds nobody up for its timeout.
    let (attempt, receiver) = told(drip("200 OK"), LONG).await;
    assert_eq!((attempt.verdict, attempt.status), (Verdict::Delivered, Some(200)));
    assert!(attempt.duration < LONG / 2, "{:?}", attempt.duration);
    receiver.until_all_have_ended().await;
}

#[tokio::test]
async fn no_more_than_the_beginning_of_an_answer_is_read() {
    for status in ["200 OK", "500 Oops"] {
        let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
        let (attempt, receiver) = told(Does::Floods(head, "4\r\nwave\r\n"), LONG).await;
        let text = attempt.error.strip_prefix("receiver responded 500: ").unwrap_or_default();
        assert_eq!(text.len(), if status.starts_with('5') { 4096 } else { 0 });
        assert!(attempt.duration < LONG / 2, "it does not wait for the rest: {:?}", attempt.duration);
        receiver.until_all_have_ended().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_tried_again() {
    for does in
        [Does::AnswersAndCloses(String::new()), Does::AnswersAndCloses("SSH-2.0-x\r\n\r\n".to_owned())]
    {
        let (attempt, _) = told(does, LONG).await;
        assert_eq!((attempt.verdict, attempt.status), (RETRY, None));
        assert!(attempt.error.starts_with("the receiver could not be reached: "), "{}", attempt.error);
    }
    // Nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = attempt(&format!("http://hook.example:{port}/path?token=hidden"), LONG).await;
    assert_eq!((refused.verdict, refused.status), (RETRY, None));
    assert!(refused.error.contains("Connection refused"), "{}", refused.error);
    assert!(!refused.error.contains("hidden"), "{}", refused.error);
}

#[tokio::test]
async fn a_header_that_is_repeated_is_masked() {
    let long = "k".repeat(5000);
    for (value, body, error) in [
        ("Bearer hidden", "got Bearer hidden!".to_owned(), "receiver responded 401: got ****!".to_owned()),
        // Only its first part is read.
        (
            &long,
            format!("{}{long}", "a".repeat(4000)),
            format!("receiver responded 401: {}****", "a".repeat(4000)),
        ),
    ] {
        let receiver = Receiver::start(Does::Answers(answer("401 Unauthorized", "", &body))).await;
        let endpoint = endpoint(
            &format!("http://hook.example:{}/", receiver.port),
            &format!(r#","headers":{{"authorization":"{value}"}}"#),
        );
        assert_eq!(sender().send(message(&endpoint)).await.error, error);
    }
}
