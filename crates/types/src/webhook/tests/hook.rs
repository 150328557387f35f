use crate::webhook::{EndpointId, Event, Hook, Outcome, Receiver, Row, Style, delivery_id};
use crate::{JobId, Operation, Shard, TraceContext};

use super::NOW;

#[test]
fn a_hook_comes_back_as_it_went_in() {
    let endpoint = EndpointId::of_file("ci");
    let hook = Hook {
        receiver: Receiver::Endpoint { endpoint },
        request_id: "r-1".to_owned(),
        operation: Operation::Messages,
        model: "a/b".to_owned(),
        style: Style::Bifrost,
        trace: None,
    };
    let json = serde_json::to_string(&hook).unwrap();
    assert_eq!(
        json,
        format!(r#"{{"endpoint":"{endpoint}","request_id":"r-1","type":"messages","model":"a/b"}}"#)
    );
    assert_eq!(serde_json::from_str::<Hook>(&json).unwrap(), hook);
    let hook = Hook {
        receiver: Receiver::Url { url: "https://h/x".to_owned(), owner: "vk".to_owned() },
        style: Style::OpenAi,
        trace: Some(Box::new(TraceContext {
            parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            state: String::new(),
        })),
        ..hook
    };
    let json = serde_json::to_string(&hook).unwrap();
    assert!(json.starts_with(r#"{"url":"https://h/x","owner":"vk","#), "{json}");
    assert!(json.contains(r#","style":"openai","trace":{"traceparent":"00-"#), "{json}");
    assert_eq!(serde_json::from_str::<Hook>(&json).unwrap(), hook);
}

#[test]
fn a_delivery_has_the_same_id_whenever_it_is_derived_and_its_jobs_shard() {
    let shard = Shard::new(777).unwrap();
    let (job, other_job) = (JobId::new(shard), JobId::new(shard));
    let endpoint = |name| Receiver::Endpoint { endpoint: EndpointId::of_file(name) };
    let url = |url: &str| Receiver::Url { url: url.to_owned(), owner: "vk".to_owned() };
    let id = delivery_id(job, &endpoint("a"));
    assert_eq!((id, id.shard()), (delivery_id(job, &endpoint("a")), shard));
    // One of what it follows from is another each time.
    let all = [
        id,
        job,
        delivery_id(job, &endpoint("b")),
        delivery_id(other_job, &endpoint("a")),
        delivery_id(job, &url("https://a/")),
        delivery_id(job, &url("https://b/")),
    ];
    assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
    let uuid: uuid::Uuid = id.to_string().parse().unwrap();
    assert_eq!((uuid.get_version_num(), uuid.get_variant()), (5, uuid::Variant::RFC4122));
    // What has been sent must be found again: this must never change.
    let job: JobId = "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70".parse().unwrap();
    assert_eq!(delivery_id(job, &endpoint("a")).to_string(), "5b869f98-5e84-5a2e-9107-cc6b50607b70");
    assert_eq!(delivery_id(job, &url("https://a/")).to_string(), "2f278b6f-779f-5956-a2c1-c5b195477770");
}

#[test]
fn a_row_says_what_became_of_an_attempt() {
    let job: JobId = "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70".parse().unwrap();
    let endpoint_id = EndpointId::of_file("a");
    let row = Row {
        id: "1-2".to_owned(),
        webhook_id: job,
        endpoint_id,
        async_job_id: job,
        request_id: "r".to_owned(),
        event: Event::Failed,
        attempt_no: 2,
        outcome: Outcome::RetryableFailure,
        status_code: 0,
        error: "no answer within 10 s".to_owned(),
        created_at: NOW,
        expires_at: NOW,
    };
    let json = format!(
        r#"{{"id":"1-2","webhook_id":"{job}","endpoint_id":"{endpoint_id}","async_job_id":"{job}","request_id":"r","event":"async_job.failed","attempt_no":2,"outcome":"retryable_failure","status_code":0,"error":"no answer within 10 s","created_at":"{NOW}","expires_at":"{NOW}"}}"#
    );
    assert_eq!(serde_json::to_string(&row).unwrap(), json);
    let good = Row { outcome: Outcome::Delivered, error: String::new(), ..row };
    assert!(!serde_json::to_string(&good).unwrap().contains("error"));
    for (outcome, word) in [
        (Outcome::Delivered, "delivered"),
        (Outcome::PermanentFailure, "permanent_failure"),
        (Outcome::Exhausted, "exhausted"),
    ] {
        assert_eq!(serde_json::to_value(outcome).unwrap(), word);
    }
}
