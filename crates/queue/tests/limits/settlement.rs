use std::collections::BTreeMap;

use hermod_queue::governance::{Upkeep, UsageRow, UsageRows};
use redis::Commands;

use super::*;

fn permits(server: &Server) -> usize {
    server.connect().hlen("{hermod:0}:permits").unwrap()
}

/// What stands in the usage of all days.
async fn rows(server: &Server) -> Vec<UsageRow> {
    let days: Vec<String> = server.connect().keys("{hermod:0}:usage:*").unwrap();
    let mut rows = Vec::new();
    for day in days {
        rows.extend(
            UsageRows::new(&server.store()).of_day(day.rsplit(':').next().unwrap(), None).await.unwrap(),
        );
    }
    rows
}

fn totals(server: &Server, owner: &str) -> BTreeMap<String, u64> {
    server.connect().hgetall(format!("{{hermod:0}}:totals:{owner}")).unwrap()
}

#[tokio::test]
async fn what_was_used_is_counted_once_and_the_rest_is_free_again() {
    let server = Server::start();
    let limits = server.limits();
    let all = [
        limit("requests:k", Measure::Requests, 10),
        limit("tokens:k", Measure::Tokens, 1000),
        limit("budget:k", Measure::Cost, 1000),
        limit("key:k", Measure::Running, 2),
    ];
    let [requests, tokens, budget, running] = &all;
    let job = new_job();
    ask(&limits, job, 1, &[(requests, 1), (tokens, 500), (budget, 300), (running, 1)]).await;
    let owed = owed(1, &all.each_ref(), 40, 70);
    for _ in 0..3 {
        limits.settle(job, owed.clone()).await.unwrap();
    }
    let mut used = Vec::new();
    for limit in &all {
        used.push(usage(&limits, limit).await);
    }
    assert_eq!((used, permits(&server)), (vec![(1, 0), (40, 0), (70, 0), (0, 0)], 0));
    let row = UsageRow {
        owner: "k".to_owned(),
        model: "demo/echo".to_owned(),
        requests: 1,
        input_tokens: 40,
        cost: 70,
        ..UsageRow::default()
    };
    assert_eq!(rows(&server).await, [row]);
    let sums =
        [("requests", 1), ("input_tokens", 40), ("cost", 70)].map(|(name, sum)| (name.to_owned(), sum));
    assert_eq!(totals(&server, "k"), BTreeMap::from(sums));
}

#[tokio::test]
async fn whoever_is_late_changes_nothing() {
    let server = Server::start();
    let limits = server.limits();
    let (tokens, running) = (limit("tokens:k", Measure::Tokens, 100), limit("key:k", Measure::Running, 1));
    let wants = [(&tokens, 30), (&running, 1)];
    let job = new_job();
    ask(&limits, job, 1, &wants).await;
    // Its first worker is thought dead. Another starts it, and the first gives it back, or ends it.
    ask(&limits, job, 2, &wants).await;
    limits.refund(job, 1).await.unwrap();
    limits.suspend(job, 1).await.unwrap();
    limits.settle(job, owed(1, &[&tokens], 99, 99)).await.unwrap();
    assert_eq!((usage(&limits, &tokens).await, usage(&limits, &running).await), ((0, 30), (1, 0)));
    assert!(rows(&server).await.is_empty());
    // The second delays it and ends it later, as a third start.
    limits.suspend(job, 2).await.unwrap();
    limits.suspend(job, 2).await.unwrap();
    assert_eq!((usage(&limits, &tokens).await, usage(&limits, &running).await), ((0, 30), (0, 0)));
    let other = new_job();
    assert_eq!(ask(&limits, other, 1, &[(&running, 1)]).await, Admission::Admitted, "its place is free");
    assert_eq!(exceeded(&ask(&limits, job, 3, &wants).await), [1]);
    limits.refund(other, 1).await.unwrap();
    assert_eq!(ask(&limits, job, 3, &wants).await, Admission::Admitted);
    limits.settle(job, owed(3, &[&tokens], 10, 0)).await.unwrap();
    assert_eq!((usage(&limits, &tokens).await, usage(&limits, &running).await), ((10, 0), (0, 0)));
    assert_eq!(permits(&server), 0);
}

#[tokio::test]
async fn a_refund_before_or_after_anything_else_charges_nothing() {
    let server = Server::start();
    let limits = server.limits();
    let tokens = limit("tokens:k", Measure::Tokens, 100);
    for (fence, settles) in [(0, 1), (1, 1), (5, 5)] {
        let job = new_job();
        ask(&limits, job, fence, &[(&tokens, 30)]).await;
        limits.refund(job, settles).await.unwrap();
        limits.refund(job, settles).await.unwrap();
        limits.settle(job, owed(settles, &[&tokens], 30, 30)).await.unwrap();
    }
    assert_eq!((usage(&limits, &tokens).await, permits(&server)), ((0, 0), 0));
    assert!(rows(&server).await.is_empty() && totals(&server, "k").is_empty());
}

#[tokio::test]
async fn the_leader_settles_what_a_worker_has_left_and_nothing_twice() {
    let server = Server::start();
    let limits = server.limits();
    let tokens = limit("tokens:k", Measure::Tokens, 1_000_000);
    let mut redis = server.connect();
    // More than one look takes.
    for number in 0..1200 {
        let job = new_job();
        ask(&limits, job, 1, &[(&tokens, 100)]).await;
        let owed = owed(1, &[&tokens], 10, 1);
        let _: () = redis.hset("{hermod:0}:owed", job.to_string(), owed.to_json()).unwrap();
        if number % 2 == 0 {
            limits.settle(job, owed).await.unwrap();
        }
    }
    let mut upkeep = Upkeep::new(&server.store(), &limits, Shard::default());
    upkeep.run().await.unwrap();
    upkeep.run().await.unwrap();
    assert_eq!((usage(&limits, &tokens).await, permits(&server)), ((12_000, 0), 0));
    assert_eq!(totals(&server, "k")["requests"], 1200);
    assert!(!redis.exists::<_, bool>("{hermod:0}:owed").unwrap());
}

#[tokio::test]
async fn a_job_of_a_key_without_limits_is_counted_once_too() {
    let server = Server::start();
    let limits = server.limits();
    let job = new_job();
    assert_eq!(ask(&limits, job, 1, &[]).await, Admission::Admitted);
    assert_eq!(ask(&limits, job, 2, &[]).await, Admission::Admitted);
    for _ in 0..2 {
        limits.settle(job, owed(2, &[], 3, 4)).await.unwrap();
    }
    assert_eq!((totals(&server, "k")["requests"], totals(&server, "k")["cost"], permits(&server)), (1, 4, 0));
}
