//! Workers beside each other, and workers that leave.

use std::collections::HashSet;

use hermod_tests::{Cluster, PATIENCE, Signal, eventually, eventually_ok, exit_of};
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
    cluster.assert_drained().await;
    // Eight that hang fill both, as neither takes more than it has slots for.
    for number in 0..8 {
        cluster.api.submit(json!({"model": "demo/hang", "prompt": number.to_string()})).await;
    }
    cluster.called("hang", 8).await;
    for worker in 0..2 {
        assert_eq!(cluster.worker_metric(worker, "hermod_jobs_running").await, 4.0);
    }
}

#[tokio::test]
async fn a_worker_runs_no_more_than_it_is_told() {
    let cluster = Cluster::builder().set("HERMOD_CONCURRENCY", 3).start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        cluster.api.submit(json!({"model": "demo/hang", "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    }
    cluster.called("hang", 3).await;
    // Each new job is a reason to claim; none of them is claimed.
    for _ in 0..7 {
        ids.push(cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await);
    }
    eventually_ok("three run and seven wait", PATIENCE, async || {
        let metrics = cluster.api.get("/metrics").await.text;
        let is_so =
            metrics.contains("hermod_queue_running 3\n") && metrics.contains("hermod_queue_waiting 7\n");
        if is_so { Ok(()) } else { Err(metrics) }
    })
    .await;
    assert_eq!(cluster.calls().len(), 3);
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_ends_what_runs() {
    let mut cluster = Cluster::start().await;
    let running = cluster.api.submit(json!({"model": "demo/slow-1s", "prompt": "x"})).await;
    cluster.called("slow-1s", 1).await;
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(cluster.ended(&running).await["status"], "completed");
    assert_eq!(exit_of(&mut cluster.workers[0]).await.code(), Some(0));
    assert_eq!(cluster.calls().len(), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_time_is_released() {
    let mut cluster = Cluster::builder()
        .task("hang")
        .set("HERMOD_GRACE_SECONDS", 1)
        .set("HERMOD_MAX_ATTEMPTS", 1)
        .start()
        .await;
    let job = cluster.api.submit(json!({"model": "switch/task", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(exit_of(&mut cluster.workers[0]).await.code(), Some(3));
    assert_eq!(cluster.api.poll(&job).await.json()["status"], "pending");
    // It is run elsewhere, and the first start did not count as an attempt.
    cluster.switch("echo");
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&job).await["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_second_signal_releases_at_once() {
    let mut cluster = Cluster::start().await;
    let job =
        cluster.api.submit(json!({"model": "demo/hang", "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    cluster.called("hang", 1).await;
    cluster.workers[0].signal(Signal::TERM);
    eventually("it drains", PATIENCE, async || {
        (!cluster.logs.with_message("draining").is_empty()).then_some(())
    })
    .await;
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(exit_of(&mut cluster.workers[0]).await.code(), Some(4));
    assert_eq!(cluster.api.poll(&job).await.json()["status"], "pending");
}

#[tokio::test]
async fn an_idle_worker_leaves_and_takes_nothing_along() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(exit_of(&mut cluster.workers[0]).await.code(), Some(0));
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
