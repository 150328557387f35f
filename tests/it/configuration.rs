//! What the processes say of a config.json, and which secrets each of them needs.

use std::process::{Command, Output};
use std::time::Duration;

use hermod_tests::{Cluster, Logs, Process, SECRET, binary, eventually};
use serde_json::{Value, json};

/// Runs one of our programs to its end, with this environment.
async fn run(program: &str, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary(program));
    command.args(args).envs(environment.iter().copied());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(folder: &tempfile::TempDir, config: &Value) -> String {
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    path.display().to_string()
}

/// Five things that are wrong.
fn broken() -> Value {
    json!({
        "client": {"enforce_auth_on_inferense": true},
        "providers": {
            "openai": {"keys": [{"value": "sk-secret-1"}, {"value": "sk-secret-2", "weight": "sk-secret-3"}]},
            "gorq": {"keys": [{"value": "sk-secret-4"}]},
            "xai": {"keys": [{"value": "env.HERMOD_TEST_UNSET"}, {"value": "env.HERMOD_TEST_UNSET_TOO"}]},
        },
    })
}

const WRONG: [&str; 3] = [
    "client.enforce_auth_on_inferense: no such member; did you mean `enforce_auth_on_inference`?",
    "providers.openai.keys[1].weight: expected a number",
    "; did you mean `groq`?",
];
const UNSET: [&str; 2] = [
    "providers.xai.keys[0].value: the environment variable HERMOD_TEST_UNSET is not set",
    "providers.xai.keys[1].value: the environment variable HERMOD_TEST_UNSET_TOO is not set",
];

#[tokio::test]
async fn a_process_names_all_that_is_wrong_at_once_a_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &broken());
    for (role, expected) in
        [("worker", WRONG.iter().chain(&UNSET).collect::<Vec<_>>()), ("api", WRONG.iter().collect())]
    {
        let output = run("hermod", &[role], &[("HERMOD_CONFIG", &path)]).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{role}: {said}");
        assert!(said.starts_with(&format!("error: {path} is not usable:\n")), "{said}");
        for error in &expected {
            assert!(said.lines().any(|line| line.ends_with(*error)), "{role}: {error} is not in {said}");
        }
        assert_eq!(said.trim_end().lines().count(), 1 + expected.len(), "{role}: {said}");
        assert!(!said.contains("sk-secret"), "{said}");
    }
}

#[tokio::test]
async fn config_check_says_what_is_used_ignored_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = json!({
        "client": {"async_job_result_ttl": 60, "drop_excess_requests": true},
        "providers": {
            "openai": {"keys": [{"name": "primary", "value": "sk-secret-1"}]},
            "mine": {"network_config": {"base_url": "http://user:sk-secret-2@mine:8000/v1"}},
            "part": {"network_config": {"base_url": "http://part"}, "custom_provider_config": {"base_provider_type": "openai",
                "is_key_less": true, "allowed_requests": {"embedding": true, "chat_completion": true, "speech": false}}},
            "deepgram": {"keys": [{"value": "env.HERMOD_TEST_UNSET"}]},
        },
        "governance": {"virtual_keys": [{"id": "vk-1", "name": "team", "value": "sk-bf-secret", "rate_limit_id": "r-1",
            "provider_configs": [{"provider": "openai", "allowed_models": ["gpt"], "key_ids": ["*"]}]}],
            "budgets": [{"id": "b-1", "max_limit": 40, "reset_duration": "1M", "virtual_key_id": "vk-1"}],
            "rate_limits": [{"id": "r-1", "request_max_limit": 5, "request_reset_duration": "30s"}],
            "auth_config": {"is_enabled": true, "admin_username": "admin", "admin_password": "a secret"}},
        "webhooks": [{"name": "orders", "url": "https://orders.example/secret", "events": ["async_job.completed", "async_job.failed"],
            "secret": SECRET}],
        "hermod": {"keys": {"vk-1": {"webhook_secret": SECRET, "max_concurrent": 3}}, "defaults": {"max_waiting": 9}},
    });
    let path = file(&folder, &good);
    let output = run("hermod", &["config", "check", &path], &[]).await;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in [
        "  openai  openai at https://api.openai.com, key primary; 120 s a call, 0 retries",
        "  mine    openai-compatible at http://mine:8000/v1, without a key; 120 s a call, 0 retries",
        "  part    openai-compatible at http://part, without a key; 120 s a call, 0 retries; allows chat_completion, embedding",
        "  vk-1  openai: gpt; 3 running jobs at most; signs webhooks",
        "  b-1  40 dollars each 1M of key vk-1",
        "  r-1  5 requests each 30s of key vk-1",
        "  a key has, unless it says otherwise: 9 waiting jobs at most",
        "  orders  https://orders.example: async_job.completed, async_job.failed",
        "  /api wants the administrator's login",
        "  results are kept for 60 s; a submit needs no virtual key",
        "  client.drop_excess_requests",
        "  providers.deepgram: its API is not spoken yet",
        &format!("{path} can be used"),
    ] {
        assert!(said.lines().any(|said| said == line), "{line} is not in {said}");
    }
    assert!(!said.contains("Refused") && !said.contains("secret") && !said.contains(SECRET), "{said}");

    let path = file(&folder, &broken());
    let output = run("hermod", &["config", "check", &path], &[]).await;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for error in WRONG.iter().chain(&UNSET) {
        assert!(said.lines().any(|line| line.ends_with(error)), "{error} is not in {said}");
    }
    assert!(said.ends_with("cannot be used: 5 errors\n") && !said.contains("sk-secret"), "{said}");

    // What only the worker's libraries can tell.
    let header = json!({"providers": {"mine": {"network_config":
        {"base_url": "http://mine", "extra_headers": {"not a header": "sk-secret"}}}}});
    let output = run("hermod", &["config", "check", &file(&folder, &header)], &[]).await;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("provider mine: extra_headers: not a header") && !said.contains("secret"),
        "{said}"
    );

    let output = run("hermod", &["config", "check", "/nowhere.json"], &[]).await;
    assert_eq!((output.status.code(), text(&output.stderr).contains("cannot read")), (Some(1), true));
}

#[tokio::test]
async fn an_api_process_runs_without_the_providers_secrets() {
    let config = json!({
        "providers": {
            "keyed": {"keys": [{"value": "env.HERMOD_TEST_KEY"}],
                      "network_config": {"extra_headers": {"x-team": "env.HERMOD_TEST_TEAM"}},
                      "custom_provider_config": {"base_provider_type": "openai"}},
        },
        "governance": {"virtual_keys": [{"name": "team", "value": "sk-bf-team",
            "provider_configs": [{"provider": "keyed", "allowed_models": ["*"], "key_ids": ["*"]}]}]},
    });
    let mut cluster = Cluster::builder().config(config).workers(0).start().await;
    // The API runs already. A worker without them does not start, and names both.
    let path = cluster.config_path().display().to_string();
    let output = run("hermod", &["worker"], &[("HERMOD_CONFIG", &path)]).await;
    let said = text(&output.stderr);
    assert!(
        said.contains("HERMOD_TEST_KEY is not set") && said.contains("HERMOD_TEST_TEAM is not set"),
        "{said}"
    );

    cluster.set("HERMOD_TEST_KEY", "sk-only-a-worker-has-it");
    cluster.set("HERMOD_TEST_TEAM", "blue");
    cluster.add_worker().await;
    let api = &cluster.api;
    let body = r#"{"model":"keyed/echo","prompt":"x"}"#;
    let accepted = api.send(api.submission(body).header("x-bf-vk", "sk-bf-team")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    cluster.called("echo", 1).await;
    let headers = &cluster.calls()[0].headers;
    assert!(headers.contains(&("authorization".to_owned(), "Bearer sk-only-a-worker-has-it".to_owned())));
    assert!(headers.contains(&("x-team".to_owned(), "blue".to_owned())));
}

#[tokio::test]
async fn without_a_file_the_api_can_be_told_the_providers_names() {
    let cluster = Cluster::builder().workers(0).start().await;
    let (redis, logs) = (cluster.redis_url(), Logs::default());
    let environment = [
        ("REDIS_URL", redis.as_str()),
        ("HERMOD_PROVIDERS", "openai,groq"),
        ("HERMOD_LISTEN", "127.0.0.1:0"),
        ("HERMOD_LOG_FORMAT", "json"),
    ];
    let _api = Process::spawn("api", &binary("hermod"), ["api"], &environment, logs.keep()).unwrap();
    let address = eventually("it listens", Duration::from_secs(20), async || {
        logs.with_message("listening").first().map(|line| line["address"].as_str().unwrap().to_owned())
    })
    .await;
    let url = format!("http://{address}/v1/async/completions");
    for (model, status) in [("openai/gpt-3.5-turbo-instruct", 202), ("groq/x", 202), ("xai/x", 400)] {
        let body = json!({"model": model, "prompt": "x"}).to_string();
        let answer = reqwest::Client::new().post(&url).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{model}");
    }
    let output =
        run("hermod", &["worker"], &[("HERMOD_PROVIDERS", "openai,gorq"), ("OPENAI_API_KEY", "")]).await;
    let said = text(&output.stderr);
    assert!(
        said.contains("HERMOD_PROVIDERS: openai: the environment variable OPENAI_API_KEY is not set"),
        "{said}"
    );
    assert!(said.contains("HERMOD_PROVIDERS: gorq: expected one of") && said.contains("`groq`"), "{said}");
}

#[tokio::test]
async fn a_virtual_key_counts_in_any_case_and_says_why_it_is_blocked() {
    let key = |id: &str, more: Value| {
        let mut key = json!({"id": id, "name": id, "value": format!("sk-bf-{id}"),
            "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    let keys = json!([
        key("team", json!({})),
        key("gone", json!({"is_active": false})),
        key("late", json!({"expires_at": "2020-01-01T00:00:00Z"})),
        key("soon", json!({"expires_at": "2999-01-01T00:00:00Z"})),
    ]);
    let config = json!({"governance": {"virtual_keys": keys}});
    let cluster = Cluster::builder().config(config).workers(0).start().await;
    let api = &cluster.api;
    let submit = async |header: &str, value: &str| {
        api.send(api.submission(r#"{"model":"demo/echo","prompt":"x"}"#).header(header, value)).await
    };
    for (header, value) in [
        ("authorization", "Bearer SK-BF-unknown"),
        ("x-api-key", "Sk-Bf-unknown"),
        ("x-goog-api-key", "SK-bf-team"),
        ("x-bf-vk", "SK-BF-TEAM"),
    ] {
        assert_eq!(submit(header, value).await.error(400), "virtual key not found", "{header}: {value}");
    }
    for (key, message) in
        [("sk-bf-gone", "virtual key is inactive"), ("sk-bf-late", "virtual key has expired")]
    {
        let answer = submit("x-bf-vk", key).await;
        assert_eq!(answer.error(403), message);
        assert_eq!(answer.json()["error"]["code"], "access_blocked");
    }
    assert_eq!(submit("x-bf-vk", "sk-bf-soon").await.status, 202);
    assert_eq!(submit("authorization", "Bearer sk-bf-team").await.status, 202);
}

#[tokio::test]
async fn an_unknown_path_has_no_request_type() {
    let cluster = Cluster::builder().workers(0).start().await;
    let unknown = cluster.api.get("/v1/nowhere").await;
    unknown.error(404);
    assert_eq!(unknown.json()["extra_fields"], json!({}));
    let method = cluster.api.request(reqwest::Method::DELETE, "/v1/async/completions");
    assert_eq!(cluster.api.send(method).await.json()["extra_fields"]["request_type"], "text_completion");
}
