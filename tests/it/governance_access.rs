//! The administration of governance: closed to others than administrators, and to changes of what stands in the file.

use hermod_tests::Cluster;
use reqwest::Method;
use serde_json::json;

use crate::governance_admin::{key, start};

#[tokio::test]
async fn who_does_not_administer_sees_and_changes_nothing() {
    let (_cluster, governor) = start(json!({})).await;
    let closed = Cluster::builder().workers(0).start().await;
    for (method, path) in [
        (Method::GET, "/virtual-keys"),
        (Method::POST, "/virtual-keys"),
        (Method::PUT, "/virtual-keys/x"),
        (Method::DELETE, "/virtual-keys/x"),
        (Method::POST, "/virtual-keys/x/rotate"),
        (Method::POST, "/virtual-keys/rotate"),
        (Method::GET, "/virtual-keys/x/reveal"),
        (Method::PUT, "/virtual-keys/x/budgets/y/override"),
        (Method::DELETE, "/virtual-keys/x/budgets/y/override"),
        (Method::GET, "/teams"),
        (Method::POST, "/customers"),
        (Method::GET, "/model-configs/x"),
        (Method::PUT, "/providers/demo"),
        (Method::DELETE, "/pricing-overrides/x"),
        (Method::GET, "/budgets"),
        (Method::POST, "/budgets/x/reset"),
        (Method::POST, "/rate-limits/x/reset"),
        (Method::GET, "/usage"),
    ] {
        let path = format!("/api/governance{path}");
        let api = &governor.0;
        api.send(api.request(method.clone(), &path)).await.error(401);
        let refused = closed.api.send(closed.api.request(method, &path)).await.error(403);
        assert!(refused.contains("governance.auth_config"), "{refused}");
    }
}

#[tokio::test]
async fn what_stands_in_the_file_is_shown_and_not_changed() {
    let file = json!({"governance": {
        "virtual_keys": [{"id": "vk-file", "name": "of the file", "value": "sk-bf-of-the-file-1234", "team_id": "team-file",
            "rate_limit_id": "limit-file", "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]}],
        "teams": [{"id": "team-file", "name": "team", "customer_id": "customer-file"}],
        "customers": [{"id": "customer-file", "name": "customer"}],
        "budgets": [{"id": "budget-file", "max_limit": 5, "reset_duration": "1d", "virtual_key_id": "vk-file"}],
        "rate_limits": [{"id": "limit-file", "request_max_limit": 5, "request_reset_duration": "1d"}],
        "model_configs": [{"id": "config-file", "model_name": "*"}],
        "providers": [{"name": "demo", "rate_limit_id": "limit-file"}],
        "pricing_overrides": [{"id": "price-file", "name": "p", "scope_kind": "global", "match_type": "exact", "pattern": "x",
            "request_types": ["text_completion"], "pricing_patch": "{\"input_cost_per_token\":1}"}],
    }});
    let (_cluster, governor) = start(file).await;
    for (path, one) in [
        ("/virtual-keys/vk-file", "virtual_key"),
        ("/teams/team-file", "team"),
        ("/customers/customer-file", "customer"),
        ("/model-configs/config-file", "model_config"),
        ("/providers/demo", "provider"),
        ("/pricing-overrides/price-file", "pricing_override"),
    ] {
        assert_eq!(governor.get(path).await[one]["is_from_file"], json!(true), "{path}");
        for method in [Method::PUT, Method::DELETE] {
            let refused = governor.send(method, path, "{}").await.error(409);
            assert!(refused.ends_with("stands in config.json, and is changed there"), "{refused}");
        }
    }
    let shown = governor.get("/virtual-keys/vk-file").await["virtual_key"].clone();
    assert_eq!((&shown["value"], &shown["budgets"][0]["id"]), (&json!("sk-bf-…1234"), &json!("budget-file")));
    let revealed = governor.get("/virtual-keys/vk-file/reveal").await;
    assert_eq!(revealed, json!({"id": "vk-file", "value": "sk-bf-of-the-file-1234"}));
    for path in ["/virtual-keys/vk-file/rotate", "/virtual-keys/vk-file/budgets/budget-file/override"] {
        let method = if path.ends_with("rotate") { Method::POST } else { Method::PUT };
        governor.send(method, path, json!({"amount": 1, "mode": "forever"})).await.error(409);
    }
    assert_eq!(governor.get("/budgets").await["budgets"][0]["id"], "budget-file");
    // Its usage may be reset all the same.
    governor.post("/budgets/budget-file/reset", "").await;
    governor.post("/rate-limits/limit-file/reset", "").await;
    governor.send(Method::POST, "/budgets/none/reset", "").await.error(404);
    governor.send(Method::POST, "/rate-limits/none/reset", "").await.error(404);
    // What is made over HTTP may hang on it.
    let mut body = key("beside it");
    body["team_id"] = json!("team-file");
    governor.key(body).await;
    let both = governor.get("/virtual-keys?team_id=team-file").await;
    assert_eq!(both["count"], 2, "{both}");
}
