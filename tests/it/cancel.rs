//! Jobs that are cancelled: waiting, delayed and running ones, and those that have ended already.

use std::time::Duration;

use hermod_queue::{JobOptions, JobRequest, Queue, QueueSettings, Store, Submission};
use hermod_tests::{Answer, Api, Cluster, PATIENCE, eventually, lasts};
use hermod_types::webhook::{EndpointId, Hook, Receiver, Style};
use hermod_types::{Operation, Ttl};
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

use crate::operator::queue as operate;
use crate::uploads::recording;

/// So long that no renewal of it comes into a test.
pub(crate) const LONG_LEASE: u64 = 3600;

/// `POST {path}/cancel`
pub(crate) async fn cancel_at(api: &Api, path: &str) -> Answer {
    api.send(api.request(Method::POST, &format!("{path}/cancel"))).await
}

pub(crate) async fn cancel(api: &Api, id: &str) -> Answer {
    cancel_at(api, &format!("/v1/async/completions/{id}")).await
}

pub(crate) async fn delete(api: &Api, id: &str) -> Answer {
    api.send(api.request(Method::DELETE, &format!("/v1/async/completions/{id}"))).await
}

/// Asserts that a job has ended as cancelled; returns its journal, null for none.
pub(crate) fn journal_of_cancelled(job: &Value) -> Value {
    let error = &job["error"];
    assert_eq!((&job["status"], &job["status_code"]), (&json!("failed"), &json!(499)), "{job}");
    assert_eq!((&error["status_code"], &error["is_bifrost_error"]), (&json!(499), &json!(false)), "{job}");
    assert_eq!(error["error"]["type"], "request_cancelled");
    assert_eq!(error["error"]["code"], "job_cancelled");
    assert_eq!(job["cancelled_at"], job["completed_at"]);
    assert!(job["cancel_requested_at"].as_str() <= job["cancelled_at"].as_str(), "{job}");
    assert!(job["expires_at"].is_string() && job.get("result").is_none());
    error["extra_fields"]["attempts"].clone()
}

/// Asserts that it was cancelled at once.
fn cancelled_at_once(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    journal_of_cancelled(&answer.json())
}

/// Asserts that it runs, and is about to be cancelled.
pub(crate) fn is_requested(answer: &Answer) {
    let job = answer.json();
    assert_eq!((answer.status, &job["status"]), (202, &json!("processing")), "{answer:?}");
    assert!(job["cancel_requested_at"].is_string() && job.get("cancelled_at").is_none(), "{job}");
    assert!(!answer.header("retry-after").is_empty(), "it is the answer to a poll");
}

/// The value of a metric of the API, all labels summed.
pub(crate) async fn api_metric(api: &Api, name: &str) -> f64 {
    let text = api.get("/metrics").await.text;
    let values =
        text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

fn keys(cluster: &Cluster, pattern: &str) -> Vec<String> {
    cluster.connect().keys(pattern).unwrap()
}

#[tokio::test]
async fn a_job_that_waits_ends_at_once_and_never_runs() {
    let mut cluster =
        Cluster::builder().workers(0).set("HERMOD_QUEUE_LIMIT_BYTES", 100_000_000).start().await;
    let api = cluster.api.clone();
    let small = api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    let large = api.submit(json!({"model": "demo/echo", "prompt": "x".repeat(600_000)})).await;
    let form = api.form_to(Operation::Transcription, recording("demo/echo", 600_000));
    let media = api.accepted(form).await;
    assert_eq!((keys(&cluster, "*:body:*").len(), keys(&cluster, "*:media:*").len()), (1, 1));

    let answer = cancel(&api, &small).await;
    assert_eq!(cancelled_at_once(&answer), Value::Null, "nothing was tried");
    assert_eq!(answer.json()["error"]["extra_fields"], json!({"request_type": "text_completion"}));
    assert_eq!(api.poll(&small).await.text, answer.text, "it is what a poll tells");
    assert_eq!(
        cancel(&api, &small).await.text,
        answer.text,
        "the second cancel gets the answer of the first"
    );
    // DELETE cancels, too, and keeps what it has cancelled.
    cancelled_at_once(&delete(&api, &large).await);
    let answer = cancel_at(&api, &media).await;
    cancelled_at_once(&answer);
    assert_eq!(answer.json()["error"]["extra_fields"]["request_type"], "transcription");

    assert!(keys(&cluster, "*:body:*").is_empty() && keys(&cluster, "*:media:*").is_empty());
    let bytes: Option<u64> = cluster.connect().get("{hermod:0}:bytes").unwrap();
    assert_eq!(bytes.unwrap_or_default(), 0, "they count no longer");
    assert_eq!(api_metric(&api, "hermod_jobs_cancelled_total").await, 3.0);
    cluster.add_worker().await;
    assert_eq!(cluster.run(json!({"model": "demo/bytes-1", "prompt": "x"})).await["status"], "completed");
    assert_eq!(cluster.calls().len(), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_can_be_cancelled_wherever_it_waits() {
    let mut cluster = Cluster::builder().task("hang").set("HERMOD_GRACE_SECONDS", 0).start().await;
    let api = cluster.api.clone();
    let mut redis = cluster.connect();
    // Released by a worker that has stopped: its entry is pending, and nobody's.
    let released = api.submit(json!({"model": "switch/task", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    let mut worker = cluster.take_worker(0);
    worker.signal(hermod_tests::Signal::TERM);
    hermod_tests::exit_of(&mut worker).await;
    assert_eq!(api.poll(&released).await.json()["status"], "pending");
    cancelled_at_once(&cancel(&api, &released).await);
    assert_eq!(redis.xlen::<_, u64>("{hermod:0}:queue").unwrap(), 0);

    // Behind a pause.
    assert_eq!(operate(&cluster, &["pause"]).await.0, Some(0));
    cluster.add_worker().await;
    let paused = api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    cancelled_at_once(&cancel(&api, &paused).await);
    assert_eq!(redis.xlen::<_, u64>("{hermod:0}:queue").unwrap(), 0);
    // Of an earlier version, whose records do not name the entry: whoever claims that removes it.
    let old = api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    let _: u64 = redis.hdel(format!("{{hermod:0}}:job:{old}"), "entry").unwrap();
    cancelled_at_once(&cancel(&api, &old).await);
    assert_eq!(redis.xlen::<_, u64>("{hermod:0}:queue").unwrap(), 1);
    // Of somebody else's making.
    for (field, value) in [
        ("request", "no header"),
        ("request", "{\"targets\":[\"demo/echo\"],\"ttl\":-1.5e300,\"bytes\":1.5}\n{}"),
        ("entry", "no entry"),
        ("progress", "{\"attempts\":7}"),
        ("hook", "no-hook"),
    ] {
        let damaged = api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
        let _: u64 = redis.hset(format!("{{hermod:0}}:job:{damaged}"), field, value).unwrap();
        cancelled_at_once(&cancel(&api, &damaged).await);
        assert_eq!(api.poll(&damaged).await.status, 200, "{field}: {value}");
    }
    assert_eq!(operate(&cluster, &["resume"]).await.0, Some(0));
    assert_eq!(cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await["status"], "completed");
    assert_eq!(cluster.calls_of("echo"), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_a_delayed_job_has_tried_stays_in_its_journal() {
    let cluster = Cluster::builder().config(json!({"providers": {"patient": {
        "network_config": {"max_retries": 1},
        "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
    }}}));
    let cluster = cluster.start().await;
    let id = cluster.api.submit(json!({"model": "patient/retry-after-7", "prompt": "x"})).await;
    let mut redis = cluster.connect();
    eventually("it is delayed", PATIENCE, async || {
        (redis.zcard::<_, u64>("{hermod:0}:delayed").unwrap() == 1).then_some(())
    })
    .await;
    let answer = cancel(&cluster.api, &id).await;
    let journal = cancelled_at_once(&answer);
    assert_eq!(journal.as_array().map(Vec::len), Some(1), "{journal}");
    assert_eq!(
        (&journal[0]["target"], &journal[0]["status"]),
        (&json!("patient/retry-after-7"), &json!(503))
    );
    assert!(journal[0]["started_at"].is_string() && journal[0]["duration_ms"].is_u64(), "{journal}");
    assert!(answer.text.contains("\"patient/retry-after-7\""), "as a worker writes it: {}", answer.text);
    assert_eq!(answer.json()["error"]["extra_fields"]["request_type"], "text_completion");
    cluster.assert_drained().await;
    assert_eq!(cluster.calls().len(), 1);
}

#[tokio::test]
async fn a_job_that_has_ended_can_only_be_removed() {
    let mut cluster = Cluster::start().await;
    let api = cluster.api.clone();
    let small = cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    let large = cluster.run(json!({"model": "demo/bytes-600000", "prompt": "x"})).await;
    drop(cluster.take_worker(0));
    // Given up on, so that there are a dead letter, its body and its media.
    let given_up = api.submit(json!({"model": "demo/echo", "prompt": "x".repeat(600_000)})).await;
    let form = api.form_to(Operation::Transcription, recording("demo/echo", 600_000));
    let with_media = api.accepted(form).await;
    lasts(Duration::from_secs(3)).await;
    cluster.set("HERMOD_MAX_WAIT_SECONDS", "2");
    cluster.add_worker().await;
    cluster.ended(&given_up).await;
    api.ended_at(&with_media).await;
    assert_eq!(keys(&cluster, "*:letter:*").len(), 2);
    assert_eq!(keys(&cluster, "*:outcome:*").len(), 1);

    for job in [&small, &large] {
        let id = job["id"].as_str().unwrap();
        let refused = cancel(&api, id).await;
        assert_eq!(refused.error(409), "job has already ended");
        assert_eq!(refused.json()["error"]["code"], "job_ended");
        assert_eq!(refused.header("x-should-retry"), "false");
        assert_eq!(&api.poll(id).await.json(), job, "it stays as it is");
    }
    let paths = [&small, &large].map(|job| format!("/v1/async/completions/{}", job["id"].as_str().unwrap()));
    let paths = paths.into_iter().chain([format!("/v1/async/completions/{given_up}"), with_media]);
    for path in paths {
        let delete = async || api.send(api.request(Method::DELETE, &path)).await;
        let gone = delete().await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""), "{gone:?}");
        api.get(&path).await.error(404);
        delete().await.error(404);
        cancel_at(&api, &path).await.error(404);
    }
    let left: Vec<String> = keys(&cluster, "*")
        .into_iter()
        .filter(|key| {
            let parts = ["job", "outcome", "letter", "body", "media", "dead", "dead_bytes", "list"];
            parts.iter().any(|part| key.split(':').any(|named| named == *part))
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(operate(&cluster, &["dead", "list"]).await.1, "no dead letters\n");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_is_cancelled_by_whoever_may_see_it() {
    let key = |id: &str| {
        json!({"id": id, "name": id, "value": format!("sk-bf-{id}"),
               "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]})
    };
    let config = json!({"governance": {"virtual_keys": [key("one"), key("two")]}});
    let cluster = Cluster::builder().workers(0).config(config).start().await;
    let api = &cluster.api;
    let submission = api.submission(r#"{"model":"demo/echo","prompt":"x"}"#).header("x-bf-vk", "sk-bf-one");
    let path = api.accepted(submission).await;
    let id = path.rsplit('/').next().unwrap();
    let elsewhere = format!("/v1/async/chat/completions/{id}");
    let unknown = "/v1/async/completions/01890a5d-ac96-774b-bcce-b302099a8057";
    let requests = |path: &str| {
        [api.request(Method::POST, &format!("{path}/cancel")), api.request(Method::DELETE, path)]
    };
    let (mut messages, owners) = (Vec::new(), Some("sk-bf-one"));
    for (path, key) in [
        (path.as_str(), None),
        (&path, Some("sk-bf-two")),
        (&path, Some("sk-bf-none")),
        (&elsewhere, owners),
        (unknown, owners),
        ("/v1/async/completions/x", owners),
    ] {
        for request in requests(path) {
            let request = key.into_iter().fold(request, |request, key| request.header("x-bf-vk", key));
            messages.push(api.send(request).await.error(404));
        }
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "nobody learns more: {messages:?}");
    let seen = api.send(api.request(Method::GET, &path).header("x-bf-vk", "sk-bf-one")).await;
    assert_eq!((seen.status, seen.json().get("cancel_requested_at")), (202, None), "it still waits");
    let [cancel, delete] = requests(&path).map(|request| request.header("x-bf-vk", "sk-bf-one"));
    cancelled_at_once(&api.send(cancel.body("{}")).await);
    let listed: Vec<String> = cluster.connect().zrange("{hermod:0}:list:one", 0, -1).unwrap();
    assert_eq!(listed, [id]);
    assert_eq!(api.send(delete).await.status, 204);
    assert!(keys(&cluster, "*:list:one").is_empty());
}

#[tokio::test]
async fn every_endpoint_takes_a_cancel_and_no_other_method() {
    let cluster = Cluster::builder().workers(0).start().await;
    let api = &cluster.api;
    for operation in Operation::all().filter(|operation| operation.is_public()) {
        let job = format!("/v1/async/{}/01890a5d-ac96-774b-bcce-b302099a8057", operation.path());
        let cancel = format!("{job}/cancel");
        cancel_at(api, &job).await.error(404);
        for (path, allow, refused) in [
            (&cancel, "POST", [Method::GET, Method::HEAD, Method::DELETE, Method::PUT]),
            (&job, "GET, HEAD, DELETE", [Method::POST, Method::PUT, Method::PATCH, Method::OPTIONS]),
        ] {
            for method in refused {
                let answer = api.send(api.request(method.clone(), path)).await;
                assert_eq!((answer.status, answer.header("allow")), (405, allow), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn the_webhook_of_a_cancelled_job_is_told_so() {
    let cluster = Cluster::builder().workers(0).start().await;
    let store = Store::new(&cluster.redis_url().parse().unwrap()).unwrap();
    let tasks = tokio_util::task::TaskTracker::new();
    let queue = Queue::spawn(&store, &QueueSettings::default(), &tasks);
    let request = JobRequest {
        operation: Operation::TextCompletion,
        targets: vec!["demo/echo".parse().unwrap()],
        body: "{}".to_owned(),
        media_bytes: 0,
        ttl: Ttl::from_seconds(60).unwrap(),
        owner: None,
        trace: None,
    };
    let hook = Hook {
        receiver: Receiver::Endpoint { endpoint: EndpointId::of_file("here") },
        request_id: "a request 100% \\ / \"".to_owned(),
        operation: Operation::TextCompletion,
        model: "demo/echo".to_owned(),
        style: Style::Bifrost,
        trace: None,
    };
    let options = JobOptions { hook: Some(hook.clone()), ..JobOptions::default() };
    let Submission::Accepted(id) = queue.submit(request, options).await.unwrap() else { unreachable!() };
    let job = cancel(&cluster.api, &id.to_string()).await;
    cancelled_at_once(&job);
    let deliveries = keys(&cluster, "{hermod:0}:hooks:job:*");
    assert_eq!(deliveries.len(), 1);
    let told: String = cluster.connect().hget(&deliveries[0], "request").unwrap();
    let (line, said) = told.split_once('\n').unwrap();
    let words: Vec<_> = line.split(' ').collect();
    assert_eq!((words[0], words[1], words[4]), (id.to_string().as_str(), "499", "1"), "{line}");
    let kept: u64 = words[3].parse::<u64>().unwrap() - words[2].parse::<u64>().unwrap();
    assert_eq!(kept, 60_000, "{line}");
    assert_eq!(serde_json::from_str::<Hook>(said).unwrap(), hook);
    assert_eq!(cluster.connect().xlen::<_, u64>("{hermod:0}:hooks:queue").unwrap(), 1);
}
