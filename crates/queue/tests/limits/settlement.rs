use std::collections::BTreeMap;

use futures_util::future::join_all;
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
    assert_eq!(totals(&server, "k"), BTreeMap::from([("requests".to_owned(), 1)]));
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
    assert_eq!((totals(&server, "k")["requests"], rows(&server).await[0].cost, permits(&server)), (1, 4, 0));
}

#[tokio::test]
async fn a_permit_of_an_earlier_version_is_read() {
    let server = Server::start();
    let limits = server.limits();
    let (tokens, running) = (limit("tokens:k", Measure::Tokens, 100), limit("key:k", Measure::Running, 2));
    let wants = [(&tokens, 30), (&running, 1)];
    let jobs = [new_job(), new_job()];
    let script = "local window = tonumber(redis.call('HGET', KEYS[2], 's'))
        redis.call('HSET', KEYS[1], ARGV[1],
            struct.pack('<ddssddsdd', 1, window, 'k', 'tokens:k', window, 30, 'key:k', -1, 1))";
    for job in jobs {
        ask(&limits, job, 1, &wants).await;
        let script = redis::Script::new(script);
        let mut script = script.key("{hermod:0}:permits");
        let _: () = script
            .key("{hermod:0}:limit:tokens:k")
            .arg(job.to_string())
            .invoke(&mut server.connect())
            .unwrap();
    }
    // One ends, the other starts once more.
    limits.settle(jobs[0], owed(1, &[&tokens], 20, 0)).await.unwrap();
    assert_eq!(ask(&limits, jobs[1], 2, &wants).await, Admission::Admitted);
    assert_eq!((usage(&limits, &tokens).await, usage(&limits, &running).await), ((20, 30), (1, 0)));
    limits.settle(jobs[1], owed(2, &[&tokens], 10, 0)).await.unwrap();
    assert_eq!((usage(&limits, &tokens).await, usage(&limits, &running).await), ((30, 0), (0, 0)));
    assert_eq!(permits(&server), 0);
}

#[tokio::test]
async fn a_batch_settles_jobs_of_many_kinds() {
    let server = Server::start();
    let limits = server.limits();
    let all: Vec<_> =
        (0..4).map(|number| limit(&format!("tokens:{number}"), Measure::Tokens, 1000)).collect();
    let running = limit("key:k", Measure::Running, 100);
    let jobs: Vec<_> = (0..40).map(|number| (new_job(), number % 4)).collect();
    // Each has as many limits as its number says, and one of jobs that run.
    let asks = jobs.iter().map(|(job, number)| {
        let mut wants: Vec<_> = all[..=*number].iter().map(|limit| (limit, 7)).collect();
        wants.push((&running, 1));
        let limits = &limits;
        async move { ask(limits, *job, 1, &wants).await }
    });
    assert!(join_all(asks).await.iter().all(|admission| *admission == Admission::Admitted));
    assert_eq!((usage(&limits, &all[0]).await, usage(&limits, &all[3]).await), ((0, 280), (0, 70)));
    let settles = jobs.iter().map(|(job, number)| {
        let used: Vec<_> = all[..=*number].iter().collect();
        limits.settle(*job, owed(1, &used, 5, 2))
    });
    assert!(join_all(settles).await.iter().all(Result::is_ok));
    let mut left = Vec::new();
    for limit in all.iter().chain([&running]) {
        left.push(usage(&limits, limit).await);
    }
    assert_eq!((left, permits(&server)), (vec![(200, 0), (150, 0), (100, 0), (50, 0), (0, 0)], 0));
    assert_eq!((rows(&server).await[0].requests, rows(&server).await[0].cost), (40, 80));
}
