//! Lanes amid faults: no job is lost in one, whatever dies, and whatever else is written to Redis.

use std::time::Duration;

use hermod_queue::{Admin, Share};
use hermod_tests::{Cluster, PATIENCE, Servers, Signal, eventually, lasts};
use redis::Commands;
use serde_json::{Value, json};

use crate::lanes::{Lab, of_priority};
use crate::shards::all_complete;

fn keys() -> Value {
    let key = |number: usize| {
        json!({"id": format!("vk-{number}"), "name": format!("key {number}"), "value": format!("sk-bf-{number}"),
            "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]})
    };
    json!({"governance": {"virtual_keys": (0..3).map(key).collect::<Vec<_>>()}})
}

/// Submits jobs of three keys in turn.
async fn submit(cluster: &Cluster, jobs: usize) -> Vec<(String, usize)> {
    let mut ids = Vec::new();
    for number in 0..jobs {
        let request = cluster.api.submission(r#"{"model":"demo/slow-20ms","prompt":"x"}"#);
        let request = request.header("x-bf-vk", format!("sk-bf-{}", number % 3));
        let answer = cluster.api.send(request.header("x-hermod-priority", number % 5 + 1)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.push((answer.json()["id"].as_str().unwrap().to_owned(), number % 3));
    }
    ids
}

async fn complete(cluster: &Cluster, ids: &[(String, usize)]) {
    for (id, key) in ids {
        eventually("a job has completed", PATIENCE, async || {
            let poll = cluster.api.request_poll(id).header("x-bf-vk", format!("sk-bf-{key}"));
            let answer = cluster.api.send(poll).await;
            (answer.status == 200).then(|| assert_eq!(answer.json()["status"], "completed", "{answer:?}"))
        })
        .await;
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_while_it_claims_loses_nothing() {
    let mut cluster = Cluster::builder().config(keys()).set("HERMOD_CONCURRENCY", 8).workers(2).start().await;
    let mut ids = submit(&cluster, 60).await;
    for _ in 0..4 {
        cluster.take_worker(0).signal(Signal::KILL);
        cluster.add_worker().await;
        ids.extend(submit(&cluster, 60).await);
    }
    complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn lanes_are_in_each_shard_of_a_cluster() {
    let mut cluster = Cluster::builder()
        .config(keys())
        .servers(Servers::Cluster)
        .set("HERMOD_SHARDS", 16)
        .set("HERMOD_CONCURRENCY", 4)
        .workers(0)
        .start()
        .await;
    let ids = submit(&cluster, 160).await;
    cluster.add_worker().await;
    cluster.add_worker().await;
    complete(&cluster, &ids).await;
    assert_eq!(cluster.calls().len(), ids.len());
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_somebody_else_did_to_lanes_is_mended() {
    let lab = Lab::start().await;
    for _ in 0..3 {
        lab.submit("a", of_priority(4)).await;
        lab.submit("b", of_priority(4)).await;
    }
    let admin = Admin::new(&lab.store);
    assert!(admin.check(false).await.unwrap().agree());
    let mut redis = lab.cluster.connect();
    let lanes: u64 = redis.del("{hermod:0}:lanes").unwrap();
    let _: () = redis.set("{hermod:0}:laned", 700).unwrap();
    let _: u64 = redis.zadd("{hermod:0}:closed", "nobody", 1).unwrap();
    assert_eq!(lanes, 1);
    let found = admin.check(false).await.unwrap();
    assert_eq!((found.laned, found.records_without_entry, found.lanes_miscounted), (0, 5, 1), "{found:?}");
    let mended = admin.check(true).await.unwrap();
    assert!(!mended.agree());
    let after = admin.check(true).await.unwrap();
    assert!(after.agree() && after.laned == 5, "{after:?}");
    let mut lab = lab;
    assert_eq!(lab.claim(64).await.len(), 6);
    assert!(lab.lane_keys().is_empty(), "{:?}", lab.lane_keys());
}

#[tokio::test]
async fn what_is_no_lane_holds_up_nobody() {
    let mut lab = Lab::start().await;
    lab.begin().await;
    let mut redis = lab.cluster.connect();
    let _: () = redis.set("{hermod:0}:lane:a", "x").unwrap();
    let _: u64 = redis.zadd("{hermod:0}:lanes", "a", -5).unwrap();
    let _: u64 = redis.zadd("{hermod:0}:lane:c", "no job", 1).unwrap();
    let _: u64 = redis.zadd("{hermod:0}:lanes", "c", -4).unwrap();
    lab.submit("a", Share::default()).await;
    lab.submit("b", Share::default()).await;
    let mut owners = lab.owners(2, 8).await;
    owners.sort();
    assert_eq!(owners, ["a", "b"]);
}

#[tokio::test]
async fn jobs_end_while_connections_break() {
    let mut cluster = Cluster::builder().proxied().set("HERMOD_CONCURRENCY", 4).workers(0).start().await;
    let ids = crate::shards::submit(&cluster, "demo/slow-20ms", 100).await;
    cluster.add_worker().await;
    for _ in 0..10 {
        lasts(Duration::from_millis(100)).await;
        cluster.cut_links();
    }
    all_complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}
