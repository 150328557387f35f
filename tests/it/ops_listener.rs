//! What operators ask for, on a port that the public does not reach.

use std::time::Duration;

use hermod_tests::{Api, Cluster, eventually};
use redis::Connection;
use serde_json::json;

/// Starts one more API process, with a port for operators; gives its public port and that.
async fn add_api_with_ops_port(cluster: &mut Cluster) -> (Api, Api) {
    cluster.set("HERMOD_OPS_LISTEN", "127.0.0.1:0");
    let public = cluster.add_api().await;
    let lines = cluster.logs.with_message("listening");
    let mut operators = public.clone();
    operators.url =
        lines.iter().find_map(|line| Some(format!("http://{}", line["operators"].as_str()?))).unwrap();
    (public, operators)
}

/// Calls of a command that Redis has answered.
fn calls(redis: &mut Connection, command: &str) -> u64 {
    let stats: String = redis::cmd("INFO").arg("commandstats").query(redis).unwrap();
    let prefix = format!("cmdstat_{command}:calls=");
    let calls = stats.lines().find_map(|line| line.strip_prefix(&prefix));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn operators_have_a_port_of_their_own() {
    let mut cluster = Cluster::start().await;
    let (public, operators) = add_api_with_ops_port(&mut cluster).await;
    for path in ["/metrics", "/readyz"] {
        public.get(path).await.error(404);
        assert_eq!(operators.get(path).await.status, 200, "{path}");
    }
    for api in [&public, &operators] {
        assert_eq!(api.get("/livez").await.status, 200);
    }
    assert!(operators.get("/metrics").await.text.contains("hermod_queue_waiting 0"));
    assert_eq!(public.get("/health").await.json(), json!({"status": "ok"}));
    let health = json!({"status": "ok", "redis": "ok", "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(operators.get("/health").await.json(), health);
    assert_eq!(operators.get("/readyz").await.json(), json!({"status": "ok", "redis": "ok"}));
    operators.post(r#"{"model":"demo/echo","prompt":"x"}"#).await.error(404);
    let id = public.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    assert_eq!(public.ended(&id, Duration::from_secs(10)).await["status"], "completed");

    cluster.redis = None;
    eventually("it is not well", Duration::from_secs(10), async || {
        (public.get("/health").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(public.get("/health").await.json(), json!({"status": "unavailable"}));
    let reason = operators.get("/health").await.json()["redis"].as_str().unwrap().to_owned();
    assert!(reason.contains("Redis"), "{reason}");
    assert_eq!(operators.get("/metrics").await.status, 200, "without Redis, too");
}

#[tokio::test]
async fn redis_own_words_are_not_in_a_public_answer() {
    let cluster = Cluster::start().await;
    let mut redis = cluster.connect();
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("hidden").exec(&mut redis).unwrap();
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec(&mut redis).unwrap();
    eventually("it is not ready", Duration::from_secs(10), async || {
        (cluster.api.get("/readyz").await.json()["redis"] == "Redis denies access").then_some(())
    })
    .await;
    let operators = cluster.worker_ports[0].get("/readyz").await.json();
    assert!(operators["redis"].as_str().unwrap().starts_with("Redis denies access: "), "{operators}");
    redis::cmd("ACL").arg("SETUSER").arg("default").arg("nopass").exec(&mut redis).unwrap();
}

#[tokio::test]
async fn a_flood_of_probes_and_metrics_reaches_redis_once_a_second() {
    let cluster = Cluster::start().await;
    let mut redis = cluster.connect();
    let before = (calls(&mut redis, "ping"), calls(&mut redis, "xpending"));
    let begun = std::time::Instant::now();
    let mut floods = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let api = cluster.api.clone();
        floods.spawn(async move {
            for _ in 0..20 {
                for path in ["/readyz", "/health", "/metrics"] {
                    assert_eq!(api.get(path).await.status, 200, "{path}");
                }
            }
        });
    }
    floods.join_all().await;
    let seconds = begun.elapsed().as_secs() + 1;
    let after = (calls(&mut redis, "ping"), calls(&mut redis, "xpending"));
    // Both processes also look for themselves each second, and a pooled connection is pinged when it is taken.
    assert!(after.0 - before.0 < 20 * seconds, "{before:?}, {after:?} in {seconds} s");
    assert!(after.1 - before.1 <= 2 * seconds, "{before:?}, {after:?} in {seconds} s");
}
