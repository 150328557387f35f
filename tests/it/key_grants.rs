//! What a virtual key may use: versions of the file, patterns, blacklists, and models without a provider.

use std::collections::HashSet;

use hermod_tests::{Api, Cluster};
use serde_json::{Value, json};

fn with_key(key: &str, grants: Value) -> Value {
    json!({"id": key, "name": key, "value": format!("sk-bf-{key}"), "provider_configs": grants})
}

/// Submits with a key; returns the answer's status and type.
async fn submitted(api: &Api, key: &str, model: &str) -> (u16, String) {
    let body = json!({"model": model, "prompt": "x"}).to_string();
    let answer = api.send(api.submission(body).header("x-bf-vk", format!("sk-bf-{key}"))).await;
    if answer.status == 202 {
        return (202, String::new());
    }
    answer.error(answer.status);
    let body = answer.json();
    assert_eq!(body["type"], body["error"]["type"]);
    (answer.status, body["type"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn patterns_count_blacklists_win_and_key_ids_are_needed() {
    let all = json!(["*"]);
    let config = json!({"governance": {"virtual_keys": [
        with_key("a", json!([{"provider": "demo", "allowed_models": ["regex:e.*", "task"], "blacklisted_models": ["echo-2"], "key_ids": all}])),
        with_key("b", json!([{"provider": "demo", "allowed_models": all, "blacklisted_models": ["regex:ech.*"], "key_ids": all}])),
        with_key("c", json!([{"provider": "demo", "allowed_models": all}])),
        {"id": "d", "name": "d", "value": "sk-bf-d", "allow_all_providers": true}]}});
    let cluster = Cluster::builder().config(config).workers(0).start().await;
    for (key, model, status, kind) in [
        ("a", "demo/ECHO", 202, ""),
        ("a", "demo/task", 202, ""),
        ("a", "demo/echo-2", 403, "model_blocked"),
        ("a", "demo/my-echo", 403, "model_blocked"),
        ("b", "demo/task", 202, ""),
        ("b", "demo/Echo", 403, "model_blocked"),
        ("c", "demo/echo", 403, "provider_blocked"),
        ("d", "demo/echo", 202, ""),
    ] {
        assert_eq!(submitted(&cluster.api, key, model).await, (status, kind.to_owned()), "{key} {model}");
    }
}

#[tokio::test]
async fn in_version_1_an_empty_list_allows_all() {
    let keys = json!([with_key("none", json!([])), with_key("some", json!([{"provider": "demo"}]))]);
    for (version, allows) in [(1, true), (2, false)] {
        let config = json!({"version": version, "governance": {"virtual_keys": keys}});
        let cluster = Cluster::builder().config(config).workers(0).start().await;
        for key in ["none", "some"] {
            let (status, _) = submitted(&cluster.api, key, "demo/echo").await;
            assert_eq!(status, if allows { 202 } else { 403 }, "{version} {key}");
        }
    }
}

#[tokio::test]
async fn a_model_without_a_provider_goes_to_one_by_the_keys_weights() {
    let other = json!({"custom_provider_config": {"base_provider_type": "openai", "is_key_less": true}});
    let grant = |provider: &str, weight: Value| json!({"provider": provider, "weight": weight, "allowed_models": ["*"], "key_ids": ["*"]});
    let config = json!({
        "providers": {"one": other, "two": other},
        "governance": {"virtual_keys": [
            with_key("k", json!([grant("one", json!(1)), grant("two", json!(1)), grant("demo", json!(null))])),
            with_key("none", json!([grant("demo", json!(null))]))]}});
    let cluster = Cluster::builder().config(config).start().await;
    let api = &cluster.api;
    let mut providers = HashSet::new();
    // With equal weights, 40 of one kind would come once in 10^12.
    for _ in 0..40 {
        let submission = api.submission(r#"{"model":"echo","prompt":"x"}"#).header("api-key", "sk-bf-k");
        let path = api.accepted(submission).await;
        let ended = hermod_tests::eventually("it has ended", hermod_tests::PATIENCE, async || {
            let poll = api.request(reqwest::Method::GET, &path).header("x-bf-vk", "sk-bf-k");
            let answer = api.send(poll).await;
            (answer.status == 200).then(|| answer.json())
        })
        .await;
        providers.insert(ended["result"]["extra_fields"]["provider"].as_str().unwrap().to_owned());
    }
    assert_eq!(providers, HashSet::from(["one".to_owned(), "two".to_owned()]));
    // A submit that is sent again is known, whichever was chosen.
    let mut ids = HashSet::new();
    for _ in 0..8 {
        let submission = api.submission(r#"{"model":"echo","prompt":"y"}"#).header("x-bf-vk", "sk-bf-k");
        let answer = api.send(submission.header("idempotency-key", "once")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.insert(answer.json()["id"].to_string());
    }
    assert_eq!(ids.len(), 1);

    let format = "model should be in provider/model format";
    for key in [Some("sk-bf-none"), None] {
        let mut submission = api.submission(r#"{"model":"echo","prompt":"x"}"#);
        if let Some(key) = key {
            submission = submission.header("x-bf-vk", key);
        }
        assert_eq!(api.send(submission).await.error(400), format);
    }
}

#[tokio::test]
async fn settings_of_a_key_that_nobody_has_keep_a_process_from_starting() {
    let cluster = Cluster::builder().workers(0).start().await;
    let path = cluster.config_path();
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    config["hermod"] = json!({"keys": {"nobody": {"weight": 2}}});
    std::fs::write(&path, config.to_string()).unwrap();
    let listen = [("HERMOD_LISTEN", "127.0.0.1:0"), ("HERMOD_METRICS_LISTEN", "127.0.0.1:0")];
    for role in ["api", "worker"] {
        let (mut process, logs) = cluster.spawn(role, &listen);
        assert_eq!(hermod_tests::exit_of(&mut process).await.code(), Some(1), "{role}");
        let said = logs.all().join("\n");
        assert!(said.contains("hermod.keys.nobody: no virtual key has this id"), "{said}");
    }
    // It may have been made over HTTP.
    let key = r#"{"id":"nobody","name":"made","is_active":true}"#;
    let mut redis = cluster.connect();
    redis::Commands::hset::<_, _, _, ()>(&mut redis, "{hermod:0}:definitions", "virtual_keys/nobody", key)
        .unwrap();
    let (_process, logs) = cluster.spawn("worker", &listen);
    logs.line("working").await;
}
