use serde_json::{Value, json};

use super::*;
use crate::webhook::{Delivery, Ending, EndpointId, Event, Hook, Payload, Receiver, Style, sample};
use crate::{JobId, Operation};

const JOB: &str = "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70";

fn hook(style: Style) -> Hook {
    Hook {
        receiver: Receiver::Endpoint { endpoint: EndpointId::of_file("ci") },
        request_id: "r-1".to_owned(),
        operation: Operation::ChatCompletion,
        model: "openai/gpt".to_owned(),
        style,
        trace: None,
    }
}

fn delivery<'a>(hook: &'a Hook, ending: Ending, payload: Payload<'a>) -> Delivery<'a> {
    let job: JobId = JOB.parse().unwrap();
    Delivery {
        id: "1199d5fe-a2b4-5c3e-8f1a-2b3c4d5e6f70".parse().unwrap(),
        job,
        hook,
        event: Event::from(ending),
        ending,
        now: NOW,
        status_code: 200,
        completed_at: Timestamp::from_millis(NOW.as_millis() - 1000),
        expires_at: Timestamp::from_millis(NOW.as_millis() + 1000),
        payload,
        response_status: None,
    }
}

fn read(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

fn expected(event: &str, data: Value) -> Value {
    let at = "2026-02-19T08:10:16.831Z";
    json!({"event": event, "created_at": "2026-02-19T08:10:17.831Z", "type": event, "timestamp": at, "data": data})
}

fn data(status: &str, code: u16) -> Value {
    let job: JobId = JOB.parse().unwrap();
    json!({
        "job_id": JOB, "request_type": "chat_completion", "status": status, "status_code": code,
        "result_url": format!("/v1/async/chat/completions/{JOB}"), "result_expires_at": "2026-02-19T08:10:18.831Z",
        "created_at": job.created_at().to_string(), "completed_at": "2026-02-19T08:10:16.831Z", "model": "openai/gpt",
        "request_id": "r-1",
    })
}

fn with(mut data: Value, name: &str, value: Value) -> Value {
    data[name] = value;
    data
}

#[test]
fn a_result_goes_along_as_it_is_stored() {
    let hook = hook(Style::Bifrost);
    let stored = r#"{"n": 1.50, "big":12345678901234567890123, "text":"}}"}"#;
    let body = delivery(&hook, Ending::Completed, Payload::Json(stored)).body();
    assert!(body.ends_with(&format!(r#","response":{stored}}}}}"#)), "{body}");
    let response: Value = read(stored);
    assert_eq!(
        read(&body),
        expected("async_job.completed", with(data("completed", 200), "response", response))
    );
}

#[test]
fn an_error_goes_along_as_error() {
    let hook = hook(Style::Bifrost);
    for (ending, event) in [(Ending::Failed, "async_job.failed"), (Ending::Cancelled, "async_job.cancelled")]
    {
        let body =
            Delivery { status_code: 503, ..delivery(&hook, ending, Payload::Json(r#"{"error":{}}"#)) }.body();
        assert_eq!(read(&body), expected(event, with(data("failed", 503), "error", json!({"error": {}}))));
    }
    // Who does not know the event of a cancelled job.
    let cancelled =
        Delivery { event: Event::Failed, ..delivery(&hook, Ending::Cancelled, Payload::Unwanted) };
    assert_eq!(read(&cancelled.body()), expected("async_job.failed", data("failed", 200)));
}

#[test]
fn what_is_left_out_is_said() {
    let hook = hook(Style::Bifrost);
    let body = |ending, payload| read(&delivery(&hook, ending, payload).body())["data"].clone();
    assert_eq!(body(Ending::Completed, Payload::Unwanted), data("completed", 200));
    assert_eq!(
        body(Ending::Completed, Payload::Omitted),
        with(data("completed", 200), "response_omitted", json!(true))
    );
    assert_eq!(
        body(Ending::Failed, Payload::Omitted),
        with(data("failed", 200), "error_omitted", json!(true))
    );
    assert_eq!(
        body(Ending::Cancelled, Payload::Expired),
        json!({"job_id": JOB, "status": "failed", "result_expired": true})
    );
}

#[test]
fn a_response_in_the_background_is_told_in_openais_words() {
    let hook = hook(Style::OpenAi);
    let told = |ending, payload, response_status| {
        let event = Delivery { response_status, ..delivery(&hook, ending, payload) };
        read(&event.body())
    };
    let expected = |kind: &str| {
        json!({
            "id": "evt_1199d5fea2b45c3e8f1a2b3c4d5e6f70", "object": "event", "created_at": 1_771_488_616, "type": kind,
            "data": {"id": "resp_0199d5fea2b47c3e8f1a2b3c4d5e6f70"},
        })
    };
    for (ending, status, kind) in [
        (Ending::Completed, None, "response.completed"),
        (Ending::Completed, Some("completed"), "response.completed"),
        (Ending::Completed, Some("incomplete"), "response.incomplete"),
        (Ending::Completed, Some("failed"), "response.failed"),
        (Ending::Completed, Some("cancelled"), "response.cancelled"),
        (Ending::Failed, Some("completed"), "response.failed"),
        (Ending::Failed, None, "response.failed"),
        (Ending::Cancelled, None, "response.cancelled"),
    ] {
        // It never holds the result, whether there is one or not.
        for payload in [Payload::Json("{}"), Payload::Expired] {
            assert_eq!(told(ending, payload, status), expected(kind), "{ending:?} {status:?}");
        }
    }
}

#[test]
fn a_result_is_fetched_where_its_job_is_polled() {
    let hook = Hook { operation: Operation::Messages, ..hook(Style::Bifrost) };
    let body = read(&delivery(&hook, Ending::Completed, Payload::Unwanted).body());
    assert_eq!(body["data"]["result_url"], format!("/v1/async/responses/{JOB}"));
    assert_eq!(body["data"]["request_type"], "responses");
}

#[test]
fn a_sample_is_like_the_event_and_of_no_job() {
    for (event, name, status, code) in [
        (None, "webhook.test", "completed", 200),
        (Some(Event::Completed), "async_job.completed", "completed", 200),
        (Some(Event::Failed), "async_job.failed", "failed", 500),
        (Some(Event::Cancelled), "async_job.cancelled", "failed", 499),
    ] {
        let (told, body) = sample(event, NOW);
        let body = read(&body);
        let job_id = body["data"]["job_id"].as_str().unwrap();
        assert!(job_id.strip_prefix("test-").unwrap().parse::<JobId>().is_ok(), "{job_id}");
        let at = NOW.to_string();
        let data = json!({
            "job_id": job_id, "request_type": "chat_completion", "status": status, "status_code": code,
            "result_url": format!("/v1/async/chat/completions/{job_id}"), "created_at": at, "completed_at": at,
        });
        assert_eq!(
            (told, &body),
            (name, &json!({"event": name, "created_at": at, "type": name, "timestamp": at, "data": data}))
        );
    }
    assert_ne!(sample(None, NOW).1, sample(None, NOW).1);
}
