//! Jobs that are spread over shards, which only a Cluster has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hermod_tests::{Builder, Cluster, PATIENCE, Servers, Signal, eventually, exit_of};
use redis::Commands;
use serde_json::json;

use crate::operator::{count, queue};

/// The shard that an id names.
pub(crate) fn shard_of(id: &str) -> u16 {
    u16::from_str_radix(&id[id.len() - 4..], 16).unwrap() & 1023
}

/// Submits so many jobs, several at a time, and gives their ids.
pub(crate) async fn submit(cluster: &Cluster, model: &str, jobs: usize) -> Vec<String> {
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let (api, body) = (cluster.api.clone(), json!({"model": model, "prompt": "x"}));
        clients.spawn(async move {
            let mut ids = Vec::new();
            for _ in (client..jobs).step_by(8) {
                ids.push(api.submit(body.clone()).await);
            }
            ids
        });
    }
    clients.join_all().await.concat()
}

/// Submits at least so many jobs, and more until each of the shards has one: which one a job goes to is chance.
pub(crate) async fn submit_to_all_shards(
    cluster: &Cluster,
    model: &str,
    shards: usize,
    jobs: usize,
) -> Vec<String> {
    let mut ids = submit(cluster, model, jobs).await;
    while spread(&ids).len() < shards {
        ids.extend(submit(cluster, model, 1).await);
    }
    ids
}

/// How many of these are in each shard.
pub(crate) fn spread(ids: &[String]) -> BTreeMap<u16, usize> {
    let mut shards = BTreeMap::new();
    for id in ids {
        *shards.entry(shard_of(id)).or_default() += 1;
    }
    shards
}

pub(crate) async fn all_complete(cluster: &Cluster, ids: &[String]) {
    for id in ids {
        let job = cluster.ended(id).await;
        assert_eq!(job["status"], "completed", "{job}");
    }
}

fn builder(shards: usize) -> Builder {
    Cluster::builder().servers(Servers::Cluster).set("HERMOD_SHARDS", shards)
}

#[tokio::test]
async fn several_shards_on_one_server_are_refused() {
    let cluster = Cluster::builder().workers(0).start().await;
    for role in ["api", "worker"] {
        let (mut process, logs) = cluster.spawn(role, &[("HERMOD_SHARDS", "2")]);
        let status = eventually("it has ended", PATIENCE, async || {
            let started = logs.with_message("working").len() + logs.with_message("listening").len();
            assert_eq!(started, 0, "{role} serves two shards on one server");
            process.try_wait().unwrap()
        })
        .await;
        let said = logs.all().join("\n");
        assert!(!status.success(), "{role}: {said}");
        assert!(said.contains("HERMOD_SHARDS") && said.contains("Cluster"), "{role} says what to do: {said}");
    }
}

#[tokio::test]
async fn the_operator_sees_all_shards_together() {
    let mut cluster = builder(4)
        .task("hang")
        .workers(0)
        .set("HERMOD_QUEUE_LIMIT", 10)
        .set("HERMOD_MAX_ATTEMPTS", 1)
        .start()
        .await;
    // Each shard takes its share: a quarter of ten, rounded up.
    let mut ids = Vec::new();
    let body = json!({"model": "switch/task", "prompt": "x"}).to_string();
    eventually("every shard is full", PATIENCE, async || {
        let answer = cluster.api.post(body.clone()).await;
        match answer.status {
            202 => ids.push(answer.json()["id"].as_str().unwrap().to_owned()),
            status => assert_eq!(status, 429),
        }
        (ids.len() == 12).then_some(())
    })
    .await;
    for _ in 0..8 {
        assert_eq!(cluster.api.post(body.clone()).await.status, 429);
    }
    let (_, text) = queue(&cluster, &["stats"]).await;
    assert_eq!((count(&text, "waiting"), count(&text, "running")), (12, 0), "{text}");
    let (code, text) = queue(&cluster, &["check"]).await;
    assert!(code == Some(0) && text.contains("12 records, 12 entries"), "{text}");
    assert_eq!(queue(&cluster, &["pause"]).await.0, Some(0));
    cluster.add_worker().await;
    cluster.add_worker().await;
    eventually("the workers hear it", PATIENCE, async || {
        let heard = cluster.logs.with_message("the operator has paused the queue, or resumed it");
        (heard.len() == 2).then_some(())
    })
    .await;
    assert_eq!(queue(&cluster, &["resume"]).await.0, Some(0));
    // They hang, so that they run for as long as it takes to look.
    cluster.called("hang", 12).await;
    let (_, text) = queue(&cluster, &["stats"]).await;
    assert_eq!((count(&text, "waiting"), count(&text, "running")), (0, 12), "{text}");
    let workers: Vec<&str> = text.lines().filter(|line| line.ends_with(" ago")).collect();
    let names: BTreeSet<_> = workers.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(!names.is_empty() && names.len() == workers.len(), "a line for each worker: {text}");

    while !cluster.workers.is_empty() {
        drop(cluster.take_worker(0));
    }
    cluster.switch("echo");
    cluster.add_worker().await;
    for id in &ids {
        assert_eq!(cluster.ended(id).await["status_code"], 500, "given up on");
    }
    let (_, text) = queue(&cluster, &["dead", "list"]).await;
    assert!(ids.iter().all(|id| text.contains(id)), "{text}");
    let requeue: Vec<&str> = ["dead", "requeue"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    assert_eq!(queue(&cluster, &requeue).await.0, Some(0));
    all_complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn one_slot_serves_eight_shards_in_turn() {
    let mut cluster = builder(8).workers(0).set("HERMOD_CONCURRENCY", 1).start().await;
    let ids = submit_to_all_shards(&cluster, "demo/slow-20ms", 8, 120).await;
    cluster.add_worker().await;
    // In turn: all shards are served before the first half of the jobs has ended.
    let mut ends: Vec<(String, u16)> = Vec::new();
    for id in &ids {
        let job = cluster.ended(id).await;
        assert_eq!(job["status"], "completed", "{job}");
        ends.push((job["completed_at"].as_str().unwrap().to_owned(), shard_of(id)));
    }
    ends.sort_unstable();
    let first: BTreeSet<u16> = ends.iter().take(ends.len() / 2).map(|(_, shard)| *shard).collect();
    assert_eq!(first.len(), 8, "{ends:?}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_lone_job_in_any_shard_is_picked_up_at_once() {
    // The first has slots for all shards, the second has fewer than shards, the third has one shard.
    for (shards, concurrency) in [(8, 256), (8, 1), (1, 1)] {
        let cluster = builder(shards).set("HERMOD_CONCURRENCY", concurrency).start().await;
        let first = cluster.api.submit(json!({"model": "demo/echo", "prompt": "warm"})).await;
        cluster.ended(&first).await;
        let (mut times, mut seen) = (Vec::new(), BTreeSet::new());
        while times.len() < 24 || seen.len() < shards {
            let since = Instant::now();
            let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
            seen.insert(shard_of(&id));
            cluster.ended(&id).await;
            times.push(since.elapsed());
        }
        // Half of them may be slow, as on a busy machine. A worker that looked now and then, and was not woken, would
        // be slow for all.
        times.sort_unstable();
        let median = times[times.len() / 2];
        assert!(median < Duration::from_secs(1), "{shards} shards, {concurrency} slots: {times:?}");
        cluster.assert_drained().await;
    }
}

#[tokio::test]
async fn the_number_of_shards_grows_while_jobs_wait() {
    let mut cluster = builder(1).set("HERMOD_CONCURRENCY", 2).start().await;
    let mut ids = submit(&cluster, "demo/slow-50ms", 40).await;
    assert_eq!(spread(&ids).len(), 1);
    // The worker runs, and knows of one shard.
    cluster.kill_api(0);
    cluster.set("HERMOD_SHARDS", "4");
    cluster.api = cluster.add_api().await;
    ids.extend(submit_to_all_shards(&cluster, "demo/slow-50ms", 4, 40).await);
    all_complete(&cluster, &ids).await;
    // One that is set to fewer does not make the others be forgotten.
    cluster.set("HERMOD_SHARDS", "1");
    drop(cluster.take_worker(0));
    let more = submit_to_all_shards(&cluster, "demo/echo", 4, 1).await;
    cluster.add_worker().await;
    all_complete(&cluster, &more).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_lost_number_of_shards_is_found_again() {
    const SHARDS: &str = "{hermod:0}:shards";
    let mut cluster = builder(4).workers(0).start().await;
    let ids = submit_to_all_shards(&cluster, "demo/echo", 4, 40).await;
    let nodes = cluster.redis_cluster();
    let mut redis = nodes.0[nodes.node_of(0)].connect();
    // Nobody who knows it lives when it is lost: the jobs themselves tell it.
    cluster.kill_api(0);
    let _: u64 = redis.del(SHARDS).unwrap();
    cluster.set("HERMOD_SHARDS", "1");
    cluster.api = cluster.add_api().await;
    cluster.add_worker().await;
    all_complete(&cluster, &ids).await;
    // Those who know it live: they write it again.
    let known: u16 = redis.get(SHARDS).unwrap();
    assert_eq!(known, 4);
    let _: u64 = redis.del(SHARDS).unwrap();
    eventually("it is written again", PATIENCE, async || {
        redis.get::<_, Option<u16>>(SHARDS).unwrap().filter(|known| *known == 4)
    })
    .await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_idle_worker_of_many_shards_leaves_all_of_them() {
    let mut cluster = builder(4).start().await;
    let ids = submit_to_all_shards(&cluster, "demo/echo", 4, 1).await;
    all_complete(&cluster, &ids).await;
    let mut idle = cluster.take_worker(0);
    idle.signal(Signal::TERM);
    assert_eq!(exit_of(&mut idle).await.code(), Some(0));
    for mut node in cluster.connections() {
        for queue in node.keys::<_, Vec<String>>("{hermod:*}:queue").unwrap() {
            let group: redis::streams::StreamInfoConsumersReply =
                node.xinfo_consumers(&queue, "workers").unwrap();
            assert!(group.consumers.is_empty(), "{queue}: {:?}", group.consumers);
        }
    }
    cluster.assert_drained().await;
}
