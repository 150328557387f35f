//! Providers that misbehave, and what becomes of the job.

use hermod_tests::Cluster;
use serde_json::{Value, json};

/// The provider `demo` with retries, and a short timeout.
fn config() -> Value {
    json!({"providers": {"demo": {
        "network_config": {"max_retries": 2, "retry_backoff_initial": 20, "retry_backoff_max": 50,
                           "default_request_timeout_in_seconds": 1},
        "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
    }}})
}

#[tokio::test]
async fn what_may_pass_is_retried_and_then_passed_over() {
    let cluster = Cluster::builder().config(config()).start().await;
    for (model, calls) in [
        ("fail-503", 3),
        ("fail-500", 3),
        ("html", 3),
        ("error-200", 3),
        ("broken", 3),
        ("hang", 3),
        ("drip", 3),
        ("fail-404", 1),
        ("fail-401", 1),
        ("fail-302", 1),
    ] {
        let job = cluster
            .run(json!({"model": format!("demo/{model}"), "prompt": "x", "fallbacks": ["demo/echo"]}))
            .await;
        assert_eq!(job["result"]["extra_fields"]["fallback_index"], 1, "{model}: {job}");
        assert_eq!(cluster.calls_of(model), calls, "{model}");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_retry_can_succeed() {
    let cluster = Cluster::builder().config(config()).start().await;
    for _ in 0..4 {
        let job = cluster.run(json!({"model": "demo/flaky-50", "prompt": "x"})).await;
        assert_eq!(job["status"], "completed");
    }
    assert!(cluster.calls_of("flaky-50") > 4);
}

#[tokio::test]
async fn a_failure_without_an_answer_says_what_happened() {
    let cluster = Cluster::builder().config(config()).start().await;
    for (model, status, code) in [
        ("hang", 504, "upstream_timeout"),
        ("html", 502, "upstream_invalid_response"),
        ("broken", 502, "upstream_unreachable"),
    ] {
        let job = cluster.run(json!({"model": format!("demo/{model}"), "prompt": "x"})).await;
        assert_eq!(
            (&job["status_code"], &job["error"]["error"]["code"]),
            (&json!(status), &json!(code)),
            "{job}"
        );
    }
    cluster.stop_provider().await;
    let job = cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    assert_eq!(job["error"]["error"]["code"], "upstream_unreachable", "{job}");
    assert!(
        !job.to_string().contains("127.0.0.1"),
        "the provider's address is the operator's business: {job}"
    );
}

#[tokio::test]
async fn the_wait_that_a_provider_asks_for_is_kept() {
    let cluster = Cluster::builder().config(config()).start().await;
    let begun = std::time::Instant::now();
    let job = cluster.run(json!({"model": "demo/fail-429", "prompt": "x"})).await;
    assert_eq!(job["status_code"], 429);
    assert!(begun.elapsed().as_millis() >= 2000, "Retry-After: 1, twice: {:?}", begun.elapsed());
}

#[tokio::test]
async fn aliases_models_and_keys_come_from_the_configuration() {
    let keyed = json!({
        "keys": [
            {"name": "a", "value": "sk-key-a", "models": ["echo"], "aliases": {"fast": "slow-50ms"}},
            {"name": "b", "value": "sk-key-b", "models": ["empty"]},
        ],
        "custom_provider_config": {"base_provider_type": "openai"},
    });
    let cluster = Cluster::builder().config(json!({"providers": {"keyed": keyed}})).start().await;
    let job = cluster.run(json!({"model": "keyed/fast", "prompt": "x"})).await;
    assert_eq!(job["result"]["extra_fields"]["model_requested"], "fast");
    cluster.run(json!({"model": "keyed/empty", "prompt": "x"})).await;
    let sent: Vec<_> = cluster
        .calls()
        .into_iter()
        .map(|call| {
            let key = call.headers.into_iter().find(|(name, _)| name == "authorization").unwrap().1;
            (call.model, key)
        })
        .collect();
    assert_eq!(
        sent,
        [
            ("slow-50ms".to_owned(), "Bearer sk-key-a".to_owned()),
            ("empty".to_owned(), "Bearer sk-key-b".to_owned())
        ]
    );
    let job = cluster.run(json!({"model": "keyed/flaky-0", "prompt": "x"})).await;
    assert_eq!(job["error"]["error"]["code"], "upstream_credentials_exhausted");
}

#[tokio::test]
async fn a_wait_that_no_clock_can_count_is_passed_over() {
    let cluster = Cluster::builder().config(config()).start().await;
    for (model, index) in
        [("retry-after-18446744073709551615", 1), ("retry-after-86400", 1), ("retry-after--1", 1)]
    {
        let job = cluster
            .run(json!({"model": format!("demo/{model}"), "prompt": "x", "fallbacks": ["demo/echo"]}))
            .await;
        assert_eq!(job["result"]["extra_fields"]["fallback_index"], index, "{model}: {job}");
    }
    assert!(!cluster.logs.all().join("\n").contains("panicked"));
}

#[tokio::test]
async fn a_limit_on_calls_makes_jobs_wait_and_not_fail() {
    let mut settings = config();
    settings["providers"]["demo"]["concurrency_and_buffer_size"] = json!({"concurrency": 1});
    let cluster = Cluster::builder().config(settings).start().await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(cluster.api.submit(json!({"model": "demo/slow-500ms", "prompt": "x"})).await);
    }
    for job in jobs {
        assert_eq!(cluster.ended(&job).await["status"], "completed", "each within its own second");
    }
    assert_eq!(cluster.calls().len(), 5);
}
