//! What one request may ask for: each bound, and what its error says.

use hermod_tests::{Answer, Cluster};
use redis::Commands;
use serde_json::{Value, json};

/// Asserts that it is a 400 about this member; returns the message.
fn refused(answer: &Answer, param: Option<&str>) -> String {
    let message = answer.error(400);
    assert_eq!(answer.json()["error"].get("param").and_then(Value::as_str), param, "{answer:?}");
    message
}

#[tokio::test]
async fn a_name_of_more_than_256_bytes_is_refused() {
    let cluster = Cluster::start().await;
    let (api, longest) = (&cluster.api, format!("demo/{}", "x".repeat(251)));
    let too_long = format!("{longest}x");
    let body = json!({"model": too_long, "prompt": "x"});
    assert_eq!(
        refused(&api.post(body.to_string()).await, Some("model")),
        "model name is longer than 256 bytes"
    );
    let body = json!({"model": "demo/echo", "prompt": "x", "fallbacks": ["demo/echo", too_long]});
    let answer = api.post(body.to_string()).await;
    assert_eq!(refused(&answer, Some("fallbacks")), "model name is longer than 256 bytes");
    let huge = json!({"model": format!("demo/{}", "x".repeat(9 << 20)), "prompt": "x"});
    refused(&api.post(huge.to_string()).await, Some("model"));
    api.submit(json!({"model": longest, "prompt": "x", "fallbacks": ["demo/echo"]})).await;
}

#[tokio::test]
async fn members_nesting_and_fallbacks_are_bounded() {
    let cluster = Cluster::start().await;
    let api = &cluster.api;
    let with = |more: String| format!(r#"{{"model":"demo/echo","prompt":"x"{more}}}"#);
    let members = |count: usize| with((2..count).map(|number| format!(r#","x{number}":0"#)).collect());
    let nested = |depth: usize| with(format!(r#","mine":{}{}"#, "[".repeat(depth), "]".repeat(depth)));
    let fallbacks = |count: usize| with(format!(r#","fallbacks":{}"#, json!(vec!["demo/echo"; count])));
    for body in [members(1024), nested(127), fallbacks(128), with(r#","mine":1,"mine":2"#.to_owned())] {
        api.submit(body).await;
    }
    for (body, what, param) in [
        (members(1025), "more than 1024 members", None),
        // Most of what fits into ten megabytes.
        (members(800_000), "more than 1024 members", None),
        (nested(128), "`mine` is nested more than 128 deep", Some("mine")),
        (fallbacks(129), "`fallbacks` has 129 entries, the limit is 128", Some("fallbacks")),
    ] {
        let message = refused(&api.post(body).await, param);
        assert!(message.starts_with("invalid request format: ") && message.contains(what), "{message}");
    }
}

#[tokio::test]
async fn calls_of_one_job_are_bounded_where_a_prompt_is_a_call() {
    let chat =
        json!({"custom_provider_config": {"base_provider_type": "groq"}, "keys": [{"value": "sk-groq"}]});
    let config = json!({"providers": {"chat": chat}});
    let cluster = Cluster::builder().config(config.clone()).start().await;
    let body = |model: &str, prompts: usize, n: u64| {
        json!({"model": model, "prompt": vec!["x"; prompts], "n": n, "fallbacks": []}).to_string()
    };
    for (prompts, n, param) in [(1, 257, "n"), (128, 3, "n"), (257, 1, "prompt")] {
        let message = refused(&cluster.api.post(body("chat/echo", prompts, n)).await, Some(param));
        assert!(message.contains("(HERMOD_MAX_CALLS) is 256"), "{message}");
        assert_eq!(cluster.api.post(body("demo/echo", prompts, n)).await.status, 202, "one call for all");
    }
    // A worker that serves a fallback bounds it, too.
    let fallback = json!({"model": "demo/fail-503", "prompt": "x", "n": 257, "fallbacks": ["chat/echo"]});
    let job = cluster.run(fallback).await;
    assert_eq!((&job["status"], cluster.calls_of("echo")), (&json!("failed"), 3), "{job}");

    let few = Cluster::builder().config(config).set("HERMOD_MAX_CALLS", "3").workers(0).start().await;
    assert_eq!(few.api.post(body("chat/echo", 3, 1)).await.status, 202);
    refused(&few.api.post(body("chat/echo", 4, 1)).await, Some("prompt"));
}

#[tokio::test]
async fn no_spelling_of_a_members_name_reaches_past_the_virtual_key() {
    let key = json!({"id": "vk", "name": "team", "value": "sk-bf-team",
        "provider_configs": [{"provider": "demo", "allowed_models": ["echo"], "key_ids": ["*"]}]});
    let cluster = Cluster::builder().config(json!({"governance": {"virtual_keys": [key]}})).start().await;
    let body =
        "{\"Model\":\"fail-418\",\"model\":\"demo/echo\",\"MODEL\":\"fail-418\",\"models\":[\"fail-418\"],
        \"prompt\":\"x\",\"Stream\":true,\"\u{17f}tream\":true,\"Fallbacks\":[\"demo/fail-418\"],\"mine\":1}";
    let submission = cluster.api.submission(body).header("x-bf-vk", "sk-bf-team");
    assert_eq!(cluster.api.send(submission).await.status, 202);
    cluster.called("echo", 1).await;
    let calls = cluster.calls();
    assert_eq!(calls[0].body, r#"{"model":"echo","prompt":"x","mine":1}"#);
}

#[tokio::test]
async fn a_job_that_ran_too_long_does_not_blame_this_service() {
    let cluster = Cluster::builder().set("HERMOD_MAX_RUN_SECONDS", 1).start().await;
    let error = &cluster.run(json!({"model": "demo/hang", "prompt": "x"})).await["error"];
    assert_eq!(
        (&error["status_code"], &error["error"]["code"], &error["is_bifrost_error"]),
        (&json!(504), &json!("job_deadline_exceeded"), &json!(false)),
        "{error}"
    );
}

#[tokio::test]
async fn waiting_jobs_are_bounded_in_bytes() {
    let mut cluster = Cluster::builder().set("HERMOD_QUEUE_LIMIT_BYTES", 300_000).workers(0).start().await;
    let body = json!({"model": "demo/echo", "prompt": "x".repeat(90_000)});
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(cluster.api.submit(body.clone()).await);
    }
    let answer = cluster.api.post(body.to_string()).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(!answer.header("retry-after").is_empty());
    ids.push(cluster.api.submit(json!({"model": "demo/echo", "prompt": "a small one has room"})).await);
    let mut redis = cluster.connect();
    let keys: Vec<String> = redis.keys("{hermod:0}:body:*").unwrap();
    assert_eq!(keys.len(), 3, "what was refused takes no memory");
    cluster.add_worker().await;
    for id in &ids {
        assert_eq!(cluster.ended(id).await["status"], "completed");
    }
    let bytes: i64 = redis.get("{hermod:0}:bytes").unwrap();
    assert_eq!(bytes, 0, "what has ended does not count");
    assert_eq!(cluster.run(body).await["status"], "completed");
}
