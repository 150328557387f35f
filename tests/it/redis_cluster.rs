//! A Redis Cluster of three nodes.

use hermod_tests::{Builder, Cluster, PATIENCE, Servers, Signal, eventually, exit_of};
use serde_json::json;
use std::collections::BTreeSet;

use crate::shards::{all_complete, shard_of, spread, submit, submit_to_all_shards};

fn builder() -> Builder {
    Cluster::builder().servers(Servers::Cluster).set("HERMOD_SHARDS", 6)
}

/// The shards that each node holds.
fn shards_of_nodes(cluster: &mut Cluster) -> Vec<BTreeSet<u16>> {
    let nodes = cluster.redis_cluster();
    let mut shards = vec![BTreeSet::new(); nodes.0.len()];
    for shard in 0..6 {
        shards[nodes.node_of(shard)].insert(shard);
    }
    shards
}

#[tokio::test]
async fn jobs_of_all_shards_end_and_a_poll_finds_them() {
    let mut cluster = builder().workers(2).start().await;
    let ids = submit_to_all_shards(&cluster, "demo/echo", 6, 100).await;
    all_complete(&cluster, &ids).await;
    assert_eq!(cluster.calls_of("echo"), ids.len());
    let nodes = shards_of_nodes(&mut cluster);
    assert!(nodes.iter().all(|shards| !shards.is_empty()), "each node has its share: {nodes:?}");
    assert_eq!(cluster.api.get("/readyz").await.status, 200);
    let metrics = cluster.api.get("/metrics").await.text;
    assert!(metrics.contains("hermod_queue_waiting 0"), "{metrics}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_drain_ends_the_reads_on_all_nodes_and_releases_jobs_in_all_shards() {
    let mut cluster = builder().task("hang").set("HERMOD_GRACE_SECONDS", 1).start().await;
    let ids = submit_to_all_shards(&cluster, "switch/task", 6, 20).await;
    cluster.called("hang", ids.len()).await;
    let mut worker = cluster.take_worker(0);
    worker.signal(Signal::TERM);
    assert_eq!(exit_of(&mut worker).await.code(), Some(3), "released");
    cluster.switch("echo");
    cluster.add_worker().await;
    all_complete(&cluster, &ids).await;
    let mut idle = cluster.take_worker(0);
    idle.signal(Signal::TERM);
    assert_eq!(exit_of(&mut idle).await.code(), Some(0));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn jobs_survive_a_node_that_is_killed_and_started_again() {
    let mut cluster = builder().workers(2).start().await;
    let mut ids = submit(&cluster, "demo/slow-1s", 60).await;
    let victim = cluster.redis_cluster().node_of(shard_of(&ids[0]));
    cluster.redis_cluster().0[victim].kill();
    eventually("the API is not ready", PATIENCE, async || {
        (cluster.api.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(cluster.api.poll(&ids[0]).await.status, 503, "its node is away");
    cluster.redis_cluster().0[victim].restart().await;
    eventually("the API is ready", PATIENCE, async || {
        (cluster.api.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    eventually("jobs are accepted in each shard", PATIENCE, async || {
        let answer = cluster.api.post(json!({"model": "demo/echo", "prompt": "x"}).to_string()).await;
        if answer.status == 202 {
            ids.push(answer.json()["id"].as_str().unwrap().to_owned());
        }
        (spread(&ids[60..]).len() == 6).then_some(())
    })
    .await;
    all_complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_is_replaced_in_every_shard() {
    let mut cluster = builder().task("hang").start().await;
    let ids = submit_to_all_shards(&cluster, "switch/task", 6, 20).await;
    cluster.called("hang", ids.len()).await;
    drop(cluster.take_worker(0));
    cluster.switch("echo");
    cluster.add_worker().await;
    all_complete(&cluster, &ids).await;
    assert_eq!((cluster.calls_of("hang"), cluster.calls_of("echo")), (ids.len(), ids.len()));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_is_ready_however_many_shards_it_serves() {
    for shards in [8, 16] {
        let cluster = builder().set("HERMOD_SHARDS", shards).workers(2).start().await;
        let ids = submit_to_all_shards(&cluster, "demo/echo", shards, 1).await;
        all_complete(&cluster, &ids).await;
        // Not once, but from now on: what is short of connections is ready at first.
        for _ in 0..20 {
            for worker in &cluster.worker_ports {
                let answer = worker.get("/readyz").await;
                assert_eq!(answer.status, 200, "{shards} shards: {}", answer.text);
            }
            cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
        }
        cluster.assert_drained().await;
    }
}

#[tokio::test]
async fn a_shard_that_moves_to_another_node_takes_its_jobs_along() {
    let mut cluster = builder().workers(2).start().await;
    let ids = submit(&cluster, "demo/slow-1s", 60).await;
    let shard = shard_of(&ids[0]);
    let (from, to) = {
        let nodes = cluster.redis_cluster();
        let from = nodes.node_of(shard);
        let to = (from + 1) % 3;
        nodes.migrate(shard, to).await;
        assert_eq!(nodes.node_of(shard), to);
        (from, to)
    };
    assert_ne!(from, to);
    all_complete(&cluster, &ids).await;
    let more = submit_to_all_shards(&cluster, "demo/echo", 6, 20).await;
    all_complete(&cluster, &more).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn each_node_is_judged() {
    let mut cluster = builder().workers(0).start().await;
    let mut node = cluster.redis_cluster().0[1].connect();
    redis::cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("allkeys-lru").exec(&mut node).unwrap();
    let (mut process, logs) = cluster.spawn("worker", &[]);
    let status = exit_of(&mut process).await;
    assert!(!status.success() && logs.all().join("\n").contains("maxmemory-policy allkeys-lru"));
}

#[tokio::test]
async fn a_node_that_hangs_holds_up_its_own_shards_only() {
    let mut cluster = builder().workers(1).start().await;
    let mut ids = submit(&cluster, "demo/echo", 60).await;
    all_complete(&cluster, &ids).await;
    let hung = cluster.redis_cluster().node_of(1);
    let away = shards_of_nodes(&mut cluster)[hung].clone();
    for node in &cluster.redis_cluster().0 {
        let mut node = node.connect();
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("cluster-require-full-coverage")
            .arg("no")
            .exec(&mut node)
            .unwrap();
    }
    let node = cluster.redis_cluster().0[hung].server.as_mut().unwrap();
    node.process.signal(Signal::STOP);
    let mut others = Vec::new();
    eventually("jobs of the other nodes are accepted", PATIENCE, async || {
        let answer = cluster.api.post(json!({"model": "demo/echo", "prompt": "x"}).to_string()).await;
        if answer.status == 202 {
            others.push(answer.json()["id"].as_str().unwrap().to_owned());
        }
        (others.len() == 30).then_some(())
    })
    .await;
    assert!(others.iter().all(|id| !away.contains(&shard_of(id))), "its node hangs");
    all_complete(&cluster, &others).await;
    ids.extend(others);
    cluster.redis_cluster().0[hung].server.as_mut().unwrap().process.signal(Signal::CONT);
    eventually("its shards take jobs again", PATIENCE, async || {
        let answer = cluster.api.post(json!({"model": "demo/echo", "prompt": "x"}).to_string()).await;
        let id = (answer.status == 202).then(|| answer.json()["id"].as_str().unwrap().to_owned())?;
        ids.push(id.clone());
        away.contains(&shard_of(&id)).then_some(())
    })
    .await;
    all_complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}
