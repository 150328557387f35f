//! What is tried for a job, in which order, and what its journal says of it.

use std::time::Duration;

use hermod_tests::{Cluster, eventually};
use redis::Commands;
use serde_json::{Value, json};

/// The provider `demo` with the keys `first`, which takes all calls while it may, and `second`.
fn keyed() -> Value {
    json!({"providers": {"demo": {
        "keys": [{"name": "one", "value": "first", "weight": 1e9}, {"name": "two", "value": "second", "weight": 1e-9}],
        "network_config": {"max_retries": 2, "retry_backoff_initial": 20, "retry_backoff_max": 50,
                           "default_request_timeout_in_seconds": 1},
        "custom_provider_config": {"base_provider_type": "openai"},
    }}})
}

/// `[target, key, status, error type or why it was skipped]` of each attempt.
fn tried(job: &Value) -> Value {
    let outcome = job.get("result").or(job.get("error")).unwrap();
    let attempts = outcome["extra_fields"]["attempts"].as_array().unwrap();
    let row = |attempt: &Value| {
        let error = attempt.get("skipped").unwrap_or(&attempt["error_type"]);
        json!([attempt["target"], attempt["key"], attempt["status"], error])
    };
    attempts.iter().map(row).collect()
}

#[tokio::test]
async fn a_key_that_is_refused_is_not_used_for_the_job_again() {
    let cluster = Cluster::builder().config(keyed()).start().await;
    let job = cluster.run(json!({"model": "demo/refuses-first", "prompt": "x"})).await;
    assert_eq!(job["status"], "completed");
    assert_eq!(
        tried(&job),
        json!([["demo/refuses-first", "one", 401, "demo_error"], ["demo/refuses-first", "two", 200, null]])
    );
}

#[tokio::test]
async fn a_provider_that_refuses_all_keys_is_passed_over() {
    let cluster = Cluster::builder().config(keyed()).start().await;
    let job = cluster.run(json!({"model": "demo/fail-403", "prompt": "x"})).await;
    assert_eq!(job["status_code"], 502, "{job}");
    assert_eq!(job["error"]["error"]["code"], "upstream_credentials_exhausted");
    let message = job["error"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("403: the model fail-403 fails"), "{message}");
    assert_eq!(cluster.calls().len(), 2, "each key once, and no retries");
    // A 403 may be about the one model, a 401 is about the key.
    let job = cluster.run(json!({"model": "demo/fail-403", "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    assert_eq!(job["result"]["extra_fields"]["fallback_index"], 1, "{job}");
    let job = cluster.run(json!({"model": "demo/fail-401", "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    assert_eq!(job["status_code"], 502, "{job}");
    assert_eq!(cluster.calls_of("echo"), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_key_whose_pace_is_too_high_makes_way_for_another_and_rests() {
    let cluster = Cluster::builder().config(keyed()).start().await;
    let model = "demo/limits-first";
    let job = cluster.run(json!({"model": model, "prompt": "x"})).await;
    assert_eq!(tried(&job), json!([[model, "one", 429, "demo_error"], [model, "two", 200, null]]));
    // The next job does not even ask the first key, which is to rest for 30 s.
    let job = cluster.run(json!({"model": model, "prompt": "x"})).await;
    assert_eq!(tried(&job), json!([[model, "one", null, "cooldown"], [model, "two", 200, null]]));
    // Another model is another matter.
    let job = cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    assert_eq!(tried(&job), json!([["demo/echo", "one", 200, null]]));
}

#[tokio::test]
async fn what_one_worker_has_found_out_the_others_know() {
    let mut cluster = Cluster::builder().config(keyed()).start().await;
    let request = json!({"model": "demo/retry-after-30", "prompt": "x", "fallbacks": ["demo/echo"]});
    cluster.run(request.clone()).await;
    assert_eq!(cluster.calls_of("retry-after-30"), 1);
    drop(cluster.take_worker(0));
    cluster.add_worker().await;
    eventually("the new worker has learnt of it", Duration::from_secs(10), async || {
        (cluster.worker_metric(0, "hermod_cooldowns").await >= 1.0).then_some(())
    })
    .await;
    // Its very first job does not ask with the key that rests: what it knows, it has from the other.
    let job = cluster.run(request).await;
    assert_eq!(
        tried(&job),
        json!([
            ["demo/retry-after-30", "one", null, "cooldown"],
            ["demo/retry-after-30", "two", 503, "demo_error"],
            ["demo/echo", "one", 200, null]
        ])
    );
}

#[tokio::test]
async fn each_key_that_has_rested_is_probed_whatever_its_weight() {
    let cluster = Cluster::builder().config(keyed()).start().await;
    let request = json!({"model": "demo/retry-after-11", "prompt": "x", "fallbacks": ["demo/echo"]});
    let calls_with = |key: &str| {
        let header = ("authorization".to_owned(), format!("Bearer {key}"));
        let calls = cluster.calls().into_iter();
        calls.filter(|call| call.model == "retry-after-11" && call.headers.contains(&header)).count()
    };
    for _ in 0..2 {
        cluster.run(request.clone()).await;
    }
    assert_eq!((calls_with("first"), calls_with("second")), (1, 1), "both rest for 11 s");
    eventually("the second key is probed, too", Duration::from_secs(20), async || {
        cluster.run(request.clone()).await;
        (calls_with("second") > 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_target_that_fails_again_and_again_rests_until_a_probe_succeeds() {
    let mut settings = keyed();
    settings["providers"]["demo"]["network_config"]["max_retries"] = json!(0);
    settings["providers"]["demo"]["keys"].as_array_mut().unwrap().pop();
    let cluster = Cluster::builder().config(settings).start().await;
    let request = json!({"model": "demo/fail-500", "prompt": "x", "fallbacks": ["demo/echo"]});
    for _ in 0..8 {
        cluster.run(request.clone()).await;
    }
    assert_eq!(cluster.calls_of("fail-500"), 5, "then it rests");
    // With nothing else to try, it is tried all the same; and so it is when all else fails.
    let job = cluster.run(json!({"model": "demo/fail-500", "prompt": "x"})).await;
    assert_eq!(tried(&job), json!([["demo/fail-500", "one", 500, "demo_error"]]));
    let job =
        cluster.run(json!({"model": "demo/fail-500", "prompt": "x", "fallbacks": ["demo/fail-404"]})).await;
    assert_eq!(job["status_code"], 500, "the primary's error: {job}");
    assert_eq!(
        tried(&job),
        json!([
            ["demo/fail-500", "one", null, "cooldown"],
            ["demo/fail-404", "one", 404, "demo_error"],
            ["demo/fail-500", "one", 500, "demo_error"]
        ])
    );
    // Ten seconds later, one call at a time asks again.
    let before = cluster.calls_of("fail-500");
    eventually("a probe was made", Duration::from_secs(20), async || {
        cluster.run(request.clone()).await;
        (cluster.calls_of("fail-500") > before).then_some(())
    })
    .await;
    for _ in 0..3 {
        cluster.run(request.clone()).await;
    }
    assert_eq!(cluster.calls_of("fail-500"), before + 1, "the probe has failed: it rests for longer");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_long_wait_gives_the_slot_to_another_job_and_survives_its_worker() {
    let mut settings = keyed();
    settings["providers"]["demo"]["keys"].as_array_mut().unwrap().pop();
    let mut cluster = Cluster::builder().config(settings).set("HERMOD_CONCURRENCY", 1).start().await;
    let delayed = cluster.api.submit(json!({"model": "demo/retry-after-7", "prompt": "x"})).await;
    eventually("it sleeps", Duration::from_secs(5), async || {
        let sleeping: u64 = cluster.connect().zcard("{hermod:0}:delayed").unwrap();
        (sleeping == 1).then_some(())
    })
    .await;
    assert_eq!(cluster.api.poll(&delayed).await.json()["status"], "pending");
    cluster.run(json!({"model": "demo/echo", "prompt": "the one slot is free"})).await;
    // Whoever wakes it goes on where it was: two retries in all, and no attempt of the job is used up.
    drop(cluster.take_worker(0));
    cluster.add_worker().await;
    let job = cluster.api.ended(&delayed, Duration::from_secs(40)).await;
    assert_eq!(job["status_code"], 503, "{job}");
    let one = json!(["demo/retry-after-7", "one", 503, "demo_error"]);
    assert_eq!(tried(&job), json!([one, one, one]));
    assert_eq!(cluster.calls_of("retry-after-7"), 3);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_hung_primary_leaves_time_for_its_fallback() {
    let mut settings = keyed();
    settings["providers"]["demo"]["network_config"]["default_request_timeout_in_seconds"] = json!(600);
    let cluster = Cluster::builder().config(settings).set("HERMOD_MAX_RUN_SECONDS", 4).start().await;
    let job = cluster.run(json!({"model": "demo/hang", "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(
        tried(&job),
        json!([["demo/hang", "one", null, "upstream_timeout"], ["demo/echo", "one", 200, null]])
    );
    let first = &job["result"]["extra_fields"]["attempts"][0];
    assert_eq!(first["may_be_billed"], true);
    let duration_ms = first["duration_ms"].as_u64().unwrap();
    assert!((1500..3500).contains(&duration_ms), "half of the job's time: {duration_ms}");
}
