//! Whatever dies, each ended job is told of, with the same id.

use hermod_tests::{Cluster, LEASE, PATIENCE, Reaction, Receiver, eventually, lasts};
use hermod_types::webhook::Outcome;
use serde_json::json;

use crate::told::{all_told, outcomes, rows, submit, telling};

#[tokio::test]
async fn an_attempt_of_a_worker_that_dies_is_made_again() {
    let receiver = Receiver::start();
    receiver.reacts_first([Reaction::Hang]);
    let endpoint =
        receiver.endpoint("ci", json!({"max_concurrent_deliveries": 1, "attempt_timeout_seconds": 60}));
    let mut cluster = telling(&[endpoint]).start().await;
    submit(&cluster, "ci", "demo/echo").await;
    receiver.receives(1).await;
    cluster.add_worker().await;
    drop(cluster.take_worker(0));
    let told = receiver.receives(2).await;
    assert_eq!(told[0].id, told[1].id);
    assert_eq!(outcomes(&cluster, "ci", 1).await, [Outcome::Delivered]);
    assert_eq!(rows(&cluster, "ci").await[0].attempt_no, 2, "an attempt counts once it has begun");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_delivery_that_kills_its_workers_ends() {
    let receiver = Receiver::start();
    receiver.reacts(Reaction::Hang);
    let more = json!({"max_retries": 1, "attempt_timeout_seconds": 60});
    let mut cluster = telling(&[receiver.endpoint("ci", more)]).start().await;
    submit(&cluster, "ci", "demo/echo").await;
    for attempt in 1..=2 {
        receiver.receives(attempt).await;
        cluster.add_worker().await;
        drop(cluster.take_worker(0));
    }
    assert_eq!(outcomes(&cluster, "ci", 1).await, [Outcome::Exhausted]);
    assert_eq!(rows(&cluster, "ci").await[0].error, "2 attempts were begun, and none has ended");
    cluster.assert_drained().await;
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn a_worker_that_is_cut_off_delivers_nothing_that_another_has_taken_over() {
    let receiver = Receiver::start();
    receiver.reacts_first([Reaction::Hang]);
    let more = json!({"attempt_timeout_seconds": 60});
    let mut cluster = telling(&[receiver.endpoint("ci", more)]).proxied().start().await;
    submit(&cluster, "ci", "demo/echo").await;
    receiver.receives(1).await;
    cluster.worker_links[0].block(true);
    cluster.add_worker().await;
    let told = receiver.receives(2).await;
    assert_eq!(told[0].id, told[1].id);
    cluster.worker_links[0].block(false);
    eventually("the first is told that it has lost the delivery", PATIENCE, async || {
        (cluster.worker_metric(0, "hermod_leases_lost_total").await >= 1.0).then_some(())
    })
    .await;
    eventually("and drops its call", PATIENCE, async || (receiver.at_once() == 0).then_some(())).await;
    assert_eq!(outcomes(&cluster, "ci", 1).await, [Outcome::Delivered]);
    cluster.assert_drained().await;
}

/// Redis dies again and again, while jobs end and deliveries begin, are made, fail, are delayed and end.
#[tokio::test]
async fn each_job_that_has_ended_is_told_of_whenever_redis_dies() {
    let receiver = Receiver::start();
    let more = json!({"retry_backoff_initial_seconds": 1, "max_retries": 20});
    let cluster = telling(&[receiver.endpoint("ci", more)]);
    let mut cluster = cluster.redis_options(&["--appendfsync", "always"]).workers(2).start().await;
    let mut jobs = Vec::new();
    for round in 0..6 {
        let failing = (0..10).map(|_| Reaction::Answer(503));
        receiver.reacts_first(failing);
        for _ in 0..20 {
            jobs.push(submit(&cluster, "ci", "demo/slow-50ms").await);
        }
        // At another moment each time: at once, when some have been told, and when most have.
        receiver.receives(receiver.received().len() + 2 + 6 * (round % 3)).await;
        cluster.kill_redis();
        if round % 2 == 0 {
            lasts(LEASE).await;
        }
        cluster.start_redis().await;
    }
    for job in &jobs {
        assert_eq!(cluster.ended(job).await["status"], "completed");
    }
    all_told(&receiver, &jobs).await;
    cluster.assert_drained().await;
    let ids: std::collections::HashSet<_> = receiver.received().into_iter().map(|told| told.id).collect();
    assert_eq!(ids.len(), jobs.len(), "what was told twice had the same id");
}

/// Jobs end in Redis by one script, so that no moment is between a job's end and its delivery.
#[tokio::test]
async fn a_job_that_ends_without_any_worker_that_delivers_is_told_of_later() {
    let receiver = Receiver::start();
    let endpoint = receiver.endpoint("ci", json!({}));
    let mut cluster: Cluster = telling(&[endpoint]).set("HERMOD_DELIVERY_CONCURRENCY", 0).start().await;
    let mut jobs = Vec::new();
    for _ in 0..20 {
        jobs.push(submit(&cluster, "ci", "demo/echo").await);
    }
    for job in &jobs {
        cluster.ended(job).await;
    }
    drop(cluster.take_worker(0));
    cluster.kill_redis();
    cluster.start_redis().await;
    cluster.set("HERMOD_DELIVERY_CONCURRENCY", "16");
    cluster.add_worker().await;
    all_told(&receiver, &jobs).await;
    cluster.assert_drained().await;
}
