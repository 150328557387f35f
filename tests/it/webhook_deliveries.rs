//! Receivers are told of the ends of jobs, signed as Standard Webhooks says, and again until they have heard.

use std::time::Duration;

use hermod_queue::webhooks::Webhooks;
use hermod_tests::{Cluster, PATIENCE, Reaction, Receiver, eventually, lasts};
use hermod_types::webhook::{DisabledReason, EndpointId, Event, Outcome, Receiver as Told, delivery_id};
use serde_json::json;

use crate::told::{outcomes, rows, store, submission, submit, telling};

#[tokio::test]
async fn the_end_of_a_job_is_told() {
    let receiver = Receiver::start();
    let endpoint = receiver.endpoint("ci", json!({"headers": {"x-team": "blue"}}));
    let cluster = telling(&[endpoint]).start().await;
    let accepted = cluster.api.send(submission(&cluster, "ci", "demo/echo")).await.json();
    let (job, request) = (accepted["id"].as_str().unwrap(), accepted["request_id"].as_str().unwrap());
    let ended = cluster.ended(job).await;
    let told = receiver.receives(1).await.remove(0);
    assert_eq!(outcomes(&cluster, "ci", 1).await, [Outcome::Delivered]);

    let to = Told::Endpoint { endpoint: EndpointId::of_file("ci") };
    assert_eq!(told.id, delivery_id(job.parse().unwrap(), &to).to_string());
    assert_eq!(told.header("content-type"), "application/json");
    assert_eq!(told.header("x-bifrost-event"), "async_job.completed");
    assert_eq!(told.header("x-team"), "blue");
    assert!(told.header("user-agent").starts_with("Hermod/"), "{told:?}");
    let data = &told.body["data"];
    assert_eq!(told.body["event"], "async_job.completed");
    assert_eq!((&told.body["type"], &told.body["timestamp"]), (&told.body["event"], &ended["completed_at"]));
    assert_eq!(
        (&data["job_id"], &data["status"], &data["status_code"]),
        (&json!(job), &json!("completed"), &json!(200))
    );
    for (member, of_job) in
        [("created_at", "created_at"), ("completed_at", "completed_at"), ("result_expires_at", "expires_at")]
    {
        assert_eq!(data[member], ended[of_job], "{member}");
    }
    assert_eq!(data["result_url"], format!("/v1/async/completions/{job}"));
    assert_eq!((&data["model"], &data["request_id"]), (&json!("demo/echo"), &json!(request)));
    assert!(data["response"].is_null() && data["response_omitted"].is_null(), "it was not asked for");

    let row = rows(&cluster, "ci").await.remove(0);
    assert_eq!((row.webhook_id.to_string(), row.async_job_id.to_string()), (told.id, job.to_owned()));
    assert_eq!((row.attempt_no, row.status_code, row.event), (1, 204, Event::Completed));
    assert_eq!((row.request_id.as_str(), row.error.as_str()), (request, ""));
    let metric = cluster.worker_metric(0, "hermod_deliveries_total").await;
    assert!(metric >= 1.0, "{metric}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn whoever_takes_only_completions_hears_of_no_failure() {
    let (all, completions) = (Receiver::start(), Receiver::start());
    let endpoints = [
        all.endpoint("all", json!({"include_response": true})),
        completions.endpoint("completions", json!({"events": ["async_job.completed"]})),
    ];
    let cluster = telling(&endpoints).start().await;
    for endpoint in ["completions", "all"] {
        submit(&cluster, endpoint, "demo/fail-503").await;
    }
    let told = all.receives(1).await.remove(0);
    assert_eq!(told.header("x-bifrost-event"), "async_job.failed");
    assert_eq!(told.body["data"]["status"], "failed");
    assert_eq!(told.body["data"]["status_code"], 503);
    assert_eq!(told.body["data"]["error"]["status_code"], 503, "{}", told.body);
    submit(&cluster, "completions", "demo/echo").await;
    completions.receives(1).await;
    assert_eq!(outcomes(&cluster, "completions", 1).await, [Outcome::Delivered]);
    cluster.assert_drained().await;
    assert_eq!(completions.received().len(), 1);
}

#[tokio::test]
async fn what_fails_is_tried_again_with_the_same_id_and_a_fresh_signature() {
    let receiver = Receiver::start();
    let endpoint = receiver.endpoint("ci", json!({"retry_backoff_initial_seconds": 1}));
    receiver.reacts_first([Reaction::Answer(503), Reaction::Close, Reaction::Answer(425)]);
    let cluster = telling(&[endpoint]).start().await;
    submit(&cluster, "ci", "demo/echo").await;
    let failed = Outcome::RetryableFailure;
    let expected = [failed, failed, failed, Outcome::Delivered];
    assert_eq!(outcomes(&cluster, "ci", 4).await, expected);
    let told = receiver.received();
    assert_eq!(told.len(), 4);
    for two in told.windows(2) {
        assert_eq!(two[0].id, two[1].id);
        assert!(two[0].timestamp() < two[1].timestamp());
        assert_ne!(two[0].header("webhook-signature"), two[1].header("webhook-signature"));
        assert_eq!(two[0].body["timestamp"], two[1].body["timestamp"], "that is the job's end");
    }
    let rows = rows(&cluster, "ci").await;
    let numbers: Vec<_> = rows.iter().map(|row| (row.attempt_no, row.status_code)).collect();
    assert_eq!(numbers, [(1, 503), (2, 0), (3, 425), (4, 204)]);
    assert_eq!(rows[0].error, "receiver responded 503: this is the answer 503");
    let said = cluster.logs.with_message("not delivered; it is tried again");
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(!format!("{said:?}").contains("this is the answer"), "what receivers say is not for the log");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn attempts_end_with_their_number() {
    let receiver = Receiver::start();
    let more = json!({"max_retries": 1, "retry_backoff_initial_seconds": 1});
    receiver.reacts(Reaction::Answer(500));
    let cluster = telling(&[receiver.endpoint("ci", more)]).start().await;
    submit(&cluster, "ci", "demo/echo").await;
    let expected = [Outcome::RetryableFailure, Outcome::Exhausted];
    assert_eq!(outcomes(&cluster, "ci", 2).await, expected);
    cluster.assert_drained().await;
    assert_eq!(receiver.received().len(), 2);
    let said = cluster.logs.with_message("not delivered; all attempts have failed");
    assert_eq!((said.len(), &said[0]["level"]), (1, &json!("WARN")));
}

#[tokio::test]
async fn an_answer_that_is_final_is_asked_for_once() {
    let receiver = Receiver::start();
    let cluster = telling(&[receiver.endpoint("ci", json!({}))]).start().await;
    let elsewhere = Receiver::start();
    receiver.reacts_first([
        Reaction::Answer(404),
        Reaction::AnswerWith(307, "location", elsewhere.url.clone()),
        Reaction::Answer(400),
    ]);
    for _ in 0..3 {
        submit(&cluster, "ci", "demo/echo").await;
    }
    assert_eq!(outcomes(&cluster, "ci", 3).await, [Outcome::PermanentFailure; 3]);
    cluster.assert_drained().await;
    assert_eq!((receiver.received().len(), elsewhere.received().len()), (3, 0));
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_disabled() {
    let receiver = Receiver::start();
    let cluster = telling(&[receiver.endpoint("ci", json!({}))]).start().await;
    receiver.reacts(Reaction::Answer(410));
    let later = submit(&cluster, "ci", "demo/slow-2s").await;
    submit(&cluster, "ci", "demo/echo").await;
    assert_eq!(outcomes(&cluster, "ci", 1).await, [Outcome::PermanentFailure]);
    let state = Webhooks::new(&store(&cluster)).find(EndpointId::of_file("ci")).await.unwrap().state;
    assert_eq!(state.disabled_reason, Some(DisabledReason::Gone));
    assert_eq!(cluster.worker_metric(0, "hermod_webhook_endpoints_disabled_total").await, 1.0);
    cluster.ended(&later).await;
    assert_eq!(outcomes(&cluster, "ci", 2).await, [Outcome::PermanentFailure; 2]);
    let last = rows(&cluster, "ci").await.remove(1);
    assert_eq!((last.error.as_str(), last.status_code), ("the endpoint is disabled", 0));
    cluster.assert_drained().await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    let receiver = Receiver::start();
    let endpoint = receiver.endpoint("ci", json!({"retry_backoff_initial_seconds": 1}));
    receiver.reacts_first([Reaction::AnswerWith(429, "retry-after", "4".to_owned())]);
    let cluster = telling(&[endpoint]).start().await;
    submit(&cluster, "ci", "demo/echo").await;
    let told = receiver.receives(2).await;
    assert!(told[1].at - told[0].at >= Duration::from_secs(4), "{:?}", told[1].at - told[0].at);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_attempt_ends_with_its_time() {
    let receiver = Receiver::start();
    let more = json!({"attempt_timeout_seconds": 1, "max_retries": 1, "retry_backoff_initial_seconds": 1});
    receiver.reacts_first([Reaction::Hang, Reaction::Drip]);
    let cluster = telling(&[receiver.endpoint("ci", more)]).start().await;
    submit(&cluster, "ci", "demo/echo").await;
    let expected = [Outcome::RetryableFailure, Outcome::Exhausted];
    assert_eq!(outcomes(&cluster, "ci", 2).await, expected);
    let codes: Vec<_> = rows(&cluster, "ci").await.iter().map(|row| row.status_code).collect();
    assert_eq!(codes, [0, 500], "a status counts, however slow the body is");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_result_goes_along_as_far_as_it_is_wanted() {
    let receiver = Receiver::start();
    let wants = |name: &str, kbs: u64| {
        receiver.endpoint(name, json!({"include_response": true, "max_response_payload_kbs": kbs}))
    };
    let cluster = telling(&[wants("small", 1), wants("large", 512)]).start().await;
    // Beyond 16 KiB a result is kept apart from its record, in pieces of 256 KiB.
    for (endpoint, model, goes_along) in [
        ("small", "demo/bytes-100", true),
        ("small", "demo/bytes-1024", false),
        ("large", "demo/bytes-20000", true),
        ("large", "demo/bytes-400000", true),
        ("large", "demo/bytes-600000", false),
    ] {
        let before = receiver.received().len();
        let job = submit(&cluster, endpoint, model).await;
        let result = cluster.ended(&job).await["result"].clone();
        let told = receiver.receives(before + 1).await.remove(before);
        let data = &told.body["data"];
        assert_eq!(data["response"] == result, goes_along, "{model}");
        assert_eq!(data["response_omitted"] == true, !goes_along, "{model}");
        assert_eq!(data["response"].is_null(), !goes_along, "{model}");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_whose_record_is_gone_is_told_all_the_same() {
    let receiver = Receiver::start();
    let more = json!({"include_response": true, "retry_backoff_initial_seconds": 4});
    receiver.reacts_first([Reaction::Answer(503)]);
    let cluster = telling(&[receiver.endpoint("ci", more)]).start().await;
    let short = submission(&cluster, "ci", "demo/echo").header("x-bf-async-job-result-ttl", 1);
    let job = cluster.api.send(short).await.json()["id"].clone();
    let told = receiver.receives(2).await;
    assert!(told[0].body["data"]["response"].is_object(), "{}", told[0].body);
    let rest = json!({"job_id": job, "status": "completed", "result_expired": true});
    assert_eq!((&told[1].body["data"], &told[1].id), (&rest, &told[0].id));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_was_delivered_can_be_delivered_again() {
    let receiver = Receiver::start();
    let cluster = telling(&[receiver.endpoint("ci", json!({}))]).start().await;
    receiver.reacts_first([Reaction::Answer(404), Reaction::AnswerAfter(Duration::from_secs(2))]);
    submit(&cluster, "ci", "demo/echo").await;
    outcomes(&cluster, "ci", 1).await;
    let store = store(&cluster);
    let row = rows(&cluster, "ci").await.remove(0);
    let retention = Duration::from_secs(3600);
    let id = row.id.parse().unwrap();
    let stored = Webhooks::new(&store).row(&id, retention).await.unwrap().unwrap();
    let delivery = hermod_queue::Delivery::parse(&stored.request).unwrap();
    // Its end is written after its row.
    let queued = eventually("it is queued", PATIENCE, async || {
        delivery.queue(row.webhook_id, &store).await.unwrap().then_some(())
    });
    queued.await;
    receiver.receives(2).await;
    assert!(!delivery.queue(row.webhook_id, &store).await.unwrap(), "it is under way");
    assert_eq!(outcomes(&cluster, "ci", 2).await, [Outcome::PermanentFailure, Outcome::Delivered]);
    let told = receiver.received();
    assert_eq!(told[0].id, told[1].id);
    assert_eq!(rows(&cluster, "ci").await[1].attempt_no, 1, "attempts are counted anew");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_address_that_a_submit_names_is_told() {
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let receiver = Receiver::with_secret(secret);
    let origin = receiver.url.trim_end_matches("/hook").to_owned();
    let cluster = Cluster::builder().config(json!({
        "client": {"allow_webhook_urls": [origin]},
        "governance": {"virtual_keys": [{
            "id": "vk-1",
            "name": "one",
            "value": "sk-bf-one",
            "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}],
        }]},
        "hermod": {"keys": {"vk-1": {"webhook_secret": secret}}},
    }));
    let cluster = cluster.start().await;
    let body = json!({"model": "demo/echo", "prompt": "x"}).to_string();
    let submission = cluster.api.submission(body).header("x-bf-vk", "sk-bf-one");
    let submission = submission.header("x-hermod-webhook-url", format!("{origin}/jobs/7"));
    let job = cluster.api.send(submission).await.json()["id"].clone();
    let told = receiver.receives(1).await.remove(0);
    assert_eq!((told.path.as_str(), &told.body["data"]["job_id"]), ("/jobs/7", &job));
    assert!(told.body["data"]["response"].is_null(), "its result is the key's own");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_that_does_not_know_an_endpoint_leaves_it_to_others() {
    let receiver = Receiver::start();
    let mut cluster = telling(&[receiver.endpoint("ci", json!({}))]).workers(0).start().await;
    let known = std::fs::read_to_string(cluster.config_path()).unwrap();
    let mut unknown: serde_json::Value = serde_json::from_str(&known).unwrap();
    unknown["webhooks"] = json!([]);
    std::fs::write(cluster.config_path(), unknown.to_string()).unwrap();
    cluster.add_worker().await;
    let job = submit(&cluster, "ci", "demo/echo").await;
    cluster.ended(&job).await;
    cluster.log_of_worker(0).line("not to be delivered from here; it waits").await;
    // The operator replaces the worker.
    std::fs::write(cluster.config_path(), known).unwrap();
    cluster.add_worker().await;
    drop(cluster.take_worker(0));
    receiver.receives(1).await;
    assert_eq!(outcomes(&cluster, "ci", 1).await, [Outcome::Delivered]);
    assert_eq!(rows(&cluster, "ci").await[0].attempt_no, 1, "what was looked for is no attempt");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_without_places_delivers_nothing() {
    let receiver = Receiver::start();
    let endpoint = receiver.endpoint("ci", json!({}));
    let mut cluster = telling(&[endpoint]).set("HERMOD_DELIVERY_CONCURRENCY", 0).start().await;
    let job = submit(&cluster, "ci", "demo/echo").await;
    cluster.ended(&job).await;
    eventually("it waits", PATIENCE, async || {
        let metrics = cluster.api.get("/metrics").await.text;
        metrics.contains("hermod_deliveries_waiting 1\n").then_some(())
    })
    .await;
    lasts(Duration::from_secs(2)).await;
    assert_eq!(receiver.received().len(), 0);
    cluster.set("HERMOD_DELIVERY_CONCURRENCY", "1");
    cluster.add_worker().await;
    receiver.receives(1).await;
    cluster.assert_drained().await;
}
