//! Jobs that wait for a retry: they are nobody's meanwhile, use no slot, and run at their time, whatever Redis they are in.

use hermod_tests::{Builder, Cluster, PATIENCE, Servers, eventually};
use redis::Commands;
use serde_json::{Value, json};

use crate::shards::{shard_of, spread, submit_to_all_shards};

/// One retry, which the provider wants to be seven seconds later.
const MODEL: &str = "patient/retry-after-7";

fn builder() -> Builder {
    Cluster::builder().config(json!({"providers": {"patient": {
        "network_config": {"max_retries": 1},
        "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
    }}}))
}

/// How many jobs are delayed, in all shards.
fn delayed(cluster: &Cluster) -> usize {
    let of = |mut redis: redis::Connection| {
        let sets: Vec<String> = redis.keys("{hermod:*}:delayed").unwrap();
        sets.iter().map(|set| redis.zcard::<_, usize>(set).unwrap()).sum::<usize>()
    };
    cluster.connections().into_iter().map(of).sum()
}

async fn all_delayed(cluster: &Cluster, jobs: usize) {
    eventually(&format!("{jobs} jobs are delayed"), PATIENCE, async || {
        (delayed(cluster) == jobs).then_some(())
    })
    .await;
}

async fn all_were_tried_twice(cluster: &Cluster, ids: &[String]) {
    for id in ids {
        let job: Value = cluster.ended(id).await;
        let attempts = job["error"]["extra_fields"]["attempts"].as_array().map(Vec::len);
        assert_eq!((&job["status_code"], attempts), (&json!(503), Some(2)), "shard {}: {job}", shard_of(id));
    }
    assert_eq!(cluster.calls_of("retry-after-7"), 2 * ids.len());
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_delayed_job_runs_at_its_time_in_each_of_eight_shards() {
    let cluster = builder().servers(Servers::Cluster).set("HERMOD_SHARDS", 8).workers(2).start().await;
    let ids = submit_to_all_shards(&cluster, MODEL, 8, 24).await;
    all_were_tried_twice(&cluster, &ids).await;
    assert_eq!(spread(&ids).len(), 8);
}

#[tokio::test]
async fn a_delayed_job_survives_the_failover_of_its_primary() {
    let mut cluster = builder().servers(Servers::Sentinel).workers(2).start().await;
    let ids = submit_to_all_shards(&cluster, MODEL, 1, 8).await;
    all_delayed(&cluster, ids.len()).await;
    let nodes = cluster.redis_sentinel();
    nodes.replica_has_all().await;
    let new = nodes.servers[1].port;
    nodes.servers[0].kill();
    eventually("the replica is the primary", PATIENCE, async || {
        (cluster.redis_sentinel().primary_port() == new).then_some(())
    })
    .await;
    all_were_tried_twice(&cluster, &ids).await;
}

#[tokio::test]
async fn delayed_jobs_survive_all_workers() {
    let mut cluster = builder().workers(2).start().await;
    let ids = submit_to_all_shards(&cluster, MODEL, 1, 8).await;
    all_delayed(&cluster, ids.len()).await;
    for id in &ids {
        assert_eq!(cluster.api.poll(id).await.json()["status"], "pending");
    }
    while !cluster.workers.is_empty() {
        drop(cluster.take_worker(0));
    }
    cluster.add_worker().await;
    all_were_tried_twice(&cluster, &ids).await;
}

#[tokio::test]
async fn delayed_jobs_survive_redis() {
    let mut cluster = builder().start().await;
    let ids = submit_to_all_shards(&cluster, MODEL, 1, 8).await;
    all_delayed(&cluster, ids.len()).await;
    cluster.kill_redis();
    cluster.start_redis().await;
    all_were_tried_twice(&cluster, &ids).await;
}
