//! What a request's body may be, and what is said of one that may not. The texts are Bifrost's, where it has one.

use secrecy::ExposeSecret;

use super::*;
use crate::webhook::{Event, PrivateNetwork};

const NEEDED: &str = r#""name":"n","url":"https://h/","events":["async_job.completed"]"#;

fn refused(body: &str) -> String {
    Endpoint::from_body(body, NOW).unwrap_err().to_string()
}

/// What is said where these members stand beside those that must be there, the later of two counting.
fn refused_with(member: &str, value: &str) -> String {
    let mut members =
        vec![("name", r#""n""#), ("url", r#""https://h/""#), ("events", r#"["async_job.failed"]"#)];
    members.retain(|(name, _)| *name != member);
    members.push((member, value));
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
    refused(&format!("{{{}}}", members.join(",")))
}

#[test]
fn a_body_that_is_none_is_refused_as_bifrost_does() {
    for body in ["", "{", "[]", "null", "7", "\"x\"", "{}x"] {
        assert_eq!(refused(body), "Invalid request payload", "{body}");
    }
}

#[test]
fn each_member_is_checked_and_the_text_is_bifrosts() {
    for (member, value, message) in [
        ("name", r#""""#, "webhook endpoint name cannot be empty"),
        ("name", "null", "webhook endpoint name cannot be empty"),
        ("url", r#""""#, "webhook URL cannot be empty"),
        ("url", r#""no url""#, "invalid webhook URL: relative URL without a base"),
        ("url", r#""env.HOME""#, "invalid webhook URL: relative URL without a base"),
        ("url", r#""https://""#, "invalid webhook URL: empty host"),
        ("url", r#""http://h/""#, "webhook URL must use https (http requires allow_private_network)"),
        ("url", r#""ftp://h/""#, "webhook URL must use https (http requires allow_private_network)"),
        ("url", r#""https://me@h/""#, "webhook URL must not contain credentials"),
        ("url", r#""https://:p@h/""#, "webhook URL must not contain credentials"),
        ("url", "\"https://h/#part\"", "webhook URL must not contain a fragment"),
        ("url", "\"https://h/#\"", "webhook URL must not contain a fragment"),
        // Whatever the parser reads as an address is one.
        (
            "url",
            r#""https://2130706433/""#,
            "invalid webhook URL: the address 127.0.0.1 is private (it requires allow_private_network)",
        ),
        (
            "url",
            r#""https://0xa9fea9fe/latest""#,
            "invalid webhook URL: the address 169.254.169.254 is never called: it is link-local, unspecified, multicast or reserved",
        ),
        (
            "url",
            r#""https://[::ffff:10.0.0.1]/""#,
            "invalid webhook URL: the address ::ffff:10.0.0.1 is private (it requires allow_private_network)",
        ),
        (
            "url",
            r#""https://LOCALHOST/""#,
            "invalid webhook URL: localhost is this machine (it requires allow_private_network)",
        ),
        (
            "url",
            r#""https://a.localhost.:8080/""#,
            "invalid webhook URL: a.localhost. is this machine (it requires allow_private_network)",
        ),
        ("events", "[]", "webhook endpoint must subscribe to at least one event"),
        ("events", "null", "webhook endpoint must subscribe to at least one event"),
        ("events", r#"["job.done"]"#, r#"unknown webhook event "job.done""#),
        (
            "events",
            r#"["async_job.failed","async_job.failed"]"#,
            r#"duplicate webhook event "async_job.failed""#,
        ),
        ("max_retries", "-1", "webhook endpoint max_retries must be positive when set"),
        ("max_retries", "21", "webhook endpoint max_retries must be at most 20"),
        ("max_retries", "18446744073709551615", "webhook endpoint max_retries must be at most 20"),
        (
            "retry_backoff_initial_seconds",
            "-1",
            "webhook endpoint retry_backoff_initial_seconds must be positive when set",
        ),
        (
            "retry_backoff_max_seconds",
            "-1",
            "webhook endpoint retry_backoff_max_seconds must be positive when set",
        ),
        (
            "attempt_timeout_seconds",
            "-1",
            "webhook endpoint attempt_timeout_seconds must be positive when set",
        ),
        ("attempt_timeout_seconds", "3601", "webhook endpoint attempt_timeout_seconds must be at most 3600"),
        (
            "max_response_payload_kbs",
            "-9",
            "webhook endpoint max_response_payload_kbs must be positive when set",
        ),
        (
            "max_concurrent_deliveries",
            "-1",
            "webhook endpoint max_concurrent_deliveries must be positive when set",
        ),
        ("headers", r#"{"a b":"x"}"#, r#"invalid webhook header name "a b""#),
        ("headers", r#"{"":"x"}"#, r#"invalid webhook header name """#),
        (
            "headers",
            r#"{"Webhook-ID":"x"}"#,
            r#"webhook header "Webhook-ID" is reserved and cannot be overridden"#,
        ),
        ("headers", r#"{"x-a":"1","X-A":"2"}"#, r#"duplicate webhook header "X-A""#),
        (
            "headers",
            r#"{"x-a":"1\r\nhost: b"}"#,
            r#"webhook header "x-a" has a value that HTTP does not allow"#,
        ),
        ("headers", r#"{"x-a":"1\u007f"}"#, r#"webhook header "x-a" has a value that HTTP does not allow"#),
        ("headers", r#"{"x-a":"<REDACTED>"}"#, r#"webhook header "x-a" has no stored value to keep"#),
        (
            "secret",
            r#""whsec_x""#,
            "webhook endpoint secret is made by the server, and replaced by rotate-secret",
        ),
        // A member of the wrong type, and one that there is not.
        ("name", "7", "Invalid request payload: name: expected a string"),
        ("events", r#""async_job.failed""#, "Invalid request payload: events: expected an array of strings"),
        ("events", "[7]", "Invalid request payload: events[0]: expected a string"),
        ("max_retries", r#""4""#, "Invalid request payload: max_retries: expected a whole number"),
        ("max_retries", "1.5", "Invalid request payload: max_retries: expected a whole number"),
        ("disabled", r#""no""#, "Invalid request payload: disabled: expected true or false"),
        ("headers", "[]", "Invalid request payload: headers: expected an object"),
        (
            "headers",
            r#"{"x-a":{"ref":"y"}}"#,
            "Invalid request payload: headers.x-a: expected a string, or an object with the string `value`",
        ),
        (
            "include_respons",
            "true",
            "Invalid request payload: include_respons: no such member; did you mean `include_response`?",
        ),
        ("colour", "true", "Invalid request payload: colour: no such member"),
    ] {
        assert_eq!(refused_with(member, value), message, "{member}: {value}");
    }
    let twice = refused(&format!(r#"{{{NEEDED},"name":"m"}}"#));
    assert_eq!(twice, "Invalid request payload: name: is given twice");
}

#[test]
fn what_is_wrong_first_is_said_first() {
    assert_eq!(refused(r#"{"max_retries":-1}"#), "webhook endpoint name cannot be empty");
    assert_eq!(refused(r#"{"name":"n","max_retries":-1}"#), "webhook URL cannot be empty");
}

#[test]
fn every_reserved_header_is_refused_and_others_are_not() {
    for name in [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-bifrost-event",
        "content-type",
        "content-length",
        "user-agent",
        "host",
        "connection",
        "transfer-encoding",
    ] {
        for name in [name.to_owned(), name.to_ascii_uppercase()] {
            let message = refused_with("headers", &format!(r#"{{"{name}":"x"}}"#));
            assert_eq!(message, format!(r#"webhook header "{name}" is reserved and cannot be overridden"#));
        }
    }
    let headers =
        endpoint(r#""headers":{"Authorization":"Bearer é\t1","x-team":{"value":"blue","ref":"ignored"}}"#)
            .headers;
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(headers, [("Authorization", "Bearer é\t1"), ("x-team", "blue")]);
    let many: Vec<_> = (0..101).map(|number| format!(r#""x-{number}":"1""#)).collect();
    assert_eq!(
        refused_with("headers", &format!("{{{}}}", many.join(","))),
        "webhook endpoint headers must be at most 100"
    );
}

#[test]
fn a_name_is_what_a_header_can_carry() {
    let name = |name: &str| refused_with("name", &format!("{name:?}"));
    assert_eq!(name(&"é".repeat(256)), "webhook endpoint name must be at most 255 characters");
    for wrong in [" a", "a ", "a\nb"] {
        assert!(
            name(wrong).starts_with("webhook endpoint name must not begin or end with white space"),
            "{wrong:?}"
        );
    }
    let longest = "é".repeat(255);
    let body = format!(r#"{{"name":"{longest}","url":"https://h","events":["async_job.cancelled"]}}"#);
    let made = Endpoint::from_body(&body, NOW).unwrap();
    assert_eq!((made.name, made.events), (longest, vec![Event::Cancelled]));
}

#[test]
fn http_is_for_private_networks() {
    let made = Endpoint::from_body(
        r#"{"name":"n","url":"http://10.0.0.5:8080/x","events":["async_job.failed"],"allow_private_network":true}"#,
        NOW,
    )
    .unwrap();
    assert_eq!(
        (made.private_network, made.url.as_str()),
        (PrivateNetwork::Allowed, "http://10.0.0.5:8080/x")
    );
}

#[test]
fn a_put_clears_what_is_absent_and_keeps_the_secrets() {
    let before = endpoint(
        r#""headers":{"X-Key":"k1","x-other":"o1","x-third":"t1"},"include_response":true,"disabled":true,"max_retries":7,"virtual_key_ids":["a"]"#,
    );
    let before = before.with_new_secret(std::time::Duration::from_secs(60), NOW);
    let later = Timestamp::from_millis(NOW.as_millis() + 1);
    // Repeats what an answer shows, in both forms.
    let body = format!(
        r#"{{{NEEDED},"id":"x","created_at":"y","consecutive_failures":3,"is_from_file":true,"headers":{{"x-key":{{"value":"<REDACTED>"}},"X-Other":"<REDACTED>","x-new":"n1"}}}}"#
    );
    let after = before.replaced_by(&body, later).unwrap();
    let headers: Vec<_> =
        after.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(headers, [("x-key", "k1"), ("X-Other", "o1"), ("x-new", "n1")]);
    assert_eq!((after.id, after.name.as_str(), after.url.as_str()), (before.id, "n", "https://h/"));
    assert_eq!(after.secret.expose(), before.secret.expose());
    assert_eq!(
        after.old_secret.as_ref().map(|old| old.secret.expose()),
        before.old_secret.as_ref().map(|old| old.secret.expose())
    );
    assert_eq!(
        (after.include_response, after.disabled, after.limits, after.virtual_key_ids),
        (false, false, crate::webhook::Limits::default(), None)
    );
    assert_eq!((after.created_at, after.updated_at, after.is_from_file), (Some(NOW), Some(later), false));
    // A header that there was not has nothing to keep.
    let message =
        before.replaced_by(&format!(r#"{{{NEEDED},"headers":{{"x-fourth":"<REDACTED>"}}}}"#), later);
    assert_eq!(message.unwrap_err().to_string(), r#"webhook header "x-fourth" has no stored value to keep"#);
}
