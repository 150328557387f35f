//! What an earlier version wrote, in which a large text was a string, and the record of an outcome had no size: it is read while
//! processes are replaced one by one.

use std::time::Duration;

use hermod_tests::{Cluster, PATIENCE, eventually, lasts};
use redis::{Commands, Connection};
use serde_json::json;

use crate::operator::queue as operate;

/// Makes one string of the pieces under a key.
fn as_string(redis: &mut Connection, key: &str) {
    let count: usize = redis.hlen(key).unwrap();
    assert!(count > 1, "{key} has pieces");
    let text: Vec<u8> =
        (0..count).flat_map(|piece| redis.hget::<_, _, Vec<u8>>(key, piece).unwrap()).collect();
    let ttl: i64 = redis.ttl(key).unwrap();
    let _: u64 = redis.del(key).unwrap();
    let _: () = redis.set(key, text).unwrap();
    if ttl > 0 {
        let _: bool = redis.expire(key, ttl).unwrap();
    }
}

/// Makes the outcome of a job one of an earlier version; returns its key.
fn age_outcome(redis: &mut Connection, id: &str) -> String {
    let record = format!("{{hermod:0}}:job:{id}");
    let apart: String = redis.hget(&record, "apart").unwrap();
    let (token, _) = apart.split_once(' ').unwrap();
    let _: u64 = redis.hset(&record, "apart", token).unwrap();
    let key = format!("{{hermod:0}}:outcome:{id}:{token}");
    as_string(redis, &key);
    key
}

#[tokio::test]
async fn large_jobs_that_wait_and_that_have_ended_are_not_lost() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let mut redis = cluster.connect();
    let prompt = "x".repeat(600_000);
    let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": prompt})).await;
    as_string(&mut redis, &format!("{{hermod:0}}:body:{id}"));
    cluster.add_worker().await;
    let job = cluster.ended(&id).await;
    assert_eq!(
        job["result"]["choices"][0]["text"].as_str(),
        Some(prompt.as_str()),
        "{:.300}",
        job.to_string()
    );

    let small = cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    let key = age_outcome(&mut redis, &id);
    let poll = cluster.api.poll(&id).await;
    assert_eq!((poll.status, poll.json()), (200, job));
    let _: u64 = redis.del(&key).unwrap();
    cluster.api.poll(&id).await.error(404);
    // What is there in its place is somebody else's, and no matter of other jobs.
    let _: u64 = redis.lpush(&key, "x").unwrap();
    let small = small["id"].as_str().unwrap();
    let (damaged, sound) = tokio::join!(cluster.api.poll(&id), cluster.api.poll(small));
    assert_eq!((damaged.status, sound.status), (500, 200));
    let _: u64 = redis.del(&key).unwrap();
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_large_job_that_is_given_up_keeps_its_body() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_WAIT_SECONDS", 2).start().await;
    let mut redis = cluster.connect();
    let prompt = "x".repeat(600_000);
    let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": prompt})).await;
    let body = format!("{{hermod:0}}:body:{id}");
    as_string(&mut redis, &body);
    lasts(Duration::from_secs(3)).await;
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&id).await["error"]["error"]["code"], "job_deadline_exceeded");
    assert!(redis.ttl::<_, i64>(&body).unwrap() > 3600, "as long as its letter");
    let (code, shown) = operate(&cluster, &["dead", "show", &id]).await;
    assert!(code == Some(0) && shown.contains(&prompt), "{shown:.300}");

    assert_eq!(operate(&cluster, &["dead", "requeue", &id]).await.0, Some(0));
    eventually("it has run", PATIENCE, async || {
        (cluster.api.poll(&id).await.json()["status"] == "completed").then_some(())
    })
    .await;
    cluster.assert_drained().await;
}
