//! How many jobs wait before one: what a poll says of it.

use hermod_tests::{Cluster, PATIENCE, Servers, eventually};
use serde_json::json;

use crate::shards;

const POSITION: &str = "x-hermod-queue-position";

async fn position(cluster: &Cluster, id: &str) -> String {
    let answer = cluster.api.poll(id).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header(POSITION).to_owned()
}

/// Waits until a job has this position.
async fn has(cluster: &Cluster, id: &str, wanted: &str) {
    eventually(&format!("position {wanted:?}"), PATIENCE, async || {
        (position(cluster, id).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_poll_tells_how_many_jobs_wait_before() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_CONCURRENCY", 2).task("hang").start().await;
    let mut ids = Vec::new();
    for wanted in 0..5 {
        ids.push(cluster.api.submit(json!({"model": "switch/task", "prompt": "x"})).await);
        has(&cluster, ids.last().unwrap(), &wanted.to_string()).await;
    }
    // Two run now: they have no position, and no longer count.
    cluster.add_worker().await;
    cluster.called("hang", 2).await;
    for (id, wanted) in ids.iter().zip(["", "", "0", "1", "2"]) {
        has(&cluster, id, wanted).await;
    }
    let path = format!("/v1/async/completions/{}", ids[2]);
    let cancelled = cluster.api.send(cluster.api.request(reqwest::Method::DELETE, &path)).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    has(&cluster, &ids[4], "1").await;
    let ended = cluster.api.poll(&ids[2]).await;
    assert_eq!((ended.status, ended.header(POSITION)), (200, ""));
}

#[tokio::test]
async fn a_position_is_exact_up_to_a_thousand() {
    let cluster = Cluster::builder().workers(0).start().await;
    let mut first = shards::submit(&cluster, "demo/echo", 1000).await;
    let more = [1000, 1001].map(async |_| shards::submit(&cluster, "demo/echo", 1).await.remove(0));
    let [at_thousand, beyond] = more;
    let (at_thousand, beyond) = (at_thousand.await, beyond.await);
    has(&cluster, &at_thousand, "1000").await;
    has(&cluster, &beyond, ">1000").await;
    // Eight submitted at once, and each in its turn.
    let mut positions = Vec::new();
    for id in first.drain(..20) {
        positions.push(position(&cluster, &id).await.parse::<usize>().unwrap());
    }
    assert!(positions.is_sorted() && positions[0] < 8, "{positions:?}");
}

#[tokio::test]
async fn with_several_shards_there_is_no_position() {
    let cluster =
        Cluster::builder().servers(Servers::Cluster).set("HERMOD_SHARDS", 4).workers(0).start().await;
    for id in shards::submit(&cluster, "demo/echo", 8).await {
        assert_eq!(position(&cluster, &id).await, "");
    }
}
