//! Who a submit wants told of its job's end, and what is kept of that.

use hermod_tests::{Answer, Cluster, SECRET};
use redis::{Commands, Connection};
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin_login::with_login;
use crate::webhook_admin::{Administrator, endpoint};

const GOOD: &str = r#"{"model":"demo/echo","prompt":"x"}"#;
const NAMED: &str = "x-bf-async-webhook";
const ADDRESS: &str = "x-hermod-webhook-url";

fn config() -> Value {
    let mut of_file = endpoint("of-file");
    of_file["secret"] = json!(SECRET);
    let mut off = of_file.clone();
    (off["name"], off["disabled"]) = (json!("off"), json!(true));
    let mut private = of_file.clone();
    (private["name"], private["virtual_key_ids"]) = (json!("private"), json!(["vk-1"]));
    let key = |id: &str, value: &str| json!({"id": id, "name": id, "value": value, "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]});
    with_login(json!({
        "client": {"allow_webhook_urls": ["https://allowed.example", "http://inside.example:8080"]},
        "webhooks": [of_file, off, private],
        "governance": {"virtual_keys": [key("vk-1", "sk-bf-one"), key("vk-2", "sk-bf-two")]},
        "hermod": {"keys": {"vk-1": {"webhook_secret": SECRET}}},
    }))
}

async fn submit(cluster: &Cluster, key: &str, headers: &[(&str, &str)]) -> Answer {
    let mut submission = cluster.api.submission(GOOD);
    if !key.is_empty() {
        submission = submission.header("x-bf-vk", key);
    }
    for (name, value) in headers {
        submission =
            submission.header(*name, reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    cluster.api.send(submission).await
}

/// What the job's record says of its delivery.
fn hook_of(redis: &mut Connection, accepted: &Answer) -> Value {
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    let hook: Option<String> = redis.hget(format!("{{hermod:0}}:job:{id}"), "hook").unwrap();
    hook.map_or(Value::Null, |hook| serde_json::from_str(hook.split_once(' ').unwrap().1).unwrap())
}

#[tokio::test]
async fn a_submit_names_an_endpoint() {
    let cluster = Cluster::builder().workers(0).config(config()).start().await;
    let administrator = Administrator(cluster.api.clone());
    let mut redis = cluster.connect();
    let mut body = endpoint("made");
    let (made, _) = administrator.create(&body).await;
    let of_file = administrator.get("/of-file").await["id"].clone();
    for (name, id) in [("made", json!(made)), ("of-file", of_file), ("  made ", json!(made))] {
        let accepted = submit(&cluster, "", &[(NAMED, name), ("x-request-id", "my request")]).await;
        let hook = hook_of(&mut redis, &accepted);
        assert_eq!(hook["endpoint"], id);
        assert_eq!(
            (&hook["request_id"], &hook["type"], &hook["model"]),
            (&json!("my request"), &json!("text_completion"), &json!("demo/echo"))
        );
    }
    // Without an id of its client's, it is the one that the answer has.
    let accepted = submit(&cluster, "", &[(NAMED, "made")]).await;
    assert_eq!(hook_of(&mut redis, &accepted)["request_id"], json!(accepted.header("x-request-id")));
    for nobody in ["", "  "] {
        assert_eq!(hook_of(&mut redis, &submit(&cluster, "", &[(NAMED, nobody)]).await), Value::Null);
    }

    let unknown = |name: &str| format!("unknown webhook endpoint with name {name:?}");
    for (key, name) in
        [("", "nobody"), ("", "MADE"), ("", "private"), ("sk-bf-two", "private"), ("", "grüße")]
    {
        assert_eq!(submit(&cluster, key, &[(NAMED, name)]).await.error(400), unknown(name));
    }
    assert_eq!(submit(&cluster, "sk-bf-one", &[(NAMED, "private")]).await.status, 202);
    let disabled = |name: &str| format!("webhook endpoint {name:?} is disabled");
    assert_eq!(submit(&cluster, "", &[(NAMED, "off")]).await.error(400), disabled("off"));
    let garbage = reqwest::header::HeaderValue::from_bytes(b"\xff").unwrap();
    cluster.api.send(cluster.api.submission(GOOD).header(NAMED, garbage)).await.error(400);

    // A change counts for the very next submit.
    body["disabled"] = json!(true);
    administrator.send(Method::PUT, "/made", &body).await;
    assert_eq!(submit(&cluster, "", &[(NAMED, "made")]).await.error(400), disabled("made"));
    (body["disabled"], body["name"]) = (json!(false), json!("grüße"));
    administrator.send(Method::PUT, "/made", &body).await;
    assert_eq!(submit(&cluster, "", &[(NAMED, "made")]).await.error(400), unknown("made"));
    assert_eq!(submit(&cluster, "", &[(NAMED, "grüße")]).await.status, 202);
    for name in [&made, administrator.get("/of-file").await["id"].as_str().unwrap()] {
        let _: () = redis.hset(format!("{{hermod:0}}:webhook:{name}"), "disabled_reason", "gone").unwrap();
    }
    assert_eq!(submit(&cluster, "", &[(NAMED, "grüße")]).await.error(400), disabled("grüße"));
    assert_eq!(submit(&cluster, "", &[(NAMED, "of-file")]).await.error(400), disabled("of-file"));
    administrator.send(Method::DELETE, &format!("/{made}"), "").await;
    assert_eq!(submit(&cluster, "", &[(NAMED, "grüße")]).await.error(400), unknown("grüße"));
}

#[tokio::test]
async fn a_submit_names_an_address_that_the_operator_allows() {
    let cluster = Cluster::builder().workers(0).config(config()).start().await;
    let mut redis = cluster.connect();
    for url in
        ["https://allowed.example/a?b=c", "https://ALLOWED.example:443/", "http://inside.example:8080/x"]
    {
        let accepted = submit(&cluster, "sk-bf-one", &[(ADDRESS, url)]).await;
        let hook = hook_of(&mut redis, &accepted);
        assert_eq!((&hook["url"], &hook["owner"]), (&json!(url), &json!("vk-1")));
    }
    assert_eq!(hook_of(&mut redis, &submit(&cluster, "sk-bf-one", &[(ADDRESS, " ")]).await), Value::Null);
    for url in [
        "https://other.example/",
        "https://allowed.example:8443/",
        "https://allowed.example.evil.example/",
        "http://allowed.example/",
        "http://127.0.0.1/",
    ] {
        let answer = submit(&cluster, "sk-bf-one", &[(ADDRESS, url)]).await;
        assert!(answer.error(403).contains("client.allow_webhook_urls"), "{url}");
        assert_eq!(answer.json()["error"]["code"], "webhook_url_not_allowed");
    }
    for (url, message) in [
        ("nothing", "invalid webhook URL"),
        ("ftp://allowed.example/", "must use https"),
        ("https://a:b@allowed.example/", "must not contain credentials"),
        ("https://allowed.example/#x", "must not contain a fragment"),
    ] {
        let said = submit(&cluster, "sk-bf-one", &[(ADDRESS, url)]).await.error(400);
        assert!(said.contains(message), "{url}: {said}");
    }
    for key in ["", "sk-bf-two"] {
        let said = submit(&cluster, key, &[(ADDRESS, "https://allowed.example/")]).await.error(400);
        assert!(said.contains("webhook_secret"), "{said}");
    }
    let both = [(ADDRESS, "https://allowed.example/"), (NAMED, "of-file")];
    let said = submit(&cluster, "sk-bf-one", &both).await.error(400);
    assert!(said.contains(ADDRESS) && said.contains(NAMED), "{said}");
}
