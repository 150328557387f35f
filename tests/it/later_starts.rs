//! Jobs that are not to be started at once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hermod_tests::{Answer, Api, Cluster, PATIENCE, eventually};
use hermod_types::Timestamp;
use redis::Commands;
use reqwest::Method;
use serde_json::json;

const BODY: &str = r#"{"model":"demo/echo","prompt":"x"}"#;
const DELAYED: &str = "{hermod:0}:delayed";

fn in_seconds(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    Timestamp::from_millis(u64::try_from(now + 1000 * seconds).unwrap()).to_string()
}

async fn submit(api: &Api, header: &str, value: &str) -> Answer {
    api.send(api.submission(BODY).header(header, value)).await
}

fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_job_is_not_started_before_its_time() {
    // Its wait counts from then.
    let cluster = Cluster::builder().set("HERMOD_MAX_WAIT_SECONDS", 1).start().await;
    for (header, at_least) in [("x-hermod-delay", 3000), ("x-hermod-run-at", 1500)] {
        let value = if header == "x-hermod-delay" { "3".to_owned() } else { in_seconds(3) };
        let id = id_of(&submit(&cluster.api, header, &value).await);
        assert_eq!(cluster.connect().zcard::<_, u64>(DELAYED).unwrap(), 1);
        let poll = cluster.api.poll(&id).await;
        assert_eq!((poll.status, &poll.json()["status"]), (202, &json!("pending")));
        assert_eq!(poll.header("x-hermod-queue-position"), "", "it is in no queue yet");
        let job = cluster.ended(&id).await;
        assert_eq!(job["status"], "completed", "{job}");
        let at = |member: &str| Timestamp::from_rfc3339(job[member].as_str().unwrap()).unwrap().as_millis();
        assert!(at("completed_at") - at("created_at") >= at_least, "{job}");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_time_that_has_passed_is_at_once() {
    let cluster = Cluster::builder().workers(0).start().await;
    for (header, value) in [
        ("x-hermod-delay", "0"),
        ("x-hermod-run-at", "2020-01-01T00:00:00Z"),
        ("x-hermod-run-at", "2020-01-01T00:00:00.5+02:00"),
    ] {
        id_of(&submit(&cluster.api, header, value).await);
    }
    let mut redis = cluster.connect();
    assert_eq!(cluster.queued(), 3);
    assert!(!redis.exists::<_, bool>(DELAYED).unwrap());
}

#[tokio::test]
async fn what_is_no_time_is_refused() {
    let cluster = Cluster::builder().workers(0).start().await;
    let api = &cluster.api;
    let (late, in_time) = (in_seconds(30 * 24 * 3600 + 60), in_seconds(30 * 24 * 3600 - 60));
    for (header, value) in [
        ("x-hermod-delay", ""),
        ("x-hermod-delay", "-1"),
        ("x-hermod-delay", "1.5"),
        ("x-hermod-delay", "+1"),
        ("x-hermod-delay", "soon"),
        ("x-hermod-delay", "2592001"),
        ("x-hermod-delay", "99999999999999999999999"),
        ("x-hermod-run-at", ""),
        ("x-hermod-run-at", "tomorrow"),
        ("x-hermod-run-at", "2026-02-19"),
        ("x-hermod-run-at", "1771488617"),
        ("x-hermod-run-at", &late),
    ] {
        let message = submit(api, header, value).await.error(400);
        assert!(message.contains(header), "{value:?}: {message}");
    }
    let both = api.submission(BODY).header("x-hermod-delay", "1").header("x-hermod-run-at", &in_time);
    let message = api.send(both).await.error(400);
    assert!(message.contains("x-hermod-delay") && message.contains("x-hermod-run-at"), "{message}");
    let twice = api.submission(BODY).header("x-hermod-delay", "1").header("x-hermod-delay", "1");
    api.send(twice).await.error(400);
    assert!(!cluster.connect().exists::<_, bool>(DELAYED).unwrap());
    for (header, value) in [("x-hermod-delay", "2592000"), ("x-hermod-run-at", &*in_time)] {
        id_of(&submit(api, header, value).await);
    }
}

#[tokio::test]
async fn a_delayed_job_counts_and_is_cancelled_as_others_are() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_QUEUE_LIMIT", 2).start().await;
    let api = cluster.api.clone();
    let ids = [
        id_of(&submit(&api, "x-hermod-delay", "600").await),
        id_of(&submit(&api, "x-hermod-run-at", &in_seconds(600)).await),
    ];
    submit(&api, "x-hermod-delay", "600").await.error(429);
    for id in &ids {
        let path = format!("/v1/async/completions/{id}/cancel");
        let cancelled = api.send(api.request(Method::POST, &path)).await;
        assert_eq!((cancelled.status, &cancelled.json()["status_code"]), (200, &json!(499)), "{cancelled:?}");
    }
    let id = id_of(&api.post(BODY).await);
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&id).await["status"], "completed");
    assert_eq!(cluster.calls().len(), 1, "what was cancelled never runs");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_that_nobody_looked_at_has_waited_since_its_time() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_WAIT_SECONDS", 2).start().await;
    let id = id_of(&submit(&cluster.api, "x-hermod-delay", "1").await);
    let mut redis = cluster.connect();
    let due: f64 = redis.zscore(DELAYED, &id).unwrap();
    eventually("its longest wait is over", PATIENCE, async || {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(&mut redis).unwrap();
        let now = Duration::from_secs(seconds) + Duration::from_micros(micros);
        (now.as_secs_f64() * 1000.0 > due + 2000.0).then_some(())
    })
    .await;
    cluster.add_worker().await;
    let job = cluster.ended(&id).await;
    assert_eq!(job["error"]["error"]["code"], "job_deadline_exceeded", "{job}");
    assert!(cluster.calls().is_empty());
    cluster.assert_drained().await;
}
