//! Workers beside each other, and workers that leave.

use std::collections::HashSet;
use std::time::Duration;

use hermod_tests::{Cluster, Signal, eventually};
use serde_json::json;

#[tokio::test]
async fn two_workers_share_the_load_and_no_job_runs_twice() {
    let cluster = Cluster::builder().workers(2).set("HERMOD_CONCURRENCY", 4).start().await;
    let mut ids = Vec::new();
    for number in 0..100 {
        ids.push(cluster.api.submit(json!({"model": "demo/slow-50ms", "prompt": number.to_string()})).await);
    }
    for id in &ids {
        assert_eq!(cluster.ended(id).await["status"], "completed");
    }
    let calls = cluster.calls();
    let bodies: HashSet<_> = calls.iter().map(|call| &call.body).collect();
    assert_eq!((calls.len(), bodies.len()), (100, 100));
    let first = cluster.worker_metric(0, "hermod_jobs_started_total").await;
    let second = cluster.worker_metric(1, "hermod_jobs_started_total").await;
    assert!(first + second == 100.0 && first >= 10.0 && second >= 10.0, "{first} and {second}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_runs_no_more_than_it_is_told() {
    let cluster = Cluster::builder().set("HERMOD_CONCURRENCY", 3).start().await;
    for _ in 0..10 {
        cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    }
    cluster.called("hang", 3).await;
    // Longer than a worker waits between two claims.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(cluster.calls().len(), 3);
    let metrics = cluster.api.get("/metrics").await.text;
    assert!(
        metrics.contains("hermod_queue_running 3") && metrics.contains("hermod_queue_waiting 7"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_ends_what_runs() {
    let mut cluster = Cluster::start().await;
    let running = cluster.api.submit(json!({"model": "demo/slow-1s", "prompt": "x"})).await;
    cluster.called("slow-1s", 1).await;
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(cluster.ended(&running).await["status"], "completed");
    let status = cluster.workers[0].wait(Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(cluster.calls().len(), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_time_is_handed_back() {
    let mut cluster =
        Cluster::builder().set("HERMOD_GRACE_SECONDS", 1).set("HERMOD_MAX_ATTEMPTS", 1).start().await;
    let job = cluster.api.submit(json!({"model": "demo/slow-4s", "prompt": "x"})).await;
    cluster.called("slow-4s", 1).await;
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(cluster.workers[0].wait(Duration::from_secs(10)).unwrap().code(), Some(3));
    assert_eq!(cluster.api.poll(&job).await.json()["status"], "pending");
    // It is run elsewhere, at once, and the first start did not count as an attempt.
    cluster.add_worker();
    cluster.called("slow-4s", 2).await;
    assert_eq!(cluster.ended(&job).await["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_second_signal_hands_back_at_once() {
    let mut cluster = Cluster::start().await;
    let job =
        cluster.api.submit(json!({"model": "demo/hang", "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    cluster.called("hang", 1).await;
    cluster.workers[0].signal(Signal::TERM);
    eventually("it drains", Duration::from_secs(5), async || {
        (!cluster.logs.with_message("draining").is_empty()).then_some(())
    })
    .await;
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(cluster.workers[0].wait(Duration::from_secs(10)).unwrap().code(), Some(4));
    assert_eq!(cluster.api.poll(&job).await.json()["status"], "pending");
}

#[tokio::test]
async fn an_idle_worker_leaves_at_once_and_takes_nothing_along() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(cluster.workers[0].wait(Duration::from_secs(5)).unwrap().code(), Some(0));
    let group: redis::streams::StreamInfoConsumersReply = redis::cmd("XINFO")
        .arg("CONSUMERS")
        .arg("{hermod:0}:queue")
        .arg("workers")
        .query(&mut cluster.connect())
        .unwrap();
    assert!(group.consumers.len() <= 1, "it has left the group: {:?}", group.consumers);
    for _ in 0..5 {
        let job = cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
        assert_eq!(job["status"], "completed");
    }
    cluster.assert_drained().await;
}
