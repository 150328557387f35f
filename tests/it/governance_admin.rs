//! Virtual keys, teams, customers, limits and prices over HTTP: made, shown, changed, deleted; the same on every process.

use hermod_tests::{Answer, Api, Cluster, PATIENCE, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin_login::{PASSWORD, USERNAME, with_login};

/// An API process, as an administrator of governance reaches it.
#[derive(Clone)]
pub(crate) struct Governor(pub(crate) Api);

impl Governor {
    pub(crate) async fn send(&self, method: Method, path: &str, body: impl ToString) -> Answer {
        let request = self.0.request(method, &format!("/api/governance{path}"));
        self.0.send(request.basic_auth(USERNAME, Some(PASSWORD)).body(body.to_string())).await
    }

    async fn done(&self, method: Method, path: &str, body: impl ToString) -> Value {
        let answer = self.send(method, path, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.done(Method::GET, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Value {
        self.done(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl ToString) -> Value {
        self.done(Method::PUT, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Value {
        self.done(Method::DELETE, path, "").await
    }

    /// Makes a key; gives its id and its value.
    pub(crate) async fn key(&self, body: Value) -> (String, String) {
        let made = self.post("/virtual-keys", body).await;
        let text = |name: &str| made["virtual_key"][name].as_str().unwrap().to_owned();
        (text("id"), text("value"))
    }

    /// Waits until a submit with this key is answered so.
    pub(crate) async fn submit_is(&self, value: &str, status: u16) -> Answer {
        eventually(&format!("a submit is answered {status}"), PATIENCE, async || {
            let submission = self.0.submission(json!({"model": "demo/echo", "prompt": "x"}).to_string());
            let answer = self.0.send(submission.header("x-bf-vk", value)).await;
            (answer.status == status).then_some(answer)
        })
        .await
    }
}

pub(crate) fn apis(cluster: &Cluster) -> Vec<Governor> {
    cluster.apis.read().unwrap().iter().cloned().map(Governor).collect()
}

pub(crate) async fn start(config: Value) -> (Cluster, Governor) {
    let cluster = Cluster::builder().workers(0).config(with_login(config)).start().await;
    let governor = Governor(cluster.api.clone());
    (cluster, governor)
}

/// What makes a key that may use all of the demo provider.
pub(crate) fn key(name: &str) -> Value {
    json!({"name": name, "provider_configs": [
        {"provider": "demo", "weight": 1, "allowed_models": ["*"], "key_ids": ["*"]},
    ]})
}

#[tokio::test]
async fn a_key_is_made_shown_changed_and_deleted_on_every_process() {
    let cluster = Cluster::builder().workers(1).apis(2).config(with_login(json!({}))).start().await;
    let [one, other] = [0, 1].map(|index| apis(&cluster)[index].clone());
    let team = one.post("/teams", r#"{"name": "research"}"#).await["team"]["id"].clone();
    let mut body = key("mine");
    body["description"] = json!("for tests");
    body["team_id"] = team.clone();
    body["budgets"] = json!([{"max_limit": 10.5, "reset_duration": "1M"}]);
    body["rate_limit"] = json!({"request_max_limit": 100, "request_reset_duration": "1h"});
    body["max_concurrent"] = json!(7);
    body["weight"] = json!(2.5);
    let made = one.post("/virtual-keys", &body).await;
    assert_eq!(made["message"], "Virtual key created successfully");
    let (value, id) =
        (made["virtual_key"]["value"].as_str().unwrap(), made["virtual_key"]["id"].as_str().unwrap());
    assert!(value.starts_with("sk-bf-") && value.len() == 42, "{value}");
    let path = format!("/virtual-keys/{id}");

    // The other process has never heard of it, and asks before it says so.
    let accepted = other.submit_is(value, 202).await;
    assert_eq!(accepted.status, 202);
    let shown = other.get(&path).await["virtual_key"].clone();
    let masked = format!("sk-bf-…{}", &value[value.len() - 4..]);
    assert_eq!(shown["value"], json!(masked));
    assert_eq!(
        (&shown["name"], &shown["description"], &shown["team_id"]),
        (&json!("mine"), &json!("for tests"), &team)
    );
    assert_eq!((&shown["max_concurrent"], &shown["weight"]), (&json!(7), &json!(2.5)));
    assert_eq!(shown["budgets"][0]["max_limit"], json!(10.5));
    assert_eq!(shown["budgets"][0]["virtual_key_id"], json!(id));
    assert_eq!(shown["rate_limit"]["request_max_limit"], json!(100));
    assert_eq!(shown["provider_configs"][0]["allowed_models"], json!(["*"]));
    assert_eq!(shown["team"]["name"], "research");
    assert!(shown["provider_configs"][0]["id"].is_u64() && shown["customer_id"].is_null(), "{shown}");

    // What is absent stays; null and "" detach; lists are the whole new set; {} removes.
    let changed = other.put(&path, r#"{"description": "changed"}"#).await;
    assert_eq!(changed["message"], "Virtual key updated successfully");
    assert_eq!(changed["virtual_key"]["budgets"], shown["budgets"]);
    assert_eq!((&changed["virtual_key"]["team_id"], &changed["virtual_key"]["weight"]), (&team, &json!(2.5)));
    let body = json!({"team_id": null, "weight": null, "rate_limit": {}, "budgets": [], "expires_at": "2999-01-01T00:00:00Z"});
    let changed = one.put(&path, &body).await["virtual_key"].clone();
    assert!(
        changed["team_id"].is_null() && changed["rate_limit"].is_null() && changed["weight"].is_null(),
        "{changed}"
    );
    assert_eq!(
        (&changed["budgets"], &changed["expires_at"]),
        (&json!([]), &json!("2999-01-01T00:00:00.000Z"))
    );
    let changed =
        one.put(&path, r#"{"expires_at": "", "provider_configs": []}"#).await["virtual_key"].clone();
    assert!(changed["expires_at"].is_null() && changed["provider_configs"] == json!([]), "{changed}");
    assert_eq!(
        one.get("/budgets").await,
        json!({"budgets": [], "count": 0}),
        "nothing is left of what was removed"
    );
    assert_eq!(one.get("/rate-limits").await["count"], 0);

    // A change counts within a second on a process that did not make it.
    one.put(&path, key("renamed")).await;
    other.submit_is(value, 202).await;
    one.put(&path, r#"{"is_active": false}"#).await;
    assert_eq!(other.submit_is(value, 403).await.error(403), "virtual key is inactive");
    one.put(&path, r#"{"is_active": true, "expires_at": "2001-01-01T00:00:00Z"}"#).await;
    eventually("it has expired", PATIENCE, async || {
        let answer = other.submit_is(value, 403).await;
        (answer.error(403) == "virtual key has expired").then_some(())
    })
    .await;
    assert_eq!(one.delete(&path).await, json!({"message": "Virtual key deleted successfully"}));
    assert_eq!(other.submit_is(value, 400).await.error(400), "virtual key not found");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(other.send(method, &path, "{}").await.error(404), "Virtual key not found");
    }

    // Each change is a line: who, what, old and new, no secret.
    let logs = cluster.logs.with_message("changed by an administrator");
    let actions: Vec<_> = logs.iter().map(|line| line["action"].as_str().unwrap()).collect();
    for action in
        ["created a team", "created a virtual key", "changed a virtual key", "deleted a virtual key"]
    {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
    // Two processes have written them.
    let is_it = |line: &&Value| line["new"] == json!(r#"{"description":"changed"}"#);
    let change = logs.iter().find(is_it).unwrap();
    assert_eq!((&change["who"], &change["id"]), (&json!(USERNAME), &json!(id)));
    assert_eq!((&change["name"], &change["old"]), (&json!("mine"), &json!(r#"{"description":"for tests"}"#)));
    assert!(!cluster.logs.all().join("\n").contains(value));
    assert!(!cluster.logs.all().join("\n").contains(&value["sk-bf-".len()..]));
}

#[tokio::test]
async fn keys_are_listed_by_page_and_found_by_name_team_and_customer() {
    let (_cluster, governor) = start(json!({})).await;
    let customer = governor.post("/customers", r#"{"name": "acme"}"#).await["customer"]["id"].clone();
    for index in 0..3 {
        governor.key(key(&format!("Batch {index}"))).await;
    }
    let mut other = key("other");
    other["customer_id"] = customer.clone();
    governor.key(other).await;
    let names = |list: &Value| -> Vec<String> {
        list["virtual_keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = governor.get("/virtual-keys").await;
    assert_eq!(names(&all), ["Batch 0", "Batch 1", "Batch 2", "other"]);
    assert_eq!(
        (&all["count"], &all["total_count"], &all["limit"], &all["offset"]),
        (&json!(4), &json!(4), &json!(4), &json!(0))
    );
    let page = governor.get("/virtual-keys?limit=2&offset=1").await;
    assert_eq!(names(&page), ["Batch 1", "Batch 2"]);
    assert_eq!((&page["count"], &page["total_count"], &page["limit"]), (&json!(2), &json!(4), &json!(2)));
    let found = governor.get("/virtual-keys?search=batch&limit=1").await;
    assert_eq!((names(&found), &found["total_count"]), (vec!["Batch 0".to_owned()], &json!(3)));
    let of = format!("/virtual-keys?customer_id={}", customer.as_str().unwrap());
    assert_eq!(names(&governor.get(&of).await), ["other"]);
    assert!(names(&governor.get("/virtual-keys?team_id=none").await).is_empty());
    let refused = |query: &'static str| {
        let governor = governor.clone();
        async move { governor.send(Method::GET, &format!("/virtual-keys?{query}"), "").await.error(400) }
    };
    assert_eq!(refused("limit=x").await, "Invalid limit parameter: must be a number");
    assert_eq!(refused("offset=-1").await, "Invalid offset parameter: must be non-negative");
}

#[tokio::test]
async fn each_kind_is_made_shown_changed_and_deleted() {
    let (_cluster, governor) = start(json!({})).await;
    let budget = json!([{"max_limit": 5, "reset_duration": "1d"}]);
    let customer = governor.post("/customers", json!({"name": "acme", "budgets": budget})).await;
    assert_eq!(customer["message"], "Customer created successfully");
    let customer_id = customer["customer"]["id"].as_str().unwrap().to_owned();
    let team = json!({"name": "research", "customer_id": customer_id, "budget": {"max_limit": 2, "reset_duration": "1w"},
        "rate_limit": {"token_max_limit": 9, "token_reset_duration": "1m"}});
    let team = governor.post("/teams", team).await;
    assert_eq!(team["message"], "Team created successfully");
    let team_id = team["team"]["id"].as_str().unwrap().to_owned();
    let config = json!({"model_name": "gpt-4o", "provider": "demo", "budgets": budget,
        "rate_limits": [{"metric": "tokens", "max_limit": 5, "reset_duration": "1m"}]});
    let config = governor.post("/model-configs", config).await;
    assert_eq!(config["message"], "Model config created successfully");
    let config_id = config["model_config"]["id"].as_str().unwrap().to_owned();
    let price = json!({"name": "ours", "scope_kind": "global", "match_type": "exact", "pattern": "echo",
        "request_types": ["text_completion"], "patch": {"input_cost_per_token": 0.000001}});
    let price = governor.post("/pricing-overrides", price).await;
    assert_eq!(price["message"], "Pricing override created successfully");
    let price_id = price["pricing_override"]["id"].as_str().unwrap().to_owned();
    let provider =
        json!({"budgets": budget, "rate_limit": {"request_max_limit": 3, "request_reset_duration": "1s"}});
    let provider = governor.put("/providers/demo", provider).await;
    assert_eq!(provider["message"], "Provider governance updated successfully");

    for (list, one, id, change, member, expected) in [
        ("customers", "customer", &customer_id, json!({"name": "b"}), "name", json!("b")),
        ("teams", "team", &team_id, json!({"customer_id": ""}), "customer_id", Value::Null),
        ("model-configs", "model_config", &config_id, json!({"model_name": "*"}), "model_name", json!("*")),
        ("pricing-overrides", "pricing_override", &price_id, json!({"pattern": "b"}), "pattern", json!("b")),
    ] {
        let path = format!("/{list}/{id}");
        let all = governor.get(&format!("/{list}")).await;
        assert_eq!(all["count"], 1, "{all}");
        let shown = governor.get(&path).await;
        assert_eq!(shown[one]["id"], json!(id));
        let changed = governor.put(&path, &change).await;
        assert_eq!(changed[one][member], expected, "{changed}");
        assert!(changed["message"].as_str().unwrap().ends_with(" updated successfully"), "{changed}");
        let unknown = governor.send(Method::PUT, &path, r#"{"nonsense": 1}"#).await.error(400);
        assert!(unknown.contains("`nonsense`"), "{unknown}");
        let unknown = governor.send(Method::POST, &format!("/{list}"), r#"{"nonsense": 1}"#).await.error(400);
        assert!(unknown.contains("`nonsense`"), "{unknown}");
        assert_eq!(governor.send(Method::POST, &format!("/{list}"), "x").await.error(400), "Invalid JSON");
        governor.send(Method::GET, &format!("/{list}/none"), "").await.error(404);
        governor.send(Method::PUT, &format!("/{list}/none"), "{}").await.error(404);
        governor.send(Method::DELETE, &format!("/{list}/none"), "").await.error(404);
        governor.send(Method::PATCH, &path, "").await.error(405);
    }
    assert_eq!(governor.get("/providers").await["providers"][0]["provider"], "demo");
    assert_eq!(governor.get("/budgets").await["count"], 4);
    assert_eq!(governor.get("/rate-limits").await["count"], 3);
    let none = governor.send(Method::PUT, "/providers/none", "{}").await.error(404);
    assert_eq!(none, "Provider not found");
    let unknown = governor.send(Method::PUT, "/providers/demo", r#"{"budgetz": []}"#).await.error(400);
    assert!(unknown.contains("`budgetz`"), "{unknown}");

    // What hangs on it goes with it, or goes on without it.
    let mut of_team = key("of the team");
    of_team["team_id"] = json!(team_id);
    let (key_id, _) = governor.key(of_team).await;
    let of_key = json!({"model_name": "*", "scope": "virtual_key", "scope_id": key_id, "budgets": budget});
    governor.post("/model-configs", of_key).await;
    assert_eq!(
        governor.get(&format!("/teams/{team_id}")).await["team"]["virtual_keys"][0]["id"],
        json!(key_id)
    );
    for (path, message) in [
        (format!("/teams/{team_id}"), "Team deleted successfully"),
        (format!("/customers/{customer_id}"), "Customer deleted successfully"),
        (format!("/model-configs/{config_id}"), "Model config deleted successfully"),
        (format!("/pricing-overrides/{price_id}"), "Pricing override deleted successfully"),
        ("/providers/demo".to_owned(), "Provider governance deleted successfully"),
    ] {
        assert_eq!(governor.delete(&path).await, json!({"message": message}));
        governor.send(Method::DELETE, &path, "").await.error(404);
    }
    assert!(governor.get(&format!("/virtual-keys/{key_id}")).await["virtual_key"]["team_id"].is_null());
    governor.delete(&format!("/virtual-keys/{key_id}")).await;
    for list in
        ["/virtual-keys", "/teams", "/customers", "/model-configs", "/providers", "/budgets", "/rate-limits"]
    {
        assert_eq!(governor.get(list).await["count"], 0, "{list}");
    }
}

#[tokio::test]
async fn each_refusal_of_a_key_has_its_words() {
    let (_cluster, governor) = start(json!({})).await;
    let (id, _) = governor.key(key("mine")).await;
    let with = |member: &str, value: Value| {
        let mut body = key("x");
        body[member] = value;
        body
    };
    let budget =
        |max: Value, reset: &str| with("budgets", json!([{"max_limit": max, "reset_duration": reset}]));
    let mut both = with("team_id", json!("t"));
    both["customer_id"] = json!("c");
    let twice = with(
        "budgets",
        json!([{"max_limit": 1, "reset_duration": "1d"}, {"max_limit": 2, "reset_duration": "daily"}]),
    );
    for (body, message) in [
        (json!("text"), "Invalid JSON"),
        (with("name", json!("")), "Virtual key name is required"),
        (with("budget", json!({})), "Invalid JSON: unknown field `budget`"),
        (
            with("provider_configs", json!([{"provider": "demo", "models": []}])),
            "Invalid JSON: unknown field `models`",
        ),
        (both, "VirtualKey cannot be attached to both Team and Customer"),
        (with("team_id", json!("none")), "team_id: no team has the id \"none\""),
        (budget(json!(-1), "1d"), "budget max limit cannot be negative or zero: -1.00"),
        (budget(json!(1), "often"), "Invalid reset duration format: often"),
        (twice, "Duplicate reset_duration in budgets: daily"),
        (with("rate_limit", json!({"token_max_limit": 5})), "rate limit token reset duration is required"),
        (
            with("rate_limit", json!({"request_max_limit": 0, "request_reset_duration": "1m"})),
            "rate limit request max limit cannot be negative or zero: 0",
        ),
        (with("expires_at", json!("soon")), "expires_at must be a time such as"),
        (with("weight", json!(0)), "weight must be above 0"),
        (with("max_concurrent", json!(0)), "max_concurrent must be above 0"),
        (with("mcp_configs", json!([{"mcp_client_name": "x"}])), "Invalid JSON: mcp_configs must be empty"),
    ] {
        let made = governor.send(Method::POST, "/virtual-keys", &body).await.error(400);
        assert!(made.starts_with(message), "{body}: {made}");
        let changed = governor.send(Method::PUT, &format!("/virtual-keys/{id}"), &body).await.error(400);
        assert_eq!(changed, made, "{body}");
    }
    let nameless = governor.send(Method::POST, "/virtual-keys", "{}").await.error(400);
    assert_eq!(nameless, "Virtual key name is required");
    let other = with("provider_configs", json!([{"id": 999, "provider": "demo"}]));
    let refused = governor.send(Method::PUT, &format!("/virtual-keys/{id}"), other).await.error(400);
    assert_eq!(refused, "provider config 999 does not belong to this virtual key");
    assert_eq!(governor.get("/virtual-keys").await["count"], 1, "nothing of it was made");
}

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
