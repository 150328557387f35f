//! Who holds a job, for how long, and what becomes of a call that is under way.

use std::time::Duration;

use hermod_tests::{Cluster, LEASE, PATIENCE, Signal, eventually, exit_of, lasts};
use serde_json::json;

use crate::shards::{all_complete, submit};

#[tokio::test]
async fn jobs_of_a_dead_worker_run_again_where_the_others_have_few_slots_left() {
    let mut cluster = Cluster::builder().task("hang").set("HERMOD_CONCURRENCY", 20).start().await;
    let dead = submit(&cluster, "switch/task", 20).await;
    cluster.called("hang", 20).await;
    // The other has one slot that is free, and none for long: more jobs wait than it has slots.
    cluster.switch("echo");
    cluster.set("HERMOD_CONCURRENCY", "2");
    let stuck = cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    let waiting = submit(&cluster, "demo/slow-50ms", 40).await;
    cluster.add_worker().await;
    cluster.called("hang", 21).await;
    drop(cluster.take_worker(0));
    all_complete(&cluster, &dead).await;
    all_complete(&cluster, &waiting).await;
    assert_eq!(cluster.calls_of("echo"), 20, "each of them ran again once");
    assert_eq!(cluster.api.poll(&stuck).await.json()["status"], "processing");
}

#[tokio::test]
async fn a_job_that_ran_long_and_was_released_has_not_waited_long() {
    let cluster = Cluster::builder()
        .set("HERMOD_MAX_WAIT_SECONDS", 8)
        .set("HERMOD_GRACE_SECONDS", 0)
        .workers(2)
        .set("HERMOD_CONCURRENCY", 1);
    let mut cluster = cluster.task("hang").start().await;
    let job = cluster.api.submit(json!({"model": "switch/task", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    // It runs for longer than any job may wait, and then its worker is replaced, as in a deploy.
    lasts(Duration::from_secs(9)).await;
    cluster.switch("echo");
    for _ in 0..2 {
        cluster.add_worker().await;
    }
    for _ in 0..2 {
        let mut old = cluster.take_worker(0);
        old.signal(Signal::TERM);
        exit_of(&mut old).await;
    }
    let ended = cluster.ended(&job).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_outage_longer_than_the_lease_costs_no_running_call() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let ids = submit(&cluster, "demo/slow-10s", 10).await;
    cluster.called("slow-10s", 10).await;
    cluster.kill_redis();
    // Nobody can take them over while Redis is away, so their calls may as well go on.
    lasts(LEASE * 2).await;
    cluster.start_redis().await;
    all_complete(&cluster, &ids).await;
    assert_eq!(cluster.calls_of("slow-10s"), 10, "nothing was paid for twice");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_redis_that_hangs_for_longer_than_the_lease_costs_no_running_call() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let ids = submit(&cluster, "demo/slow-10s", 10).await;
    cluster.called("slow-10s", 10).await;
    cluster.redis.as_mut().unwrap().process.signal(Signal::STOP);
    lasts(LEASE * 2).await;
    cluster.redis.as_mut().unwrap().process.signal(Signal::CONT);
    all_complete(&cluster, &ids).await;
    assert_eq!(cluster.calls_of("slow-10s"), 10, "nothing was paid for twice");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_that_is_cut_off_alone_writes_nothing_that_another_has_taken_over() {
    let mut cluster = Cluster::builder().proxied().numbered_workers().start().await;
    let job = cluster.api.submit(json!({"model": "demo/slow-7s", "prompt": "x"})).await;
    cluster.called("slow-7s", 1).await;
    cluster.worker_links[0].block(true);
    cluster.add_worker().await;
    cluster.called("slow-7s", 2).await;
    let first_end = cluster.ended(&job).await;
    assert_eq!(first_end["status"], "completed");
    cluster.worker_links[0].block(false);
    eventually("the worker notices", PATIENCE, async || {
        (cluster.worker_metric(0, "hermod_leases_lost_total").await >= 1.0
            || cluster.worker_metric(0, "hermod_stale_results_total").await >= 1.0)
            .then_some(())
    })
    .await;
    assert_eq!(cluster.api.poll(&job).await.json(), first_end, "the result is written once");
    assert_eq!(cluster.calls().iter().map(Cluster::worker_of).collect::<Vec<_>>(), [0, 1]);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn jobs_of_a_dead_worker_run_before_a_long_backlog_is_gone() {
    let mut cluster = Cluster::builder().task("hang").set("HERMOD_CONCURRENCY", 2).start().await;
    let dead = submit(&cluster, "switch/task", 2).await;
    cluster.called("hang", 2).await;
    cluster.switch("echo");
    // The other always finds more jobs than it has slots, so it never waits to be woken.
    let backlog = submit(&cluster, "demo/slow-1s", 120).await;
    cluster.add_worker().await;
    cluster.called("slow-1s", 2).await;
    drop(cluster.take_worker(0));
    all_complete(&cluster, &dead).await;
    let last = cluster.api.poll(backlog.last().unwrap()).await.json();
    assert_eq!(last["status"], "pending", "the backlog still waits");
}

#[tokio::test]
async fn a_worker_that_stops_after_an_outage_takes_no_jobs_from_others() {
    let mut cluster = Cluster::builder()
        .workers(2)
        .set("HERMOD_CONCURRENCY", 4)
        .set("HERMOD_GRACE_SECONDS", 0)
        .start()
        .await;
    let ids = submit(&cluster, "demo/slow-10s", 8).await;
    cluster.called("slow-10s", 8).await;
    // This one is idle, and takes what is released.
    cluster.set("HERMOD_CONCURRENCY", "20");
    cluster.add_worker().await;
    cluster.kill_redis();
    lasts(LEASE * 2).await;
    cluster.start_redis().await;
    // All leases have ended meanwhile, and some are not renewed yet.
    let mut stopped = cluster.take_worker(0);
    stopped.signal(Signal::TERM);
    exit_of(&mut stopped).await;
    all_complete(&cluster, &ids).await;
    assert!(cluster.calls_of("slow-10s") <= 12, "only what was released ran again");
    cluster.assert_drained().await;
}
