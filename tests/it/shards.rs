//! Jobs that are spread over shards, on one server.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hermod_tests::{Cluster, Process, Signal, eventually};
use redis::Commands;
use serde_json::json;

use crate::operator::queue;

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
        assert_eq!(cluster.ended(id).await["status"], "completed", "{id}");
    }
}

fn waiting(cluster: &Cluster, shard: u16) -> u64 {
    cluster.connect().xlen(format!("{{hermod:{shard}}}:queue")).unwrap()
}

#[tokio::test]
async fn jobs_are_spread_over_all_shards_and_all_end() {
    let cluster = Cluster::builder().workers(2).set("HERMOD_SHARDS", 4).start().await;
    let ids = submit(&cluster, "demo/echo", 200).await;
    let shards = spread(&ids);
    assert!(shards.len() == 4 && shards.values().all(|jobs| *jobs > 20), "{shards:?}");
    all_complete(&cluster, &ids).await;
    assert_eq!(cluster.calls_of("echo"), 200);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_operator_sees_all_shards_together() {
    let mut cluster = Cluster::builder()
        .workers(0)
        .set("HERMOD_SHARDS", 4)
        .set("HERMOD_QUEUE_LIMIT", 10)
        .set("HERMOD_MAX_ATTEMPTS", 1)
        .start()
        .await;
    // Each shard takes its share: a quarter of ten, rounded up.
    let mut ids = Vec::new();
    let body = json!({"model": "demo/slow-5s", "prompt": "x"}).to_string();
    eventually("every shard is full", Duration::from_secs(20), async || {
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
    assert!(text.starts_with("waiting  12\nsleeping 0\nrunning  0\ndead     0\n"), "{text}");
    let (code, text) = queue(&cluster, &["check"]).await;
    assert!(code == Some(0) && text.contains("12 records, 12 entries"), "{text}");
    assert_eq!(queue(&cluster, &["pause"]).await.0, Some(0));
    cluster.add_worker();
    cluster.add_worker();
    eventually("the workers hear it", Duration::from_secs(10), async || {
        let heard = cluster.logs.with_message("the operator has paused the queue, or resumed it");
        (heard.len() == 2).then_some(())
    })
    .await;
    assert_eq!(queue(&cluster, &["resume"]).await.0, Some(0));
    cluster.called("slow-5s", 12).await;
    eventually("both workers are seen, a line each", Duration::from_secs(10), async || {
        let (_, text) = queue(&cluster, &["stats"]).await;
        assert!(text.starts_with("waiting  0\nsleeping 0\nrunning  12\ndead     0\n"), "{text}");
        let workers = text.lines().filter(|line| line.ends_with(" ago")).count();
        assert!(workers <= 2, "{text}");
        (workers == 2).then_some(())
    })
    .await;

    while !cluster.workers.is_empty() {
        drop(cluster.take_worker(0));
    }
    cluster.add_worker();
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
    let mut cluster =
        Cluster::builder().workers(0).set("HERMOD_SHARDS", 8).set("HERMOD_CONCURRENCY", 1).start().await;
    let mut ids = submit(&cluster, "demo/slow-20ms", 120).await;
    let deepest = *spread(&ids).values().max().unwrap();
    cluster.add_worker();
    all_complete(&cluster, &ids).await;
    // In turn: while every shard had jobs, none was served twice before another was served once.
    let mut ends: Vec<(u64, u16)> = Vec::new();
    let mut redis = cluster.connect();
    for id in ids.drain(..) {
        let at: u64 = redis.hget(format!("{{hermod:{}}}:job:{id}", shard_of(&id)), "completed").unwrap();
        ends.push((at, shard_of(&id)));
    }
    ends.sort_unstable();
    let first: std::collections::BTreeSet<u16> = ends.iter().take(24).map(|(_, shard)| *shard).collect();
    assert_eq!(
        first.len(),
        8,
        "shards among the first 24 of {} jobs; deepest {deepest}: {ends:?}",
        ends.len()
    );
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_lone_job_in_any_shard_is_picked_up_at_once() {
    // The first waits with a slot for each shard, the second has too few for that, the third has one shard.
    for (shards, concurrency) in [(8, 256), (8, 1), (1, 1)] {
        let cluster = Cluster::builder()
            .set("HERMOD_SHARDS", shards)
            .set("HERMOD_CONCURRENCY", concurrency)
            .start()
            .await;
        let first = cluster.api.submit(json!({"model": "demo/echo", "prompt": "warm"})).await;
        cluster.ended(&first).await;
        let (mut slowest, mut seen) = (Duration::ZERO, std::collections::BTreeSet::new());
        for _ in 0..24 {
            let since = Instant::now();
            let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
            seen.insert(shard_of(&id));
            eventually("it has ended", Duration::from_secs(10), async || {
                (cluster.api.poll(&id).await.status == 200).then_some(())
            })
            .await;
            slowest = slowest.max(since.elapsed());
        }
        assert_eq!(seen.len(), shards, "every shard had one");
        assert!(slowest < Duration::from_millis(700), "{shards} shards, {concurrency} slots: {slowest:?}");
        cluster.assert_drained().await;
    }
}

#[tokio::test]
async fn the_number_of_shards_grows_while_jobs_wait() {
    let mut cluster = Cluster::builder().set("HERMOD_CONCURRENCY", 2).start().await;
    let mut ids = submit(&cluster, "demo/slow-50ms", 40).await;
    assert_eq!(spread(&ids).len(), 1);
    // The worker runs, and knows of one shard.
    cluster.kill_front(0);
    cluster.set("HERMOD_SHARDS", "4");
    cluster.api = cluster.add_front();
    let more = submit(&cluster, "demo/slow-50ms", 40).await;
    assert_eq!(spread(&more).len(), 4);
    ids.extend(more);
    all_complete(&cluster, &ids).await;
    // One that is set to fewer does not make the others be forgotten.
    cluster.set("HERMOD_SHARDS", "1");
    drop(cluster.take_worker(0));
    let id = loop {
        let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
        ids.push(id.clone());
        if shard_of(&id) == 3 {
            break id;
        }
    };
    cluster.add_worker();
    assert_eq!(cluster.ended(&id).await["status"], "completed");
    all_complete(&cluster, &ids).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_lost_number_of_shards_is_found_again() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_SHARDS", 4).start().await;
    let ids = submit(&cluster, "demo/echo", 40).await;
    assert_eq!(spread(&ids).len(), 4);
    let mut redis = cluster.connect();
    // Nobody who knows it lives when it is lost: the jobs themselves tell it.
    cluster.kill_front(0);
    let _: u64 = redis.del("{hermod:0}:shards").unwrap();
    cluster.set("HERMOD_SHARDS", "1");
    cluster.api = cluster.add_front();
    cluster.add_worker();
    all_complete(&cluster, &ids).await;
    // Those who know it live: they write it again.
    let known: u16 = redis.get("{hermod:0}:shards").unwrap();
    assert_eq!(known, 4);
    let _: u64 = redis.del("{hermod:0}:shards").unwrap();
    eventually("it is written again", Duration::from_secs(10), async || {
        redis.get::<_, Option<u16>>("{hermod:0}:shards").unwrap().filter(|known| *known == 4)
    })
    .await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_drain_leaves_nothing_held_in_any_shard() {
    let mut cluster = Cluster::builder()
        .set("HERMOD_SHARDS", 4)
        .set("HERMOD_CONCURRENCY", 64)
        .set("HERMOD_GRACE_SECONDS", 1)
        .start()
        .await;
    let ids = submit(&cluster, "demo/slow-3s", 40).await;
    cluster.called("slow-3s", 40).await;
    let mut worker: Process = cluster.take_worker(0);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait(Duration::from_secs(20)).unwrap().code(), Some(3), "handed back");
    let mut idle = {
        cluster.add_worker();
        all_complete(&cluster, &ids).await;
        cluster.take_worker(0)
    };
    let since = Instant::now();
    idle.signal(Signal::TERM);
    assert_eq!(idle.wait(Duration::from_secs(20)).unwrap().code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(2), "no read is waited for: {:?}", since.elapsed());
    for shard in 0..4 {
        let queue = format!("{{hermod:{shard}}}:queue");
        let groups: redis::streams::StreamInfoConsumersReply =
            cluster.connect().xinfo_consumers(&queue, "workers").unwrap();
        // The first one left before its jobs were reclaimed, so its name is still there; it holds nothing.
        assert!(groups.consumers.iter().all(|worker| worker.pending == 0), "{:?}", groups.consumers);
        assert_eq!(waiting(&cluster, shard), 0);
    }
    cluster.assert_drained().await;
}
