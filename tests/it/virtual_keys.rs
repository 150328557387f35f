//! Virtual keys: who may submit what, and who may see it.

use hermod_tests::{Cluster, PATIENCE, Signal, eventually, exit_of};
use serde_json::{Value, json};

fn config(enforce: bool) -> Value {
    json!({
        "client": {"enforce_auth_on_inference": enforce},
        "governance": {"virtual_keys": [
            {"id": "vk-1", "name": "team", "value": "sk-bf-team",
             "provider_configs": [{"provider": "demo", "allowed_models": ["echo"], "key_ids": ["*"]}]},
            {"id": "vk-2", "name": "other", "value": "sk-bf-other",
             "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]},
            {"id": "vk-3", "name": "gone", "value": "sk-bf-gone", "is_active": false,
             "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]},
            {"id": "vk-4", "name": "empty", "value": "sk-bf-empty", "provider_configs": []},
        ]},
    })
}

const GOOD: &str = r#"{"model":"demo/echo","prompt":"x"}"#;

#[tokio::test]
async fn a_job_is_seen_by_its_own_key_only() {
    let cluster = Cluster::builder().config(config(false)).start().await;
    let api = &cluster.api;
    for (header, value) in [
        ("x-bf-vk", "sk-bf-team"),
        ("authorization", "Bearer sk-bf-team"),
        ("authorization", "bearer  sk-bf-team"),
        ("x-api-key", "sk-bf-team"),
        ("x-goog-api-key", "sk-bf-team"),
        ("api-key", "sk-bf-team"),
    ] {
        let accepted = api.send(api.submission(GOOD).header(header, value)).await;
        let id = accepted.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/async/completions/{id}");
        let get = || api.request(reqwest::Method::GET, &path);
        assert!(
            matches!(api.send(get().header("x-bf-vk", "sk-bf-team")).await.status, 200 | 202),
            "{header}"
        );
        let message = api.poll(&id).await.error(404);
        for stranger in ["sk-bf-other", "sk-bf-gone", "sk-bf-unknown"] {
            assert_eq!(api.send(get().header("x-bf-vk", stranger)).await.error(404), message);
        }
    }
    let open = api.submit(GOOD).await;
    let path = format!("/v1/async/completions/{open}");
    for key in ["sk-bf-team", "sk-bf-unknown"] {
        let answer = api.send(api.request(reqwest::Method::GET, &path).header("x-bf-vk", key)).await;
        assert!(matches!(answer.status, 200 | 202), "a job without an owner is open");
    }
}

#[tokio::test]
async fn a_key_must_be_known_active_and_allowed() {
    let cluster = Cluster::builder().config(config(false)).start().await;
    let api = &cluster.api;
    for (key, status, message) in [
        ("sk-bf-unknown", 400, "virtual key not found"),
        ("not-even-one", 400, "virtual key not found"),
        ("sk-bf-gone", 403, "virtual key is inactive"),
    ] {
        assert_eq!(api.send(api.submission(GOOD).header("x-bf-vk", key)).await.error(status), message);
    }
    let garbage = reqwest::header::HeaderValue::from_bytes(b"sk-bf-\xff").unwrap();
    assert_eq!(
        api.send(api.submission(GOOD).header("x-bf-vk", garbage)).await.error(400),
        "virtual key not found"
    );
    let sdk = api.submission(GOOD).header("authorization", "Bearer sk-whatever-an-sdk-sends");
    assert_eq!(api.send(sdk).await.status, 202, "only sk-bf- counts outside x-bf-vk");

    for (key, body, kind, message, param) in [
        (
            "sk-bf-team",
            r#"{"model":"demo/empty","prompt":"x"}"#,
            "model_blocked",
            "Model 'empty' is",
            "model",
        ),
        (
            "sk-bf-team",
            r#"{"model":"demo/echo","prompt":"x","fallbacks":["demo/empty"]}"#,
            "model_blocked",
            "Model 'empty' is",
            "fallbacks",
        ),
        ("sk-bf-empty", GOOD, "provider_blocked", "Provider 'demo' is", "model"),
    ] {
        let answer = api.send(api.submission(body).header("x-bf-vk", key)).await;
        assert_eq!(answer.error(403), format!("{message} not allowed for this virtual key"));
        let body = answer.json();
        let said = [&body["type"], &body["error"]["type"], &body["error"]["code"]];
        assert_eq!((said, &body["error"]["param"]), ([&json!(kind); 3], &json!(param)));
    }
    let allowed =
        api.send(api.submission(r#"{"model":"demo/empty","prompt":"x"}"#).header("x-bf-vk", "sk-bf-other"));
    assert_eq!(allowed.await.status, 202);
}

#[tokio::test]
async fn a_key_can_be_required() {
    let cluster = Cluster::builder().config(config(true)).start().await;
    let api = &cluster.api;
    assert_eq!(
        api.post(GOOD).await.error(401),
        "virtual key is required. Provide a virtual key via the x-bf-vk header."
    );
    assert_eq!(api.send(api.submission(GOOD).header("x-bf-vk", "sk-bf-team")).await.status, 202);
}

#[tokio::test]
async fn no_secret_reaches_an_answer_a_log_or_a_metric() {
    let mut settings = config(false);
    settings["providers"]["keyed"] = json!({
        "keys": [{"name": "primary", "value": "sk-provider-secret"}],
        "network_config": {"extra_headers": {"x-team": "secret-header"}},
        "custom_provider_config": {"base_provider_type": "openai"},
    });
    let mut cluster = Cluster::builder().config(settings).set("HERMOD_LOG", "debug").start().await;
    settings = json!({"model": "keyed/leak", "prompt": "x", "fallbacks": ["keyed/fail-401"]});
    let job = cluster.run(settings).await;
    assert_eq!(job["status"], "failed");
    assert!(job["error"]["error"]["message"].as_str().unwrap().contains("****"), "{job}");
    let api = &cluster.api;
    api.send(api.submission(GOOD).header("x-bf-vk", "sk-bf-team")).await;
    api.send(api.submission(GOOD).header("x-bf-vk", "sk-bf-unknown")).await;
    assert!(!job.to_string().contains("secret-header"), "{job}");
    let headers = &cluster.calls()[0].headers;
    assert!(headers.contains(&("authorization".to_owned(), "Bearer sk-provider-secret".to_owned())));
    assert!(headers.contains(&("x-team".to_owned(), "secret-header".to_owned())));

    let metrics = api.get("/metrics").await.text + &cluster.worker_ports[0].get("/metrics").await.text;
    for worker in &mut cluster.workers {
        worker.signal(Signal::TERM);
        exit_of(worker).await;
    }
    let everything = format!("{job}{metrics}{}", cluster.logs.all().join("\n"));
    assert!(everything.contains("target failed"), "the debug log is there");
    for secret in ["sk-provider-secret", "secret-header", "sk-bf-team", "sk-bf-unknown"] {
        assert!(!everything.contains(secret), "{secret} leaked");
    }
}

#[tokio::test]
async fn a_key_that_is_gone_when_its_job_runs_opens_nothing() {
    let mut cluster = Cluster::builder().config(config(false)).workers(0).start().await;
    let accepted = cluster.api.send(cluster.api.submission(GOOD).header("x-bf-vk", "sk-bf-team")).await;
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    // The worker's configuration has lost what the key may use.
    let path = cluster.config_path();
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(r#""allowed_models":["echo"]"#, r#""allowed_models":[]"#);
    std::fs::write(&path, text).unwrap();
    cluster.add_worker().await;
    let ended = eventually("it has ended", PATIENCE, async || {
        let poll = cluster.api.request_poll(&id).header("x-bf-vk", "sk-bf-team");
        let answer = cluster.api.send(poll).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(
        (&ended["status_code"], &ended["error"]["error"]["code"]),
        (&json!(403), &json!("model_blocked"))
    );
    assert!(cluster.calls().is_empty());
}
