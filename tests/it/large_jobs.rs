//! Large bodies and outcomes, and Redis's limits on them: each is its own job's matter.

use std::time::Duration;

use hermod_tests::{Cluster, PATIENCE, eventually, lasts};
use redis::{Commands, Connection};
use serde_json::{Value, json};

use crate::operator::queue;

const MIB: usize = 1 << 20;

fn body(bytes: usize) -> Value {
    json!({"model": "demo/empty", "prompt": "x".repeat(bytes)})
}

#[tokio::test]
async fn many_large_bodies_on_a_slow_link_all_run_and_cost_no_attempt() {
    let mut cluster = Cluster::builder().proxied().workers(0).set("HERMOD_MAX_ATTEMPTS", 1).start().await;
    let mut ids = Vec::new();
    for _ in 0..32 {
        ids.push(cluster.api.submit(body(2 * MIB)).await);
    }
    assert_eq!(queue(&cluster, &["pause"]).await.0, Some(0));
    cluster.add_worker().await;
    // All of them together take 8 s, each for itself a quarter of a second.
    cluster.worker_links[0].narrow(Some(u32::try_from(8 * MIB).unwrap()));
    assert_eq!(queue(&cluster, &["resume"]).await.0, Some(0));
    for id in &ids {
        let job = cluster.api.ended(id, 2 * PATIENCE).await;
        assert_eq!(job["status"], "completed", "{job}");
    }
    assert_eq!(cluster.calls().len(), 32, "none was started twice");
    cluster.worker_links[0].narrow(None);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_largest_bodies_of_a_whole_batch_all_run() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_ATTEMPTS", 1).start().await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(cluster.api.submit(body(10 * MIB - 1000)).await);
    }
    cluster.add_worker().await;
    for id in &ids {
        let job = cluster.api.ended(id, 2 * PATIENCE).await;
        assert_eq!(job["status"], "completed", "{job}");
    }
    assert_eq!(cluster.calls_of("empty"), 12);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn damaged_records_among_many_cost_the_others_nothing() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_ATTEMPTS", 1).start().await;
    let mut ids = Vec::new();
    for number in 0..64 {
        ids.push(cluster.api.submit(body(if number == 7 { 50_000 } else { 10 })).await);
    }
    let mut redis = cluster.connect();
    // A body that is no string, and a request that is no text.
    let large = format!("{{hermod:0}}:body:{}", ids[7]);
    let _: u64 = redis.del(&large).unwrap();
    let _: u64 = redis.lpush(&large, "x").unwrap();
    let _: u64 = redis.hset(format!("{{hermod:0}}:job:{}", ids[21]), "request", b"\xff\xfe\n{\xff}").unwrap();
    cluster.add_worker().await;
    for (number, id) in ids.iter().enumerate() {
        let job = cluster.ended(id).await;
        let is_damaged = [7, 21].contains(&number);
        assert_eq!(job["status"], if is_damaged { "failed" } else { "completed" }, "{number}: {job}");
    }
    assert_eq!(cluster.calls().len(), 62);
    let is_there: bool = redis.exists(&large).unwrap();
    assert!(!is_there, "what was damaged is gone with its job");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_outcome_that_redis_refuses_ends_its_job_as_failed() {
    let cluster = Cluster::builder().set("HERMOD_CONCURRENCY", 1).start().await;
    let mut redis = cluster.connect();
    let prompt = "x".repeat(300_000);
    let id = cluster.api.submit(json!({"model": "demo/slow-2s", "prompt": prompt})).await;
    cluster.called("slow-2s", 1).await;
    // Where its pieces are to go there is something else.
    let holder: String = redis.hget(format!("{{hermod:0}}:job:{id}"), "holder").unwrap();
    let worker = holder.split(' ').nth(1).unwrap();
    let staged = format!("{{hermod:0}}:staged:{id}:1-{}", worker.rsplit('-').next().unwrap());
    let _: () = redis.set_ex(staged, "x", 600).unwrap();
    let job = cluster.api.ended(&id, 2 * PATIENCE).await;
    assert_eq!(job["status"], "failed", "{}", job["status"]);
    assert_eq!((&job["status_code"], &job["error"]["is_bifrost_error"]), (&json!(500), &json!(true)));
    assert!(job.to_string().len() < 10_000, "its error is small");
    assert_eq!(cluster.calls().len(), 1, "it is paid for once");
    let job = cluster.run(json!({"model": "demo/echo", "prompt": "the one slot is free"})).await;
    assert_eq!(job["status"], "completed");
    cluster.assert_drained().await;
}

/// What Redis has sent to its clients, in bytes.
fn sent(redis: &mut Connection) -> u64 {
    let info: String = redis::cmd("INFO").arg("stats").query(redis).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).unwrap();
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn dead_letters_with_large_bodies_are_listed_and_queued_again_without_reading_them() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_WAIT_SECONDS", 10).start().await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(cluster.api.submit(body(2 * MIB)).await);
    }
    lasts(Duration::from_secs(11)).await;
    cluster.add_worker().await;
    for id in &ids {
        assert_eq!(cluster.ended(id).await["error"]["error"]["code"], "job_deadline_exceeded");
    }
    drop(cluster.take_worker(0));
    let mut redis = cluster.connect();
    let before = sent(&mut redis);
    let (_, list) = queue(&cluster, &["dead", "list"]).await;
    assert!(ids.iter().all(|id| list.contains(id)), "{list}");
    assert!(sent(&mut redis) - before < MIB as u64, "no body is read to list them");

    let before = sent(&mut redis);
    let (_, letter) = queue(&cluster, &["dead", "show", &ids[3]]).await;
    assert!(letter.contains("xxxxxxxx") && letter.len() > 2 * MIB, "{}", letter.len());
    assert!(sent(&mut redis) - before < 3 * MIB as u64, "no other body is read to show one");

    let before = sent(&mut redis);
    let all: Vec<&str> = ["dead", "requeue"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    let (code, text) = queue(&cluster, &all).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(sent(&mut redis) - before < MIB as u64, "no body is read to queue them again");
    cluster.add_worker().await;
    for id in &ids {
        eventually("it has run", PATIENCE, async || {
            (cluster.api.poll(id).await.json()["status"] == "completed").then_some(())
        })
        .await;
    }
    cluster.assert_drained().await;
}
