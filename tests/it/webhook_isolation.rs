//! A receiver that hangs, or is dead, holds up neither jobs nor the deliveries of others; and nobody is called more often at once
//! than it wants.

use std::time::Duration;

use futures_util::future::join_all;
use hermod_tests::{Cluster, PATIENCE, Reaction, Receiver, Servers, Signal, eventually, exit_of};
use hermod_types::webhook::Outcome;
use serde_json::json;

use crate::told::{all_told, outcomes, submit, telling};

/// Submits so many jobs of whose ends this endpoint is told.
async fn submit_many(cluster: &Cluster, endpoint: &str, jobs: usize) -> Vec<String> {
    join_all((0..jobs).map(|_| submit(cluster, endpoint, "demo/echo"))).await
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody() {
    let (hanging, well) = (Receiver::start(), Receiver::start());
    hanging.reacts(Reaction::Hang);
    let endpoints = [
        hanging.endpoint("hanging", json!({"max_concurrent_deliveries": 100, "attempt_timeout_seconds": 30})),
        well.endpoint("well", json!({})),
    ];
    let cluster =
        telling(&endpoints).set("HERMOD_DELIVERY_CONCURRENCY", 16).set("HERMOD_CONCURRENCY", 2).start().await;
    submit_many(&cluster, "hanging", 200).await;
    eventually("it is called as often as it may be", PATIENCE, async || {
        (hanging.at_once() == 4).then_some(())
    })
    .await;
    // A quarter of the places is all that it gets; the others have the rest, and jobs have their own.
    let jobs = submit_many(&cluster, "well", 100).await;
    all_told(&well, &jobs).await;
    assert_eq!((hanging.at_once(), hanging.most_at_once()), (4, 4));
    // What was parked is no attempt.
    assert_eq!(hanging.received().len(), 4);
}

#[tokio::test]
async fn a_receiver_that_recovers_gets_all_that_it_has_missed() {
    let receiver = Receiver::start();
    let more = json!({"attempt_timeout_seconds": 1, "retry_backoff_initial_seconds": 1, "max_retries": 20});
    receiver.reacts(Reaction::Hang);
    let cluster =
        telling(&[receiver.endpoint("ci", more)]).set("HERMOD_DELIVERY_CONCURRENCY", 64).start().await;
    let jobs = submit_many(&cluster, "ci", 60).await;
    // After some failures it has few places, and most are parked.
    receiver.receives(20).await;
    receiver.reacts(Reaction::Answer(204));
    all_told(&receiver, &jobs).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_receiver_is_called_no_more_often_at_once_than_it_wants_over_all_workers() {
    for servers in [Servers::One, Servers::Cluster] {
        let receiver = Receiver::start();
        receiver.reacts(Reaction::AnswerAfter(Duration::from_millis(100)));
        let endpoint = receiver.endpoint("ci", json!({"max_concurrent_deliveries": 3}));
        // Each worker has two places for it.
        let cluster = telling(&[endpoint]).servers(servers).workers(2).set("HERMOD_DELIVERY_CONCURRENCY", 8);
        let cluster = cluster.start().await;
        let jobs = submit_many(&cluster, "ci", 60).await;
        all_told(&receiver, &jobs).await;
        let outcomes = outcomes(&cluster, "ci", 60).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{outcomes:?}");
        assert_eq!((receiver.most_at_once(), receiver.received().len()), (3, 60));
        cluster.assert_drained().await;
    }
}

#[tokio::test]
async fn a_worker_that_stops_ends_its_attempts_and_leaves_the_rest_to_others() {
    let receiver = Receiver::start();
    receiver.reacts(Reaction::AnswerAfter(Duration::from_secs(2)));
    let endpoint = receiver.endpoint("ci", json!({"max_concurrent_deliveries": 2}));
    let mut cluster = telling(&[endpoint]).start().await;
    let jobs = submit_many(&cluster, "ci", 6).await;
    receiver.receives(2).await;
    // The other is there to take what is released.
    cluster.add_worker().await;
    let mut first = cluster.take_worker(0);
    first.signal(Signal::TERM);
    assert_eq!(exit_of(&mut first).await.code(), Some(0));
    receiver.reacts(Reaction::Answer(204));
    all_told(&receiver, &jobs).await;
    assert_eq!(outcomes(&cluster, "ci", 6).await, [Outcome::Delivered; 6], "none was made twice");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn attempts_that_outlast_the_grace_are_made_again_by_another_worker() {
    let receiver = Receiver::start();
    receiver.reacts(Reaction::Hang);
    let endpoint =
        receiver.endpoint("ci", json!({"attempt_timeout_seconds": 60, "max_concurrent_deliveries": 1}));
    let mut cluster = telling(&[endpoint]).set("HERMOD_GRACE_SECONDS", 1).start().await;
    let jobs = submit_many(&cluster, "ci", 1).await;
    receiver.receives(1).await;
    cluster.add_worker().await;
    receiver.reacts(Reaction::Answer(204));
    let mut first = cluster.take_worker(0);
    first.signal(Signal::TERM);
    assert_eq!(exit_of(&mut first).await.code(), Some(3));
    // Its slot is free at once, too: there is one.
    let told = receiver.receives(2).await;
    assert_eq!(told[0].id, told[1].id);
    all_told(&receiver, &jobs).await;
    assert_eq!(outcomes(&cluster, "ci", 1).await, [Outcome::Delivered], "what was broken off is no attempt");
    cluster.assert_drained().await;
}
