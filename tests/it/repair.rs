//! `hermod queue check` and the check of a worker that starts: what they find, and what they mend.

use std::time::Duration;

use hermod_tests::{Cluster, PATIENCE, eventually, lasts};
use redis::{Commands, Connection};
use serde_json::json;

use crate::operator::queue;
use crate::shards::{all_complete, submit};

const QUEUE: &str = "{hermod:0}:queue";
const GROUP: &str = "workers";

/// Takes a job's entry as a worker would, acknowledges it, and leaves it there: no worker is given it again.
fn acknowledge(redis: &mut Connection, id: &str) {
    let mut command = redis::cmd("XREADGROUP");
    command.arg("GROUP").arg(GROUP).arg("stranger").arg("STREAMS").arg(QUEUE).arg(">");
    let read: redis::streams::StreamReadReply = command.query(redis).unwrap();
    let entries: Vec<_> = read.keys.into_iter().flat_map(|stream| stream.ids).collect();
    let own = entries.iter().find(|entry| entry.get::<String>("id").as_deref() == Some(id)).unwrap();
    let _: u64 = redis.xack(QUEUE, GROUP, &[&own.id]).unwrap();
}

#[tokio::test]
async fn an_entry_that_no_worker_would_be_given_again_is_found() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let mut redis = cluster.connect();
    let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    let mut command = redis::cmd("XGROUP");
    // It may be there already.
    command.arg("CREATE").arg(QUEUE).arg(GROUP).arg("0").arg("MKSTREAM").exec(&mut redis).ok();
    acknowledge(&mut redis, &id);
    let (code, text) = queue(&cluster, &["check"]).await;
    assert_eq!(code, Some(1), "{text}");
    let (code, text) = queue(&cluster, &["check", "--repair"]).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = queue(&cluster, &["check"]).await;
    assert_eq!(code, Some(0), "{text}");
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&id).await["status"], "completed");
    assert_eq!(cluster.calls().len(), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_body_without_a_record_is_found() {
    let cluster = Cluster::builder().workers(0).start().await;
    let kept = cluster.api.submit(json!({"model": "demo/empty", "prompt": "x".repeat(50_000)})).await;
    let lost = cluster.api.submit(json!({"model": "demo/empty", "prompt": "x".repeat(50_000)})).await;
    let mut redis = cluster.connect();
    let key = |name: &str, id: &str| format!("{{hermod:0}}:{name}:{id}");
    let _: u64 = redis.del(key("job", &lost)).unwrap();
    let (code, text) = queue(&cluster, &["check"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(redis.exists::<_, bool>(key("body", &lost)).unwrap(), "a check alone changes nothing");
    // One for the entry, one for the body: neither is left.
    assert_eq!(queue(&cluster, &["check", "--repair"]).await.0, Some(0));
    let expires: i64 = redis.ttl(key("body", &lost)).unwrap();
    assert!(expires != -1, "it is gone, or will be");
    assert_eq!(redis.ttl::<_, i64>(key("body", &kept)).unwrap(), -1, "that of a job that waits is let be");
    assert_eq!(queue(&cluster, &["check"]).await.0, Some(0));
}

#[tokio::test]
async fn a_check_that_redis_cuts_off_is_made_again() {
    let mut cluster = Cluster::builder().proxied().workers(0).start().await;
    let ids = submit(&cluster, "demo/echo", 20).await;
    let _: u64 = cluster.connect().del(&[QUEUE, "{hermod:0}:lane:"]).unwrap();
    // The worker that starts first finds them, but its connections break again and again while it does.
    cluster.add_worker().await;
    cluster.worker_links[0].delay(Duration::from_millis(100));
    for _ in 0..15 {
        lasts(Duration::from_millis(250)).await;
        cluster.worker_links[0].cut();
    }
    cluster.worker_links[0].delay(Duration::ZERO);
    all_complete(&cluster, &ids).await;
    assert_eq!(cluster.calls().len(), 20);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn checks_at_the_same_time_mend_everything_once() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let ids = submit(&cluster, "demo/echo", 200).await;
    let _: u64 = cluster.connect().del(&[QUEUE, "{hermod:0}:lanes", "{hermod:0}:lane:"]).unwrap();
    let check = ["check", "--repair"];
    let (first, second, third) =
        tokio::join!(queue(&cluster, &check), queue(&cluster, &check), queue(&cluster, &check));
    assert!(
        [&first, &second, &third].iter().any(|(code, _)| *code == Some(0)),
        "{first:?} {second:?} {third:?}"
    );
    let (code, text) = queue(&cluster, &["check"]).await;
    assert!(code == Some(0) && text.contains("200 records, 1 entries, 199 jobs in lanes"), "{text}");
    for _ in 0..3 {
        cluster.add_worker().await;
    }
    all_complete(&cluster, &ids).await;
    assert_eq!(cluster.calls().len(), 200);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn workers_that_start_together_make_one_check() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let ids = submit(&cluster, "demo/hang", 50).await;
    let mut redis = cluster.connect();
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut redis).unwrap();
    for _ in 0..4 {
        cluster.add_worker().await;
    }
    cluster.called("hang", ids.len()).await;
    // One takes three calls of SCAN over so few records. Where the lead passes on while it is made, as on a busy machine, there is
    // another; but never one for each worker, and all have had the time to make theirs.
    let scans = || {
        let info: String = redis::cmd("INFO").arg("commandstats").query(&mut cluster.connect()).unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_scan:calls="));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    eventually("a check was made", PATIENCE, async || (scans() > 0).then_some(())).await;
    for worker in &cluster.worker_ports {
        assert_eq!(worker.get("/readyz").await.status, 200);
    }
    assert!(scans() < 3 * 4, "{} calls of SCAN", scans());
}
