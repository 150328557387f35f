//! What a change does to jobs that wait and run: of a key that is disabled or deleted, and of a limit that is raised or reset.

use hermod_tests::{Answer, Cluster, Gate, PATIENCE, eventually};
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin_login::with_login;
use crate::governance_admin::{Governor, key};

/// Submits with a key; gives the job's path.
async fn submit(governor: &Governor, value: &str, model: &str) -> String {
    let submission = governor.0.submission(json!({"model": model, "prompt": "x"}).to_string());
    governor.0.accepted(submission.header("x-bf-vk", value)).await
}

async fn poll(governor: &Governor, value: &str, path: &str) -> Answer {
    governor.0.send(governor.0.request(Method::GET, path).header("x-bf-vk", value)).await
}

async fn completes(governor: &Governor, value: &str, id: &str) {
    eventually("the job completes", PATIENCE, async || {
        let answer = poll(governor, value, id).await;
        (answer.status == 200).then(|| assert_eq!(answer.json()["status"], "completed", "{answer:?}"))
    })
    .await;
}

/// The HTTP status with which a job has ended, whoever may see it.
async fn code_of(cluster: &Cluster, path: &str) -> u16 {
    let id = path.rsplit('/').next().unwrap();
    let mut redis = cluster.connect();
    eventually("the job has ended", PATIENCE, async || {
        redis.hget::<_, _, Option<u16>>(format!("{{hermod:0}}:job:{id}"), "code").unwrap()
    })
    .await
}

async fn quota(governor: &Governor, value: &str) -> Value {
    let request = governor.0.request(Method::GET, "/api/governance/virtual-keys/quota");
    governor.0.send(request.header("x-bf-vk", value)).await.json()
}

/// Waits until one of its jobs waits for its limits.
async fn one_waits(governor: &Governor, value: &str) {
    eventually("a job waits", PATIENCE, async || {
        (quota(governor, value).await["waiting"] == json!(1)).then_some(())
    })
    .await;
}

/// A key for the gate, with a rate of this many requests an hour.
fn rated(name: &str, provider: &str, requests: u64) -> Value {
    let mut body = key(name);
    body["provider_configs"][0]["provider"] = json!(provider);
    body["rate_limit"] = json!({"request_max_limit": requests, "request_reset_duration": "1h"});
    body
}

#[tokio::test]
async fn jobs_of_a_key_that_is_disabled_or_deleted_end_if_they_wait_and_finish_if_they_run() {
    let gate = Gate::start();
    let cluster = Cluster::builder().workers(1).config(with_login(gate.config())).start().await;
    let governor = Governor(cluster.api.clone());
    let (disabled, value) = governor.key(rated("disabled", "gate", 1)).await;
    let (deleted, other) = governor.key(rated("deleted", "gate", 1)).await;
    let running = [submit(&governor, &value, "gate/m").await, submit(&governor, &other, "gate/m").await];
    eventually("both run", PATIENCE, async || (gate.arrived() == 2).then_some(())).await;
    let waiting = [submit(&governor, &value, "gate/m").await, submit(&governor, &other, "gate/m").await];
    one_waits(&governor, &value).await;
    one_waits(&governor, &other).await;
    governor.put(&format!("/virtual-keys/{disabled}"), r#"{"is_active": false}"#).await;
    governor.delete(&format!("/virtual-keys/{deleted}")).await;
    for id in &waiting {
        assert_eq!(code_of(&cluster, id).await, 403);
    }
    gate.open();
    for id in &running {
        assert_eq!(code_of(&cluster, id).await, 200);
    }
    // Who may see it again is told why.
    governor.put(&format!("/virtual-keys/{disabled}"), r#"{"is_active": true}"#).await;
    let told = eventually("it may be seen", PATIENCE, async || {
        let answer = poll(&governor, &value, &waiting[0]).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    let job = told.json();
    assert_eq!((&job["status"], &job["status_code"]), (&json!("failed"), &json!(403)), "{job}");
    assert_eq!(job["error"]["error"]["type"], "access_blocked", "{job}");
    assert_eq!(gate.arrived(), 2, "nobody was called for what waited");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn jobs_that_wait_for_a_limit_go_on_when_it_is_raised_or_reset() {
    let cluster = Cluster::builder().workers(2).config(with_login(json!({}))).start().await;
    let governor = Governor(cluster.api.clone());
    let (id, value) = governor.key(rated("mine", "demo", 1)).await;
    let path = format!("/virtual-keys/{id}");
    let limit = governor.get(&path).await["virtual_key"]["rate_limit"]["id"].as_str().unwrap().to_owned();
    let first = submit(&governor, &value, "demo/echo").await;
    completes(&governor, &value, &first).await;
    let second = submit(&governor, &value, "demo/echo").await;
    one_waits(&governor, &value).await;
    governor.put(&path, r#"{"rate_limit": {"request_max_limit": 2}}"#).await;
    completes(&governor, &value, &second).await;
    let third = submit(&governor, &value, "demo/echo").await;
    one_waits(&governor, &value).await;
    let before = governor.get("/rate-limits").await["rate_limits"][0].clone();
    assert_eq!(before["request_current_usage"], json!(2), "what was used stayed: {before}");
    let reset = governor.post(&format!("/rate-limits/{limit}/reset"), "").await["rate_limit"].clone();
    assert_eq!(reset["request_current_usage"], json!(0));
    for member in ["request_last_reset", "request_window_ends_at"] {
        assert_eq!(reset[member], before[member], "its window stays");
    }
    completes(&governor, &value, &third).await;
    let quota =
        governor.0.request(Method::GET, "/api/governance/virtual-keys/quota").header("x-bf-vk", &value);
    let quota = governor.0.send(quota).await.json();
    assert_eq!(quota["rate_limit"]["request_current_usage"], json!(1), "{quota}");
    assert_eq!(quota["requests"], json!(3), "{quota}");
    let rows = governor.get(&format!("/usage?virtual_key_id={id}")).await;
    assert_eq!(rows["rows"][0]["requests"], json!(3), "{rows}");
    assert_eq!((&rows["rows"][0]["name"], &rows["rows"][0]["model"]), (&json!("mine"), &json!("demo/echo")));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_a_key_may_use_changes_on_workers_too() {
    let mut cluster = Cluster::builder().workers(0).config(with_login(json!({}))).start().await;
    let governor = Governor(cluster.api.clone());
    let (id, value) = governor.key(key("mine")).await;
    let job = submit(&governor, &value, "demo/echo").await;
    let only =
        json!({"provider_configs": [{"provider": "demo", "allowed_models": ["other"], "key_ids": ["*"]}]});
    governor.put(&format!("/virtual-keys/{id}"), only).await;
    cluster.add_worker().await;
    let ended = eventually("it has ended", PATIENCE, async || {
        let answer = poll(&governor, &value, &job).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!((&ended["status"], &ended["status_code"]), (&json!("failed"), &json!(403)), "{ended}");
    assert_eq!(ended["error"]["error"]["type"], "model_blocked", "{ended}");
    // A key that is made while the worker works is no stranger to it.
    let (_, new) = governor.key(key("new")).await;
    let job = submit(&governor, &new, "demo/echo").await;
    completes(&governor, &new, &job).await;
    cluster.assert_drained().await;
}
