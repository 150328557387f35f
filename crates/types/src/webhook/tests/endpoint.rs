use std::cell::RefCell;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::*;
use crate::webhook::{
    DisabledReason, Ending, EndpointId, EndpointState, Event, Limits, TargetUrl, UnusableEndpoint,
};
use crate::{Seal, SealError};

#[test]
fn a_new_endpoint_has_an_id_and_a_secret_of_its_own() {
    let (one, other) = (endpoint(""), endpoint(""));
    assert_ne!(one.id, other.id);
    assert_ne!(one.secret.expose(), other.secret.expose());
    assert!(one.old_secret.is_none() && !one.is_from_file);
    assert_eq!((one.created_at, one.updated_at), (Some(NOW), Some(NOW)));
}

#[test]
fn zero_is_the_default() {
    let seconds = Duration::from_secs;
    let (none, some) = (
        endpoint(r#""max_retries":0"#).limits,
        endpoint(
            r#""max_retries":20,"retry_backoff_initial_seconds":2,"retry_backoff_max_seconds":3,"attempt_timeout_seconds":5,"max_response_payload_kbs":1,"max_concurrent_deliveries":9"#,
        )
        .limits,
    );
    assert_eq!(none, Limits::default());
    assert_eq!((none.retries(), some.retries()), (4, 20));
    assert_eq!((none.attempt_timeout(), some.attempt_timeout()), (seconds(10), seconds(5)));
    assert_eq!((none.response_bytes(), some.response_bytes()), (256 * 1024, 1024));
    assert_eq!((none.concurrent_deliveries(), some.concurrent_deliveries()), (10, 9));
    for _ in 0..100 {
        let wait = none.backoff(1).as_secs_f64();
        assert!((48.0..=72.0).contains(&wait), "{wait}");
        assert!((1440.0..=1800.0).contains(&none.backoff(19).as_secs_f64()), "never above the longest");
        let wait = some.backoff(0).as_secs_f64();
        assert!((1.6..=2.4).contains(&wait), "{wait}");
        assert!(some.backoff(u32::MAX) <= seconds(3));
    }
    assert!(
        (0..100).any(|_| none.backoff(0) < seconds(29)) && (0..100).any(|_| none.backoff(0) > seconds(31))
    );
}

#[test]
fn a_cancelled_job_is_a_failed_one_for_who_knows_no_other() {
    let taking = |events: &[Event]| {
        let made = Endpoint { events: events.to_vec(), ..endpoint("") };
        [Ending::Completed, Ending::Failed, Ending::Cancelled].map(|ending| made.event_of(ending))
    };
    let (completed, failed, cancelled) = (Event::Completed, Event::Failed, Event::Cancelled);
    assert_eq!(taking(&[completed]), [Some(completed), None, None]);
    assert_eq!(taking(&[failed]), [None, Some(failed), Some(failed)]);
    assert_eq!(taking(&[cancelled]), [None, None, Some(cancelled)]);
    assert_eq!(taking(&[failed, cancelled]), [None, Some(failed), Some(cancelled)]);
}

#[test]
fn an_endpoint_serves_all_keys_or_those_that_it_names() {
    let serves = |members: &str| {
        let made = endpoint(members);
        [None, Some("a"), Some("b")].map(|owner| made.serves(owner))
    };
    assert_eq!(serves(""), [true; 3]);
    assert_eq!(serves(r#""virtual_key_ids":["a"]"#), [false, true, false]);
    assert_eq!(serves(r#""virtual_key_ids":[]"#), [false; 3]);
}

#[test]
fn a_rotation_may_keep_the_old_secret_for_a_time() {
    let before = endpoint("");
    let at = |millis| Timestamp::from_millis(NOW.as_millis() + millis);
    let both = before.with_new_secret(Duration::from_secs(2), NOW);
    let secrets = |endpoint: &Endpoint, now| {
        endpoint.secrets(now).map(|secret| secret.expose().to_owned()).collect::<Vec<_>>()
    };
    let (new, old) = (both.secret.expose().to_owned(), before.secret.expose().to_owned());
    assert_ne!(new, old);
    assert_eq!(secrets(&both, at(1999)), [new.clone(), old]);
    assert_eq!(secrets(&both, at(2000)), [new]);
    let one = both.with_new_secret(Duration::ZERO, at(1));
    assert_eq!((one.old_secret.is_none(), one.updated_at), (true, Some(at(1))), "at once");
    assert_eq!(secrets(&one, NOW), [one.secret.expose().to_owned()]);
}

#[test]
fn ids_of_the_file_follow_from_the_name() {
    assert_eq!(EndpointId::of_file("ci"), EndpointId::of_file("ci"));
    assert_ne!(EndpointId::of_file("ci"), EndpointId::of_file("CI"));
    let id = EndpointId::of_file("ci").to_string();
    assert_eq!(id.parse::<EndpointId>().unwrap().to_string(), id);
    assert!("0199d5fea2b47c3e8f1a2b3c4d5e6f70".parse::<EndpointId>().is_err());
}

#[test]
fn administrators_see_neither_secrets_nor_the_values_of_headers() {
    let made =
        endpoint(r#""headers":{"x-b":"hidden-1","X-A":"hidden-2"},"max_retries":3,"virtual_key_ids":["vk"]"#);
    let shown = made.to_json(&EndpointState::default());
    assert_eq!(
        serde_json::from_str::<Value>(&shown).unwrap(),
        json!({
            "id": made.id.to_string(), "name": "ci", "url": "https://example.com/hook?a=b", "events": ["async_job.completed"],
            "headers": {"x-b": {"value": "<REDACTED>"}, "X-A": {"value": "<REDACTED>"}},
            "include_response": false, "allow_private_network": false, "max_retries": 3, "disabled": false,
            "consecutive_failures": 0, "created_at": NOW.to_string(), "updated_at": NOW.to_string(), "virtual_key_ids": ["vk"],
        })
    );
    assert!(!format!("{made:?}{shown}").contains("hidden"), "{made:?}");
    assert!(!format!("{made:?}{shown}").contains("whsec_"), "{made:?}");
}

#[test]
fn administrators_see_how_it_goes() {
    let state = EndpointState {
        consecutive_failures: 12,
        last_success_at: Some(Timestamp::from_millis(0)),
        last_failure_at: Some(NOW),
        disabled_reason: Some(DisabledReason::Gone),
    };
    let made = Endpoint { is_from_file: true, created_at: None, updated_at: None, ..endpoint("") };
    assert!(made.is_disabled(&state) && !made.disabled);
    assert_eq!(
        serde_json::from_str::<Value>(&made.to_json(&state)).unwrap(),
        json!({
            "id": made.id.to_string(), "name": "ci", "url": "https://example.com/hook?a=b", "events": ["async_job.completed"],
            "include_response": false, "allow_private_network": false, "disabled": true, "disabled_reason": "gone",
            "consecutive_failures": 12, "last_success_at": "1970-01-01T00:00:00.000Z", "last_failure_at": NOW.to_string(),
            "is_from_file": true,
        })
    );
}

/// Writes the context in front, and wants it there again.
#[derive(Default)]
struct Labels(RefCell<Vec<String>>);

impl Seal for Labels {
    fn seal(&self, context: &str, secret: &str) -> Result<String, SealError> {
        self.0.borrow_mut().push(context.to_owned());
        Ok(format!("{context}={}", secret.chars().rev().collect::<String>()))
    }

    fn open(&self, context: &str, stored: &str) -> Result<SecretString, SealError> {
        let sealed = stored.strip_prefix(context).and_then(|rest| rest.strip_prefix('='));
        sealed.map(|text| text.chars().rev().collect::<String>().into()).ok_or(SealError::NotOurs)
    }
}

#[test]
fn an_endpoint_comes_back_as_it_was_stored_and_its_secrets_are_sealed() {
    let seal = Labels::default();
    let was = endpoint(
        r#""headers":{"X-B":"hidden","a":""},"include_response":true,"disabled":true,"max_retries":1,"retry_backoff_initial_seconds":2,"retry_backoff_max_seconds":3,"attempt_timeout_seconds":4,"max_response_payload_kbs":5,"max_concurrent_deliveries":6,"virtual_key_ids":["a"]"#,
    );
    let was = was.with_new_secret(Duration::from_secs(5), NOW);
    let stored = was.to_stored(&seal).unwrap();
    assert!(!stored.contains("hidden") && !stored.contains("whsec_"), "{stored}");
    let contexts =
        ["secret", "header/x-b", "header/a", "secret"].map(|what| format!("webhook/{}/{what}", was.id));
    let (mut found, mut expected) = (seal.0.take(), contexts.to_vec());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // What scripts read.
    let members: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(
        (&members["name"], &members["disabled"], &members["max_concurrent_deliveries"]),
        (&json!("ci"), &json!(true), &json!(6))
    );
    let is = Endpoint::from_stored(&stored, &seal).unwrap();
    assert_eq!(format!("{is:?}"), format!("{was:?}"));
    assert_eq!(is.secret.expose(), was.secret.expose());
    assert_eq!(is.old_secret.unwrap().secret.expose(), was.old_secret.unwrap().secret.expose());
    let values = |headers: &[(String, SecretString)]| {
        headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&is.headers), values(&was.headers));
}

#[test]
fn a_stored_text_that_cannot_be_used_is_told_without_what_is_in_it() {
    let seal = Labels::default();
    let stored = endpoint("").to_stored(&seal).unwrap();
    for text in
        ["", "{}", &stored.replace("https://", "hidden"), &stored.replace("async_job.completed", "hidden")]
    {
        let error = Endpoint::from_stored(text, &seal).unwrap_err();
        assert!(matches!(error, UnusableEndpoint::Unreadable(_)), "{error:?}");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
    let error = Endpoint::from_stored(&stored.replace("/secret=", "/header/x="), &seal).unwrap_err();
    assert!(matches!(error, UnusableEndpoint::Sealed(SealError::NotOurs)), "{error:?}");
}

#[test]
fn an_endpoint_whose_address_is_refused_by_now_can_still_be_read() {
    let seal = Labels::default();
    let stored = endpoint("").to_stored(&seal).unwrap().replace("example.com", "169.254.169.254");
    assert_eq!(
        Endpoint::from_stored(&stored, &seal).unwrap().url.address(),
        Some([169, 254, 169, 254].into())
    );
}

#[test]
fn a_url_is_kept_as_it_was_written() {
    let url = TargetUrl::parse("HTTPS://Example.com", Default::default()).unwrap();
    assert_eq!((url.as_str(), url.url().as_str()), ("HTTPS://Example.com", "https://example.com/"));
}
