//! Each row of the contract's error table, against the running service.

use std::time::Duration;

use hermod_tests::{Cluster, Signal, eventually};
use reqwest::Method;
use serde_json::json;

const GOOD: &str = r#"{"model":"demo/echo","prompt":"x"}"#;

#[tokio::test]
async fn what_the_client_got_wrong_is_named() {
    let cluster = Cluster::start().await;
    let model_format = "model should be in provider/model format";
    for (body, message, param) in [
        ("{\"model\":", "invalid request format: EOF", None),
        ("[1]", "invalid request format: the body must be a JSON object", None),
        (
            r#"{"model":"demo/echo","prompt":"x","max_tokens":"ten"}"#,
            "invalid request format: ",
            Some("max_tokens"),
        ),
        (r#"{"model":"demo/echo","prompt":7}"#, "invalid request format: ", Some("prompt")),
        (r#"{"model":["demo/echo"],"prompt":"x"}"#, "invalid request format: ", Some("model")),
        (r#"{"prompt":"x"}"#, model_format, Some("model")),
        (r#"{"model":"gpt-4","prompt":"x"}"#, model_format, Some("model")),
        (r#"{"model":"demo/echo"}"#, "prompt is required for text completion", Some("prompt")),
        (r#"{"model":"demo/echo","prompt":[]}"#, "prompt is required for text completion", Some("prompt")),
        (
            r#"{"model":"demo/echo","prompt":"x","stream":true}"#,
            "stream is not supported for async text completions",
            Some("stream"),
        ),
        (
            r#"{"model":"nope/x","prompt":"x"}"#,
            "provider \"nope\" is not configured; configured: demo",
            Some("model"),
        ),
        (
            r#"{"model":"demo/echo","prompt":"x","fallbacks":["demo/a","nope/x"]}"#,
            "provider \"nope\" is not configured; configured: demo",
            Some("fallbacks"),
        ),
    ] {
        let answer = cluster.api.post(body).await;
        let said = answer.error(400);
        assert!(said.starts_with(message), "{body}: {said}");
        assert_eq!(answer.json()["error"]["param"].as_str(), param, "{body}");
    }
    assert!(cluster.calls().is_empty());
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_the_limit() {
    let cluster = Cluster::builder().set("HERMOD_MAX_BODY_BYTES", 1000).start().await;
    let answer = cluster.api.post(format!("{{\"prompt\":\"{}\"}}", "x".repeat(2000))).await;
    assert!(answer.error(413).contains("1000 bytes"));
    assert_eq!(answer.header("connection"), "close", "its body is not read");
    assert_eq!(cluster.api.post(GOOD).await.status, 202);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_have_the_same_shape() {
    let cluster = Cluster::start().await;
    for path in ["/", "/v1/completions", "/v1/async/completions/", "/v1/async/completions/a/b", "/v1/async"] {
        cluster.api.get(path).await.error(404);
    }
    // Paths that OpenAI has lead to those for jobs.
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions"] {
        let said = cluster.api.send(cluster.api.request(Method::POST, path)).await.error(404);
        let expected = format!("no such path: {path}; jobs are submitted to /v1/async/chat/completions");
        assert!(said.contains(&expected), "{said}");
    }
    for (method, path, allow) in [
        (Method::GET, "/v1/async/completions", "POST"),
        (Method::PUT, "/v1/async/completions/0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70", "GET, HEAD, DELETE"),
        (Method::POST, "/health", "GET, HEAD"),
        (Method::PUT, "/metrics", "GET, HEAD"),
    ] {
        let answer = cluster.api.send(cluster.api.request(method, path)).await;
        answer.error(405);
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
}

#[tokio::test]
async fn a_full_queue_says_so_and_running_jobs_do_not_count() {
    let cluster = Cluster::builder().set("HERMOD_QUEUE_LIMIT", 2).set("HERMOD_CONCURRENCY", 1).start().await;
    cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    for _ in 0..2 {
        cluster.api.submit(GOOD).await;
    }
    let refused = cluster.api.post(GOOD).await;
    assert!(refused.error(429).contains("limit"));
    assert!((1..60).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
}

#[tokio::test]
async fn without_redis_nothing_is_accepted_and_the_answer_comes_at_once() {
    let mut cluster = Cluster::start().await;
    let id = cluster.api.submit(GOOD).await;
    cluster.ended(&id).await;
    cluster.redis = None;
    let begun = std::time::Instant::now();
    // The first may have been on its way when the connection broke.
    cluster.api.post(GOOD).await.error(503);
    for _ in 0..20 {
        let refused = cluster.api.post(GOOD).await;
        assert!(refused.error(503).contains("not accepted"));
        assert_eq!(refused.header("x-should-retry"), "", "nothing was sent, so it may be sent again");
        assert!((1..60).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
        let poll = cluster.api.poll(&id).await;
        poll.error(503);
        assert!(!poll.header("retry-after").is_empty());
    }
    assert!(begun.elapsed().as_secs() < 10, "no request waits for a connection: {:?}", begun.elapsed());
    let events = cluster.logs.all().iter().filter(|line| line.contains("event_id")).count();
    assert!(events >= 40, "every 5xx has its line: {events}");
}

#[tokio::test]
async fn a_redis_that_hangs_is_as_good_as_none() {
    let mut cluster = Cluster::start().await;
    // From now on there is a connection that a submit can be sent on.
    cluster.api.submit(GOOD).await;
    cluster.redis.as_mut().unwrap().process.signal(Signal::STOP);
    let answer = cluster.api.post(GOOD).await;
    assert!(answer.error(503).contains("may or may not"));
    assert_eq!(answer.header("x-should-retry"), "false", "it was sent: sent again, it could run twice");
    assert!(!answer.header("retry-after").is_empty());
    cluster.redis.as_mut().unwrap().process.signal(Signal::CONT);
    eventually("it takes jobs again", Duration::from_secs(10), async || {
        (cluster.api.post(GOOD).await.status == 202).then_some(())
    })
    .await;
    assert_eq!(cluster.run(serde_json::from_str(GOOD).unwrap()).await["status"], "completed");
}
