//! Secrets of webhook endpoints: what signs, when it changes, and where it cannot be found.

use std::collections::BTreeSet;

use hermod_tests::{Cluster, Reaction, Receiver};
use redis::Commands;
use reqwest::Method;
use serde_json::json;

use crate::admin_login::{PASSWORD, with_login};
use crate::webhook_admin::{Administrator, members, start, with};

#[tokio::test]
async fn a_test_is_signed_with_the_secret_of_now_and_leaves_nothing_behind() {
    let (_cluster, administrator) = start(json!({})).await;
    let mut body = with("tested", "allow_private_network", json!(true));
    body["headers"] = json!({"x-team": "team"});
    let (id, secret) = administrator.create(&body).await;
    let move_to = async |receiver: &Receiver| {
        body["url"] = json!(receiver.url);
        let moved = administrator.send(Method::PUT, &format!("/{id}"), &body).await;
        assert_eq!(moved.status, 200, "{moved:?}");
    };
    let test = async |body: &str| {
        let answer = administrator.post(&format!("/{id}/test"), body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let mut move_to = move_to;
    let first = Receiver::with_secret(&secret);
    move_to(&first).await;
    let tested = test("").await;
    assert_eq!(
        (&tested["delivered"], &tested["receiver_status_code"]),
        (&json!(true), &json!(204)),
        "{tested}"
    );
    assert!(tested["duration_ms"].is_u64() && tested.get("error").is_none());
    test(r#"{"event": "async_job.completed"}"#).await;
    let received = first.received();
    assert_eq!(received[0].header("x-bifrost-event"), "webhook.test");
    assert_eq!(received[1].header("x-bifrost-event"), "async_job.completed");
    assert_eq!(received[0].header("x-team"), "team");
    assert_eq!(received[1].body["event"], "async_job.completed");
    assert!(received[1].body["data"]["job_id"].as_str().unwrap().starts_with("test-"));
    assert_ne!(received[0].id, received[1].id);

    // A rotation counts at once; the old secret goes along only if that was asked for.
    let rotated = administrator.post(&format!("/{id}/rotate-secret"), "").await.json();
    assert_eq!(members(&rotated), BTreeSet::from(["endpoint", "secret"]));
    assert_eq!(rotated["endpoint"]["id"], json!(id));
    let second = rotated["secret"].as_str().unwrap();
    assert_ne!(second, secret);
    let receiver = Receiver::with_secret(second);
    move_to(&receiver).await;
    test("").await;
    assert_eq!(receiver.received()[0].header("webhook-signature").split(' ').count(), 1);
    let body = r#"{"keep_old_secret_seconds": 3600}"#;
    let third = administrator.post(&format!("/{id}/rotate-secret"), body).await.json();
    test("").await;
    assert_eq!(
        receiver.received()[1].header("webhook-signature").split(' ').count(),
        2,
        "the old one still fits"
    );
    let newest = Receiver::with_secret(third["secret"].as_str().unwrap());
    move_to(&newest).await;
    test("").await;
    assert_eq!(
        newest.received()[0].header("webhook-signature").split(' ').count(),
        2,
        "and so does the new one"
    );

    newest.reacts_first([Reaction::Answer(500), Reaction::Close]);
    let failed = test("").await;
    assert_eq!((&failed["delivered"], &failed["receiver_status_code"]), (&json!(false), &json!(500)));
    assert!(failed["error"].as_str().unwrap().contains("500"), "{failed}");
    let failed = test("").await;
    assert_eq!(failed["delivered"], json!(false));
    assert!(failed["error"].is_string() && failed.get("receiver_status_code").is_none(), "{failed}");
    newest.reacts(Reaction::Answer(410));
    test("").await;
    let shown = administrator.get(&format!("/{id}")).await;
    assert_eq!((&shown["consecutive_failures"], &shown["disabled"]), (&json!(0), &json!(false)));
    let history = administrator.get(&format!("/{id}/deliveries")).await;
    assert_eq!((&history["deliveries"], &history["pagination"]["total_count"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn secrets_lie_encrypted_in_redis_and_in_no_log() {
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let mut cluster = Cluster::builder()
        .workers(0)
        .config(with_login(json!({})))
        .set("HERMOD_SECRET_KEY", key)
        .set("HERMOD_LOG", "debug")
        .start()
        .await;
    let administrator = Administrator(cluster.api.clone());
    let mut body = with("sealed", "headers", json!({"x-team": "a team's secret"}));
    body["allow_private_network"] = json!(true);
    let (id, secret) = administrator.create(&body).await;
    let rotate = format!("/{id}/rotate-secret");
    let rotated = administrator.post(&rotate, r#"{"keep_old_secret_seconds": 60}"#).await.json();
    let rotated = rotated["secret"].as_str().unwrap().to_owned();
    let receiver = Receiver::with_secret(&rotated);
    body["url"] = json!(receiver.url);
    body["headers"]["x-team"] = json!("<REDACTED>");
    administrator.send(Method::PUT, &format!("/{id}"), &body).await;
    assert_eq!(administrator.post("/sealed/test", "").await.json()["delivered"], json!(true));
    assert_eq!(receiver.received()[0].header("x-team"), "a team's secret");

    let secrets = [&secret, &rotated, "a team's secret", &rotated["whsec_".len()..], PASSWORD, key];
    let definition: String = cluster.connect().hget("{hermod:0}:webhooks", &id).unwrap();
    assert!(definition.contains("sealed"));
    let logs = cluster.logs.all().join("\n");
    assert!(logs.contains("changed by an administrator"));
    for secret in secrets {
        assert!(!definition.contains(secret) && !logs.contains(secret), "{secret}");
    }

    // A process with another key cannot read it, and says so; the endpoint can still be deleted.
    cluster.set("HERMOD_SECRET_KEY", "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=");
    let stranger = Administrator(cluster.add_api().await);
    for path in ["", "/sealed"] {
        let message = stranger.send(Method::GET, path, "").await.error(500);
        assert!(message.contains("HERMOD_SECRET_KEY") && message.contains(&id), "{message}");
    }
    assert_eq!(stranger.send(Method::DELETE, "/sealed", "").await.status, 200);
    administrator.send(Method::GET, "/sealed", "").await.error(404);
}
