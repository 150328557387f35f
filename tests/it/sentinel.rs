//! A primary, its replica, and a Sentinel that puts the one in the place of the other.

use hermod_tests::{Cluster, PATIENCE, Servers, eventually};
use serde_json::json;

use crate::shards::{all_complete, submit};

#[tokio::test]
async fn jobs_end_under_a_sentinel() {
    let cluster = Cluster::builder().servers(Servers::Sentinel).workers(2).start().await;
    let ids = submit(&cluster, "demo/echo", 40).await;
    all_complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn after_a_failover_jobs_are_accepted_and_end() {
    let mut cluster = Cluster::builder().servers(Servers::Sentinel).workers(2).start().await;
    let mut ids = submit(&cluster, "demo/slow-1s", 40).await;
    let nodes = cluster.redis_sentinel();
    let (old, new) = (nodes.servers[0].port, nodes.servers[1].port);
    assert_eq!(nodes.primary_port(), old);
    nodes.replica_has_all().await;
    nodes.servers[0].kill();
    eventually("the replica is the primary", PATIENCE, async || {
        (cluster.redis_sentinel().primary_port() == new).then_some(())
    })
    .await;
    eventually("a job is accepted", PATIENCE, async || {
        let answer = cluster.api.post(json!({"model": "demo/echo", "prompt": "x"}).to_string()).await;
        (answer.status == 202).then(|| ids.push(answer.json()["id"].as_str().unwrap().to_owned()))
    })
    .await;
    // What the replica had been sent is all there.
    all_complete(&cluster, &ids).await;
    assert_eq!(cluster.api.get("/readyz").await.status, 200);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_is_left() {
    let mut cluster = Cluster::builder().servers(Servers::Sentinel).workers(1).start().await;
    let ids = submit(&cluster, "demo/slow-1s", 20).await;
    let old = cluster.redis_sentinel().primary_port();
    cluster.redis_sentinel().fail_over();
    eventually("the other is the primary", PATIENCE, async || {
        (cluster.redis_sentinel().primary_port() != old).then_some(())
    })
    .await;
    eventually("the old one follows it", PATIENCE, async || {
        let info: String = redis::cmd("INFO")
            .arg("replication")
            .query(&mut cluster.redis_sentinel().servers[0].connect())
            .ok()?;
        info.contains("role:slave").then_some(())
    })
    .await;
    let more = eventually("jobs are accepted", PATIENCE, async || {
        let answer = cluster.api.post(json!({"model": "demo/echo", "prompt": "x"}).to_string()).await;
        (answer.status == 202).then(|| answer.json()["id"].as_str().unwrap().to_owned())
    })
    .await;
    all_complete(&cluster, &[more]).await;
    all_complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}
