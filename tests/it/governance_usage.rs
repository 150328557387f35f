//! What was used: shown beside its limits, kept by every change, reset by hand; quota, overrides, and rows by day.

use hermod_tests::Cluster;
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

use crate::governance_admin::{key, start};

/// A key with a limit of requests, and with a budget.
fn limited(name: &str) -> Value {
    let mut body = key(name);
    body["rate_limit"] = json!({"request_max_limit": 100, "request_reset_duration": "1h"});
    body["budgets"] = json!([{"max_limit": 10, "reset_duration": "1d"}]);
    body["provider_configs"][0]["budgets"] = json!([{"max_limit": 3, "reset_duration": "1w"}]);
    body
}

/// What Redis knows of the usage of a limit.
fn in_redis(cluster: &Cluster, name: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> =
        cluster.connect().hgetall(format!("{{hermod:0}}:limit:{name}")).unwrap();
    fields.sort();
    fields
}

#[tokio::test]
async fn no_change_of_a_key_changes_what_was_used() {
    let (cluster, governor) = start(json!({})).await;
    let made = governor.post("/virtual-keys", limited("mine")).await["virtual_key"].clone();
    let id = made["id"].as_str().unwrap();
    let path = format!("/virtual-keys/{id}");
    let (budget, limit) =
        (made["budgets"][0]["id"].as_str().unwrap(), made["rate_limit"]["id"].as_str().unwrap());
    let of_config = made["provider_configs"][0]["budgets"][0]["id"].clone();
    for name in [format!("budget:{budget}"), format!("requests:{limit}")] {
        let _: () = cluster.connect().hset(format!("{{hermod:0}}:limit:{name}"), "u", 5).unwrap();
    }
    let names = [format!("budget:{budget}"), format!("requests:{limit}")];
    let before: Vec<_> = names.iter().map(|name| in_redis(&cluster, name)).collect();
    let mut other = limited("renamed");
    other["budgets"][0]["max_limit"] = json!(20);
    other["rate_limit"]["request_max_limit"] = json!(1);
    for body in [
        json!({"description": "x"}),
        json!({"is_active": false}),
        limited("mine"),
        other,
        json!({"calendar_aligned": true}),
    ] {
        let changed = governor.put(&path, &body).await["virtual_key"].clone();
        assert_eq!(changed["budgets"][0]["id"], json!(budget), "the same budget: {body}");
        assert_eq!(changed["rate_limit"]["id"], json!(limit), "{body}");
        assert_eq!(changed["provider_configs"][0]["budgets"][0]["id"], of_config, "{body}");
        assert_eq!(changed["provider_configs"][0]["id"], made["provider_configs"][0]["id"], "{body}");
        let after: Vec<_> = names.iter().map(|name| in_redis(&cluster, name)).collect();
        assert_eq!(after, before, "{body}");
    }
    governor.post(&format!("{path}/rotate"), "").await;
    let after: Vec<_> = names.iter().map(|name| in_redis(&cluster, name)).collect();
    assert_eq!(after, before);
    let shown = governor.get(&path).await["virtual_key"].clone();
    assert_eq!(shown["budgets"][0]["max_limit"], json!(20));
    governor.delete(&path).await;
    assert!(names.iter().all(|name| in_redis(&cluster, name).is_empty()), "it goes with the key");
}

#[tokio::test]
async fn an_override_adds_to_a_budget_until_its_windows_are_over() {
    let (_cluster, governor) = start(json!({})).await;
    let made = governor.post("/virtual-keys", limited("mine")).await["virtual_key"].clone();
    let (id, budget) = (made["id"].as_str().unwrap(), made["budgets"][0]["id"].as_str().unwrap());
    let path = format!("/virtual-keys/{id}/budgets/{budget}/override");
    let raised = governor.put(&path, json!({"amount": 5, "mode": "cycles", "cycles": 2})).await;
    assert_eq!(raised["effective_max_limit"], json!(15));
    assert_eq!(raised["budget"]["max_limit"], json!(10));
    assert_eq!(raised["budget"]["override"]["cycles"], json!(2));
    assert!(raised["budget"]["override"]["until"].is_string(), "{raised}");
    let raised = governor.put(&path, json!({"amount": 0.5, "mode": "forever"})).await;
    assert_eq!(raised["effective_max_limit"], json!(10.5), "a second one replaces the first");
    assert!(raised["budget"]["override"]["until"].is_null());
    let shown = governor.get("/budgets").await;
    let shown =
        shown["budgets"].as_array().unwrap().iter().find(|shown| shown["id"] == json!(budget)).unwrap();
    assert_eq!(shown["effective_max_limit"], json!(10.5));
    // A change of the key leaves it.
    let changed = governor.put(&format!("/virtual-keys/{id}"), limited("mine")).await;
    assert_eq!(changed["virtual_key"]["budgets"][0]["effective_max_limit"], json!(10.5));
    let lowered = governor.delete(&path).await;
    assert_eq!(lowered["effective_max_limit"], json!(10));
    for (body, message) in [
        (json!({"amount": 0, "mode": "forever"}), "amount must be above 0"),
        (json!({"amount": 1, "mode": "cycles"}), "cycles must be between 1 and 1000"),
        (json!({"amount": 1, "mode": "cycles", "cycles": 0}), "cycles must be between 1 and 1000"),
        (json!({"amount": 1, "mode": "forever", "cycles": 1}), "cycles is for mode \"cycles\" only"),
        (json!({"amount": 1, "mode": "sometimes"}), "Invalid JSON: unknown variant `sometimes`"),
        (json!({"amount": 1, "mode": "forever", "x": 1}), "Invalid JSON: unknown field `x`"),
    ] {
        let refused = governor.send(Method::PUT, &path, &body).await.error(400);
        assert!(refused.starts_with(message), "{body}: {refused}");
    }
    let body = json!({"amount": 1, "mode": "forever"});
    let of_none = format!("/virtual-keys/none/budgets/{budget}/override");
    assert_eq!(governor.send(Method::PUT, &of_none, &body).await.error(404), "Virtual key not found");
    let (other, _) = governor.key(limited("other")).await;
    let of_other = format!("/virtual-keys/{other}/budgets/{budget}/override");
    assert_eq!(governor.send(Method::PUT, &of_other, &body).await.error(404), "Budget not found");
}

#[tokio::test]
async fn a_key_asks_what_it_has_left_also_where_the_administration_is_closed() {
    let file = json!({"governance": {
        "virtual_keys": [{"id": "vk-1", "name": "mine", "value": "sk-bf-quota-1234", "rate_limit_id": "limit",
            "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]}],
        "budgets": [{"id": "budget", "max_limit": 5, "reset_duration": "1d", "virtual_key_id": "vk-1"}],
        "rate_limits": [{"id": "limit", "request_max_limit": 5, "request_reset_duration": "1d"}],
        "model_configs": [{"id": "config", "model_name": "echo", "scope": "virtual_key", "scope_id": "vk-1"}],
    }, "hermod": {"keys": {"vk-1": {"max_concurrent": 3}}}});
    let cluster = Cluster::builder().workers(0).config(file).start().await;
    let mut redis = cluster.connect();
    let _: () = redis
        .hset_multiple(
            "{hermod:0}:totals:vk-1",
            &[("requests", 7), ("unknown_calls", 1), ("unpriced_calls", 2)],
        )
        .unwrap();
    let ask = async |value: Option<&str>| {
        let request = cluster.api.request(Method::GET, "/api/governance/virtual-keys/quota");
        let request = match value {
            Some(value) => request.bearer_auth(value),
            None => request,
        };
        cluster.api.send(request).await
    };
    let answer = ask(Some("sk-bf-quota-1234")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let quota = answer.json();
    assert_eq!((&quota["virtual_key_name"], &quota["is_active"]), (&json!("mine"), &json!(true)));
    let budget = &quota["budgets"][0];
    assert_eq!(
        (&budget["id"], &budget["max_limit"], &budget["current_usage"]),
        (&json!("budget"), &json!(5), &json!(0))
    );
    assert!(budget.get("reserved").is_some() && budget.get("window_ends_at").is_some(), "{budget}");
    assert_eq!(quota["rate_limit"]["request_max_limit"], json!(5));
    assert_eq!(quota["rate_limits"][0]["id"], json!("limit"));
    assert_eq!(quota["provider_configs"][0]["provider"], json!("demo"));
    assert_eq!(quota["model_configs"][0]["id"], json!("config"));
    for (member, expected) in
        [("running", 0), ("waiting", 0), ("unknown_calls", 1), ("unpriced_calls", 2), ("max_concurrent", 3)]
    {
        assert_eq!(quota[member], json!(expected), "{member}: {quota}");
    }
    ask(None).await.error(401);
    ask(Some("sk-bf-unknown")).await.error(401);
}

#[tokio::test]
async fn usage_is_told_by_day_key_and_model() {
    let (cluster, governor) = start(json!({})).await;
    let (id, _) = governor.key(key("mine")).await;
    let mut redis = cluster.connect();
    for (day, owner, requests) in [
        ("20300101", id.as_str(), 1),
        ("20300102", id.as_str(), 2),
        ("20300102", "", 3),
        ("20300103", "gone", 4),
    ] {
        let name = format!("{{hermod:0}}:usage:{day}");
        let field = |field: &str| format!("{owner}\ndemo/echo\n{field}");
        let _: () = redis
            .hset_multiple(
                &name,
                &[(field("requests"), requests), (field("cost"), 1_500_000_000), (field("input_tokens"), 9)],
            )
            .unwrap();
    }
    let rows = governor.get("/usage?from=2030-01-01&to=2030-01-02").await;
    let row = |date: &str, owner: &str, name: &str, requests: u64| {
        json!({"date": date, "virtual_key_id": owner, "name": name, "model": "demo/echo", "requests": requests,
            "input_tokens": 9, "output_tokens": 0, "cost": 1.5, "unpriced_calls": 0, "unknown_calls": 0})
    };
    let expected =
        [row("2030-01-01", &id, "mine", 1), row("2030-01-02", "", "", 3), row("2030-01-02", &id, "mine", 2)];
    assert_eq!(rows, json!({"rows": expected}));
    let of_one = governor.get(&format!("/usage?from=2030-01-01&to=2030-01-03&virtual_key_id={id}")).await;
    assert_eq!(of_one["rows"].as_array().unwrap().len(), 2, "{of_one}");
    assert_eq!(governor.get("/usage?from=2030-01-03&to=2030-01-03").await["rows"][0]["name"], "");
    assert_eq!(governor.get("/usage").await, json!({"rows": []}));
    for query in
        ["from=yesterday", "to=2030-13-01", "from=2030-01-02&to=2030-01-01", "from=2020-01-01&to=2030-01-01"]
    {
        governor.send(Method::GET, &format!("/usage?{query}"), "").await.error(400);
    }
}
