//! Who waits hears of the end whatever happens to Redis meanwhile.

use std::time::Duration;

use hermod_tests::{Cluster, Gate, PATIENCE, Proxy, Servers, eventually, lasts};
use redis::Commands;

use crate::shards::{all_complete, shard_of, spread, submit_to_all_shards};
use crate::waiting::{applied, channels, gated, polls_that_wait, waiting};

#[tokio::test]
async fn a_wait_goes_on_while_links_break() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).proxied().apis(2).start().await;
    let apis = cluster.apis.read().unwrap().clone();
    let ids = [cluster.api.submit(gated()).await, cluster.api.submit(gated()).await];
    let mut waits = Vec::new();
    for api in &apis {
        for id in &ids {
            waits.extend((0..5).map(|_| waiting(api, api.request_poll(id), 60)));
        }
        waits.push(waiting(api, api.submission(gated().to_string()), 60));
    }
    eventually("all run", PATIENCE, async || (gate.arrived() == 4).then_some(())).await;
    let mut redis = cluster.connect();
    for _ in 0..5 {
        cluster.api_links.iter().for_each(Proxy::cut);
        eventually("they listen again", PATIENCE, async || {
            let listeners: Vec<(String, u64)> =
                redis::cmd("PUBSUB").arg("SHARDNUMSUB").arg("{hermod:0}:events").query(&mut redis).unwrap();
            (listeners[0].1 == 2).then_some(())
        })
        .await;
    }
    // What is told while nobody can listen is lost.
    cluster.api_links.iter().for_each(|link| link.block(true));
    cluster.api_links.iter().for_each(Proxy::cut);
    gate.open();
    let mut ended = cluster.connect();
    eventually("all have ended", PATIENCE, async || {
        let length: u64 = ended.xlen("{hermod:0}:queue").unwrap();
        (length == 0).then_some(())
    })
    .await;
    assert!(waits.iter().all(|wait| !wait.is_finished()));
    cluster.api_links.iter().for_each(|link| link.block(false));
    for wait in waits {
        let answer = wait.await.unwrap();
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("completed")));
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_connection_that_dies_without_a_word_is_found_out() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).proxied().start().await;
    let id = cluster.api.submit(gated()).await;
    let wait = polls_that_wait(&cluster, &id, 1, 60).await.remove(0);
    cluster.api_links[0].block(true);
    // Longer than an answer may take: what was sent over the old connection is given up.
    lasts(Duration::from_secs(7)).await;
    gate.open();
    let mut redis = cluster.connect();
    eventually("it has ended", PATIENCE, async || {
        redis.hexists::<_, _, bool>(format!("{{hermod:0}}:job:{id}"), "code").unwrap().then_some(())
    })
    .await;
    assert!(!wait.is_finished());
    cluster.api_links[0].block(false);
    assert_eq!(wait.await.unwrap().status, 200);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_wait_outlives_redis() {
    let gate = Gate::start();
    let mut cluster = Cluster::builder().config(gate.config()).start().await;
    let id = cluster.api.submit(gated()).await;
    eventually("it runs", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    let wait = polls_that_wait(&cluster, &id, 1, 60).await.remove(0);
    let submit = waiting(&cluster.api, cluster.api.submission(gated().to_string()), 60);
    eventually("both run", PATIENCE, async || (gate.arrived() == 2).then_some(())).await;
    let short = polls_that_wait(&cluster, &id, 1, 3).await.remove(0);
    let short_submit = waiting(&cluster.api, cluster.api.submission(gated().to_string()), 3);
    eventually("all run", PATIENCE, async || (gate.arrived() == 3).then_some(())).await;
    cluster.kill_redis();
    let unseen = waiting(&cluster.api, cluster.api.request_poll(&id), 60).await.unwrap();
    unseen.error(503);
    for seen in [short, short_submit] {
        let seen = seen.await.unwrap();
        assert_eq!(seen.status, 202, "{seen:?}");
        applied(&seen, 3);
    }
    gate.open();
    cluster.start_redis().await;
    for wait in [wait, submit] {
        let answer = wait.await.unwrap();
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("completed")));
    }
    eventually("the last one has ended", PATIENCE, async || {
        let length: u64 = cluster.connect().xlen("{hermod:0}:queue").unwrap();
        (length == 0).then_some(())
    })
    .await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn jobs_of_all_shards_are_waited_for() {
    let gate = Gate::start();
    let mut cluster = Cluster::builder()
        .servers(Servers::Cluster)
        .set("HERMOD_SHARDS", 6)
        .config(gate.config())
        .apis(2)
        .start()
        .await;
    let ids = submit_to_all_shards(&cluster, "gate/x", 6, 24).await;
    eventually("all run", PATIENCE, async || (gate.arrived() == ids.len()).then_some(())).await;
    let apis = cluster.apis.read().unwrap().clone();
    let wait_for_all = || {
        let waits = apis.iter().flat_map(|api| ids.iter().map(|id| waiting(api, api.request_poll(id), 60)));
        waits.collect::<Vec<_>>()
    };
    let waits = wait_for_all();
    let shards = spread(&ids).len();
    eventually("all shards are listened to", PATIENCE, async || {
        let listened: usize = cluster.connections().iter_mut().map(|redis| channels(redis).len()).sum();
        (listened == shards).then_some(())
    })
    .await;
    // One of them moves, and is listened to where it is now.
    let shard = shard_of(&ids[0]);
    let nodes = cluster.redis_cluster();
    let to = (nodes.node_of(shard) + 1) % 3;
    nodes.migrate(shard, to).await;
    let channel = format!("{{hermod:{shard}}}:events");
    let mut home = cluster.redis_cluster().0[to].connect();
    eventually("it is listened to in its new place", PATIENCE, async || {
        channels(&mut home).contains(&channel).then_some(())
    })
    .await;
    gate.open();
    for wait in waits {
        let answer = wait.await.unwrap();
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("completed")), "{answer:?}");
    }
    all_complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_wait_outlives_a_failover() {
    let gate = Gate::start();
    let mut cluster = Cluster::builder().servers(Servers::Sentinel).config(gate.config()).start().await;
    let id = cluster.api.submit(gated()).await;
    eventually("it runs", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    let wait = waiting(&cluster.api, cluster.api.request_poll(&id), 60);
    let mut old = cluster.redis_sentinel().servers[0].connect();
    eventually("somebody listens", PATIENCE, async || (!channels(&mut old).is_empty()).then_some(())).await;
    cluster.redis_sentinel().replica_has_all().await;
    cluster.redis_sentinel().servers[0].kill();
    eventually("the new primary is listened to", PATIENCE, async || {
        // A replica that becomes the primary cuts its clients off.
        let mut new = cluster.redis_sentinel().servers[1].connect();
        let listened: redis::RedisResult<Vec<String>> =
            redis::cmd("PUBSUB").arg("SHARDCHANNELS").query(&mut new);
        (!listened.ok()?.is_empty()).then_some(())
    })
    .await;
    gate.open();
    let answer = wait.await.unwrap();
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("completed")), "{answer:?}");
    cluster.assert_drained().await;
}
