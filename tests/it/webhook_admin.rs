//! Endpoints of webhooks over HTTP: made, shown, changed, tested; the same on every process.

use std::collections::BTreeSet;

use hermod_tests::{Answer, Api, Cluster, Receiver, SECRET};
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin_login::{PASSWORD, USERNAME, with_login};

/// An API process, as an administrator reaches it.
#[derive(Clone)]
pub(crate) struct Administrator(pub(crate) Api);

impl Administrator {
    pub(crate) async fn send(&self, method: Method, path: &str, body: impl ToString) -> Answer {
        let request = self.0.request(method, &format!("/api/webhooks{path}"));
        self.0.send(request.basic_auth(USERNAME, Some(PASSWORD)).body(body.to_string())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.send(Method::POST, path, body).await
    }

    /// Makes an endpoint; gives its id and its secret.
    pub(crate) async fn create(&self, body: &Value) -> (String, String) {
        let answer = self.post("", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let made = answer.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["endpoint"]["id"]), text(&made["secret"]))
    }
}

/// What makes an endpoint of this name.
pub(crate) fn endpoint(name: &str) -> Value {
    json!({"name": name, "url": format!("https://{name}.example/hook"), "events": ["async_job.completed"]})
}

pub(crate) fn with(name: &str, member: &str, value: Value) -> Value {
    let mut body = endpoint(name);
    body[member] = value;
    body
}

pub(crate) async fn start(config: Value) -> (Cluster, Administrator) {
    let cluster = Cluster::builder().workers(0).config(with_login(config)).start().await;
    let administrator = Administrator(cluster.api.clone());
    (cluster, administrator)
}

pub(crate) fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_endpoint_is_made_shown_replaced_and_deleted_on_every_process_at_once() {
    let cluster = Cluster::builder().workers(0).apis(2).config(with_login(json!({}))).start().await;
    let apis = cluster.apis.read().unwrap().clone();
    let (one, other) = (Administrator(apis[0].clone()), Administrator(apis[1].clone()));
    let body = json!({
        "name": "orders", "url": "https://orders.example/hook", "events": ["async_job.completed", "async_job.cancelled"],
        "headers": {"x-team": {"value": "a team's secret"}, "x-other": "other"}, "include_response": true,
        "max_retries": 7, "virtual_key_ids": ["vk-1"],
    });
    let made = one.post("", &body).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(members(&made), BTreeSet::from(["endpoint", "secret"]));
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() > 40, "{secret}");
    let id = made["endpoint"]["id"].as_str().unwrap().to_owned();
    let path = format!("/{id}");

    let shown = other.get(&path).await;
    assert_eq!(shown, made["endpoint"], "the other process knows it at once");
    let redacted = json!({"value": "<REDACTED>"});
    assert_eq!(shown["headers"], json!({"x-team": redacted, "x-other": redacted}));
    for (member, expected) in body.as_object().unwrap().iter().filter(|(member, _)| *member != "headers") {
        assert_eq!(&shown[member], expected, "{member}");
    }
    assert_eq!(shown["consecutive_failures"], 0);
    assert!(shown["created_at"].is_string() && shown["updated_at"].is_string());
    assert!(shown.get("secret").is_none() && shown.get("max_concurrent_deliveries").is_none(), "{shown}");
    assert_eq!(other.get("/orders").await, shown, "its name will do for its id");

    // All that is absent is cleared, but for the secret; a header that comes back as it was shown keeps its value.
    let changed = json!({
        "name": "renamed", "url": "https://orders.example/2", "events": ["async_job.failed"],
        "headers": {"x-team": redacted}, "disabled": true,
    });
    let answer = other.send(Method::PUT, &path, &changed).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let renamed = answer.json();
    assert_eq!((&renamed["id"], &renamed["created_at"]), (&shown["id"], &shown["created_at"]));
    assert_eq!(renamed["events"], json!(["async_job.failed"]));
    assert_eq!((&renamed["include_response"], &renamed["disabled"]), (&json!(false), &json!(true)));
    assert!(renamed.get("max_retries").is_none() && renamed.get("virtual_key_ids").is_none());
    assert_eq!(members(&renamed["headers"]), BTreeSet::from(["x-team"]));
    assert_eq!(one.get(&path).await, renamed);
    let definition: String = cluster.connect().hget("{hermod:0}:webhooks", &id).unwrap();
    assert!(definition.contains("a team's secret") && definition.contains(secret), "{definition}");
    one.send(Method::GET, "/orders", "").await.error(404);

    let gone = one.send(Method::DELETE, "/renamed", "").await;
    assert_eq!((gone.status, gone.json()), (200, json!({"status": "success"})));
    for (method, below) in [
        (Method::GET, ""),
        (Method::PUT, ""),
        (Method::DELETE, ""),
        (Method::POST, "/rotate-secret"),
        (Method::POST, "/enable"),
        (Method::POST, "/test"),
    ] {
        let answer = other.send(method, &format!("{path}{below}"), "").await;
        assert_eq!(answer.error(404), "Webhook endpoint not found");
    }

    // What was changed, by whom, and no secret.
    let changes: Vec<_> = cluster
        .logs
        .with_message("changed by an administrator")
        .iter()
        .map(|line| (line["who"].clone(), line["action"].clone(), line["id"].clone(), line["name"].clone()))
        .collect();
    let change = |action: &str, name: &str| (json!(USERNAME), json!(action), json!(id), json!(name));
    assert_eq!(
        changes,
        [
            change("created a webhook endpoint", "orders"),
            change("replaced a webhook endpoint", "renamed"),
            change("deleted a webhook endpoint", "renamed"),
        ]
    );
    let logs = cluster.logs.all().join("\n");
    assert!(!logs.contains("a team's secret") && !logs.contains(secret));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn each_refusal_has_its_words() {
    let (_cluster, administrator) = start(json!({})).await;
    let (taken, _) = administrator.create(&endpoint("taken")).await;
    let (mine, _) = administrator.create(&endpoint("mine")).await;
    let unnamed = |name: Value| with("x", "name", name);
    let url = |url: &str| with("x", "url", json!(url));
    let events = |events: Value| with("x", "events", events);
    let header = |name: &str| with("x", "headers", json!({name: "v"}));
    let mut refusals = vec![
        (json!("text"), "Invalid request payload".to_owned()),
        (unnamed(json!("")), "webhook endpoint name cannot be empty".to_owned()),
        (unnamed(Value::Null), "webhook endpoint name cannot be empty".to_owned()),
        (unnamed(json!("x".repeat(256))), "webhook endpoint name must be at most 255 characters".to_owned()),
        (url(""), "webhook URL cannot be empty".to_owned()),
        (url("no address"), "invalid webhook URL: ".to_owned()),
        (
            url("http://x.example/"),
            "webhook URL must use https (http requires allow_private_network)".to_owned(),
        ),
        (url("https://a:b@x.example/"), "webhook URL must not contain credentials".to_owned()),
        (url("https://x.example/#part"), "webhook URL must not contain a fragment".to_owned()),
        (events(json!([])), "webhook endpoint must subscribe to at least one event".to_owned()),
        (events(json!(["job.done"])), "unknown webhook event \"job.done\"".to_owned()),
        (
            events(json!(["async_job.failed", "async_job.failed"])),
            "duplicate webhook event \"async_job.failed\"".to_owned(),
        ),
        (header("a b"), "invalid webhook header name \"a b\"".to_owned()),
        (with("x", "max_retries", json!(21)), "webhook endpoint max_retries must be at most 20".to_owned()),
        (with("x", "secret", json!(SECRET)), "webhook endpoint secret is made by the server".to_owned()),
        (with("x", "max_retrys", json!(1)), "Invalid request payload: max_retrys".to_owned()),
        (with("x", "disabled", json!("yes")), "Invalid request payload: disabled".to_owned()),
        (
            with("x", "headers", json!({"x-team": "<REDACTED>"})),
            "webhook header \"x-team\" has no stored value to keep".to_owned(),
        ),
    ];
    for number in [
        "max_retries",
        "retry_backoff_initial_seconds",
        "retry_backoff_max_seconds",
        "attempt_timeout_seconds",
        "max_response_payload_kbs",
        "max_concurrent_deliveries",
    ] {
        let message = format!("webhook endpoint {number} must be positive when set");
        refusals.push((with("x", number, json!(-1)), message));
    }
    for name in [
        "webhook-id",
        "Webhook-Timestamp",
        "webhook-signature",
        "X-Bifrost-Event",
        "content-type",
        "content-length",
        "user-agent",
        "host",
        "connection",
        "transfer-encoding",
    ] {
        let message = format!("webhook header {name:?} is reserved and cannot be overridden");
        refusals.push((header(name), message));
    }
    for (body, message) in refusals {
        let created = administrator.post("", &body).await.error(400);
        assert!(created.starts_with(&message), "{body}: {created}");
        let replaced = administrator.send(Method::PUT, &format!("/{mine}"), &body).await.error(400);
        assert_eq!(replaced, created, "{body}");
    }
    for text in ["", "{", "[1]"] {
        assert_eq!(administrator.post("", text).await.error(400), "Invalid request payload");
    }

    let exists = "A webhook endpoint with this name already exists";
    assert_eq!(administrator.post("", endpoint("taken")).await.error(409), exists);
    let renamed = administrator.send(Method::PUT, &format!("/{mine}"), endpoint("taken")).await;
    assert_eq!(renamed.error(409), exists);

    let rotate = format!("/{taken}/rotate-secret");
    for body in
        [r#"{"keep_old_secret_seconds": 86401}"#, r#"{"keep_old_secret_seconds": -1}"#, r#"{"keep": 1}"#, "x"]
    {
        administrator.post(&rotate, body).await.error(400);
    }
    let test = format!("/{taken}/test");
    let unsubscribed = administrator.post(&test, r#"{"event": "async_job.failed"}"#).await.error(400);
    assert_eq!(unsubscribed, "webhook endpoint \"taken\" is not subscribed to event \"async_job.failed\"");
    let unknown = administrator.post(&test, r#"{"event": "x"}"#).await.error(400);
    assert_eq!(unknown, "unknown webhook event \"x\"");
    administrator.send(Method::PUT, &format!("/{taken}"), with("taken", "disabled", json!(true))).await;
    let disabled = "webhook endpoint \"taken\" is disabled";
    assert_eq!(administrator.post(&test, "").await.error(400), disabled);
    let recover = format!("/{taken}/recover");
    assert_eq!(
        administrator.post(&recover, r#"{"since": "2026-01-01T00:00:00Z"}"#).await.error(400),
        disabled
    );
    for body in ["", "{}", r#"{"since": "yesterday"}"#, r#"{"since": "2026-01-01T00:00:00Z", "x": 1}"#] {
        administrator.post(&format!("/{mine}/recover"), body).await.error(400);
    }
    for query in ["limit=-1", "limit=x", "offset=-1", "event=job.done", "disabled=maybe"] {
        administrator.send(Method::GET, &format!("?{query}"), "").await.error(400);
    }
    for query in ["status_class=9xx", "outcomes=lost", "period=soon", "endpoint_ids=x", "limit=-1"] {
        administrator.send(Method::GET, &format!("/deliveries?{query}"), "").await.error(400);
    }
    for (method, path, allow) in [
        (Method::DELETE, String::new(), "GET, HEAD, POST"),
        (Method::POST, format!("/{mine}"), "GET, HEAD, PUT, DELETE"),
        (Method::GET, format!("/{mine}/test"), "POST"),
        (Method::POST, "/deliveries".to_owned(), "GET, HEAD"),
    ] {
        let answer = administrator.send(method, &path, "").await;
        answer.error(405);
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
    let large = with("x", "url", json!(format!("https://x.example/{}", "x".repeat(300_000))));
    assert_eq!(administrator.post("", large).await.status, 413);
}

#[tokio::test]
async fn endpoints_are_listed_in_pages_and_by_what_they_are() {
    let file = json!({
        "name": "of-file", "url": "https://FILE.example/x", "secret": SECRET, "disabled": true,
        "events": ["async_job.failed"],
    });
    let (_cluster, administrator) = start(json!({"webhooks": [file]})).await;
    for number in 0..30 {
        let events =
            if number % 10 == 0 { json!(["async_job.failed"]) } else { json!(["async_job.completed"]) };
        administrator.create(&with(&format!("made-{number:02}"), "events", events)).await;
    }
    let list = async |query: &str| {
        let list = administrator.get(query).await;
        let names = list["endpoints"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|endpoint| endpoint["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(list["count"], names.len());
        (names, list["total_count"].as_u64().unwrap())
    };
    let (names, total) = list("").await;
    assert_eq!((names.len(), total), (25, 31));
    assert_eq!(names[..3], ["of-file", "made-00", "made-01"], "the oldest first");
    assert_eq!(list("?limit=2&offset=30").await, (vec!["made-29".to_owned()], 31));
    assert_eq!(list("?limit=0").await, (vec![], 31));
    assert_eq!(list("?limit=500").await.0.len(), 31);
    assert_eq!(administrator.get("?limit=500&offset=3").await["limit"], 100);
    assert_eq!(
        list("?search=MADE-1&limit=5&offset=8").await,
        (vec!["made-18".to_owned(), "made-19".to_owned()], 10)
    );
    assert_eq!(list("?search=file.EXAMPLE").await, (vec!["of-file".to_owned()], 1));
    assert_eq!(list("?event=async_job.failed").await.1, 4);
    assert_eq!(list("?event=async_job.failed&disabled=false").await.1, 3);
    assert_eq!(list("?disabled=true").await, (vec!["of-file".to_owned()], 1));
}

#[tokio::test]
async fn what_stands_in_the_file_is_shown_and_not_changed() {
    let receiver = Receiver::start();
    let (cluster, administrator) =
        start(json!({"webhooks": [receiver.endpoint("of-file", json!({}))]})).await;
    let shown = administrator.get("/of-file").await;
    assert_eq!((&shown["name"], &shown["is_from_file"]), (&json!("of-file"), &json!(true)));
    let id = shown["id"].as_str().unwrap();
    assert_eq!(administrator.get(&format!("/{id}")).await, shown);
    for (method, below) in [(Method::PUT, ""), (Method::DELETE, ""), (Method::POST, "/rotate-secret")] {
        let message = administrator
            .send(
                method,
                &format!("/{id}{below}"),
                if below.is_empty() { endpoint("x").to_string() } else { String::new() },
            )
            .await
            .error(409);
        assert!(message.contains("config.json"), "{message}");
    }
    let exists = "A webhook endpoint with this name already exists";
    assert_eq!(administrator.post("", endpoint("of-file")).await.error(409), exists);
    let (made, _) = administrator.create(&endpoint("made")).await;
    let renamed = administrator.send(Method::PUT, &format!("/{made}"), endpoint("of-file")).await;
    assert_eq!(renamed.error(409), exists);

    // But it can be tested, and enabled after it was disabled without the operator.
    let tested = administrator.post("/of-file/test", "").await.json();
    assert_eq!((&tested["delivered"], &tested["receiver_status_code"]), (&json!(true), &json!(204)));
    let _: () =
        cluster.connect().hset(format!("{{hermod:0}}:webhook:{id}"), "disabled_reason", "gone").unwrap();
    let shown = administrator.get("/of-file").await;
    assert_eq!((&shown["disabled"], &shown["disabled_reason"]), (&json!(true), &json!("gone")));
    administrator.post("/of-file/test", "").await.error(400);
    let enabled = administrator.post("/of-file/enable", "").await;
    assert_eq!((enabled.status, &enabled.json()["disabled"]), (200, &json!(false)));
    assert_eq!(administrator.post("/of-file/test", "").await.json()["delivered"], json!(true));
    assert_eq!(receiver.received().len(), 2);

    let file = json!({"webhooks": [receiver.endpoint("off", json!({"disabled": true}))]});
    let (_cluster, administrator) = start(file).await;
    let message = administrator.post("/off/enable", "").await.error(409);
    assert!(message.contains("config.json"), "{message}");
}

#[tokio::test]
async fn an_endpoint_that_was_disabled_without_the_operator_is_enabled_by_either_way() {
    let (cluster, administrator) = start(json!({})).await;
    let (id, _) = administrator.create(&endpoint("failing")).await;
    let path = format!("/{id}");
    let disable = || {
        let state = [("disabled_reason", "failing"), ("consecutive_failures", "12"), ("failing_since", "1")];
        let _: () = cluster.connect().hset_multiple(format!("{{hermod:0}}:webhook:{id}"), &state).unwrap();
    };
    for (method, below, body) in [
        (Method::POST, "/enable", Value::Null),
        (Method::PUT, "", endpoint("failing")),
        // One that somebody has also switched off, as a client does that sends back what it was shown.
        (Method::POST, "/enable", with("failing", "disabled", json!(true))),
    ] {
        disable();
        if method == Method::POST && !body.is_null() {
            assert_eq!(administrator.send(Method::PUT, &path, &body).await.json()["disabled"], json!(true));
        }
        let shown = administrator.get(&path).await;
        assert_eq!(
            (&shown["disabled_reason"], &shown["consecutive_failures"]),
            (&json!("failing"), &json!(12))
        );
        let answer = administrator.send(method, &format!("{path}{below}"), &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let enabled = administrator.get(&path).await;
        assert_eq!(answer.json(), enabled);
        assert_eq!((&enabled["disabled"], &enabled["consecutive_failures"]), (&json!(false), &json!(0)));
        assert!(enabled.get("disabled_reason").is_none());
    }
}
