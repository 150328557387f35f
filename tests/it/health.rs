//! What orchestrators and operators ask.

use std::time::Duration;

use hermod_tests::{Cluster, eventually};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn readiness_follows_redis_and_liveness_does_not() {
    let mut cluster = Cluster::start().await;
    let worker = cluster.worker_ports[0].clone();
    for api in [&cluster.api, &worker] {
        for path in ["/health", "/readyz", "/livez"] {
            let answer = api.get(path).await;
            assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("ok")), "{path}");
            let head = api.send(api.request(Method::HEAD, path)).await;
            assert_eq!((head.status, head.text.as_str()), (200, ""));
        }
    }
    cluster.redis = None;
    for api in [&cluster.api, &worker] {
        eventually("it is not ready", Duration::from_secs(5), async || {
            (api.get("/readyz").await.status == 503).then_some(())
        })
        .await;
        assert!(api.get("/health").await.json()["redis"].as_str().unwrap().contains("Redis"));
        assert_eq!(api.get("/livez").await.status, 200);
    }
    cluster.start_redis().await;
    for api in [&cluster.api, &worker] {
        eventually("it is ready again", Duration::from_secs(5), async || {
            (api.get("/readyz").await.status == 200).then_some(())
        })
        .await;
    }
    assert_eq!(cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await["status"], "completed");
}

#[tokio::test]
async fn metrics_count_jobs_and_requests() {
    let cluster = Cluster::start().await;
    cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.run(json!({"model": "demo/fail-500", "prompt": "x"})).await;
    let api = cluster.api.get("/metrics").await;
    assert!(api.header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        "hermod_jobs_accepted_total 2",
        "hermod_queue_waiting 0",
        "hermod_queue_running 0",
        r#"hermod_http_requests_total{route="/v1/async/completions",method="POST",status="202"} 2"#,
    ] {
        assert!(api.text.contains(line), "{line} is not in\n{}", api.text);
    }
    let worker = cluster.worker_ports[0].get("/metrics").await.text;
    for line in [
        "hermod_jobs_started_total 2",
        r#"hermod_jobs_ended_total{status="completed"} 1"#,
        r#"hermod_jobs_ended_total{status="failed"} 1"#,
        r#"hermod_provider_calls_total{provider="demo",outcome="success"} 1"#,
        "hermod_stale_results_total 0",
        "hermod_jobs_running 0",
    ] {
        assert!(worker.contains(line), "{line} is not in\n{worker}");
    }
}

#[tokio::test]
async fn a_request_id_is_echoed_or_made() {
    let cluster = Cluster::start().await;
    let request = cluster.api.request(Method::GET, "/livez");
    assert_eq!(
        cluster.api.send(request.header("x-request-id", "mine-1")).await.header("x-request-id"),
        "mine-1"
    );
    assert_eq!(cluster.api.get("/nowhere").await.header("x-request-id").len(), 36);
}
