//! How a chain of targets goes on and ends, what its journal tells whom, and how large a result may be.

use hermod_tests::Cluster;
use serde_json::{Value, json};

/// `[target, status]` of each attempt.
fn tried(job: &Value) -> Value {
    let outcome = job.get("result").or(job.get("error")).unwrap();
    let attempts = outcome["extra_fields"]["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| json!([attempt["target"], attempt["status"]])).collect()
}

#[tokio::test]
async fn a_fallback_that_refuses_the_request_leaves_it_to_those_behind_it() {
    let cluster = Cluster::start().await;
    for status in [400, 413, 422] {
        let fallbacks = json!([format!("demo/fail-{status}"), "demo/echo"]);
        let job = cluster.run(json!({"model": "demo/fail-404", "prompt": "x", "fallbacks": fallbacks})).await;
        assert_eq!(job["result"]["extra_fields"]["fallback_index"], 2, "{job}");
        // The primary's own word ends it: the request is wrong.
        let primary =
            json!({"model": format!("demo/fail-{status}"), "prompt": "x", "fallbacks": ["demo/echo"]});
        let job = cluster.run(primary).await;
        assert_eq!(job["status_code"], status, "{job}");
        assert_eq!(tried(&job).as_array().unwrap().len(), 1, "{job}");
    }
    let all_fail =
        json!({"model": "demo/fail-404", "prompt": "x", "fallbacks": ["demo/fail-400", "demo/fail-422"]});
    let job = cluster.run(all_fail).await;
    assert_eq!(job["status_code"], 404, "the primary's error: {job}");
    assert_eq!(tried(&job), json!([["demo/fail-404", 404], ["demo/fail-400", 400], ["demo/fail-422", 422]]));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_owner_of_a_virtual_key_does_not_learn_the_names_of_provider_keys() {
    let config = json!({
        "providers": {"demo": {
            "keys": [{"name": "operators-own-name", "value": "sk-demo-key"}],
            "custom_provider_config": {"base_provider_type": "openai"},
        }},
        "governance": {"virtual_keys": [
            {"id": "vk-1", "name": "team", "value": "sk-bf-team",
             "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]},
        ]},
    });
    let cluster = Cluster::builder().config(config).start().await;
    let api = &cluster.api;
    let requests = [
        json!({"model": "demo/limits-sk-demo-key", "prompt": "x", "fallbacks": ["demo/echo"]}),
        // The key cools down: the second job passes it over.
        json!({"model": "demo/limits-sk-demo-key", "prompt": "x", "fallbacks": ["demo/echo"]}),
        json!({"model": "demo/fail-401", "prompt": "x"}),
    ];
    for request in requests {
        let own = api.submission(request.to_string()).header("x-bf-vk", "sk-bf-team");
        let id = api.send(own).await.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/async/completions/{id}");
        let job = hermod_tests::eventually("it ends", std::time::Duration::from_secs(20), async || {
            let poll = api.request(reqwest::Method::GET, &path).header("x-bf-vk", "sk-bf-team");
            Some(api.send(poll).await).filter(|answer| answer.status == 200)
        });
        let job = job.await.json();
        assert!(!tried(&job).as_array().unwrap().is_empty(), "{job}");
        assert!(!job.to_string().contains("operators-own-name"), "{job}");
        // Without a virtual key it is the operator who asks.
        let job = cluster.run(request).await;
        assert!(job.to_string().contains("operators-own-name"), "{job}");
    }
}

#[tokio::test]
async fn echoed_prompts_without_bound_fail_the_target_and_end_the_job() {
    // Nobody is there: no call may be made.
    let groq = json!({"keys": [{"value": "sk-x"}], "network_config": {"base_url": "http://127.0.0.1:9"}});
    let cluster = Cluster::builder().config(json!({"providers": {"groq": groq}})).start().await;
    let mut request = json!({"model": "groq/m", "prompt": "x".repeat(200_000), "n": 200, "echo": true});
    let job = cluster.run(request.clone()).await;
    assert_eq!((&job["status"], &job["status_code"]), (&json!("failed"), &json!(502)), "{job}");
    assert_eq!(job["error"]["error"]["code"], "upstream_answer_too_large", "{job}");
    assert_eq!(job["error"]["is_bifrost_error"], false);
    request["n"] = json!(1);
    request["fallbacks"] = json!(["demo/echo"]);
    let job = cluster.run(request).await;
    assert_eq!(job["result"]["extra_fields"]["fallback_index"], 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_storm_of_429s_is_one_line_in_the_log() {
    let demo = json!({
        "keys": [{"name": "one", "value": "first"}],
        "custom_provider_config": {"base_provider_type": "openai"},
    });
    let cluster = Cluster::builder().config(json!({"providers": {"demo": demo}})).start().await;
    let mut jobs = Vec::new();
    for _ in 0..40 {
        let request = json!({"model": "demo/limits-first", "prompt": "x"});
        jobs.push(cluster.api.submit(request).await);
    }
    for job in &jobs {
        assert_eq!(cluster.ended(job).await["status_code"], 429);
    }
    assert_eq!(cluster.calls_of("limits-first"), jobs.len(), "the only target is tried all the same");
    let lines = cluster.logs.with_message("cools down");
    // A new line would say that it is to rest for notably longer.
    assert!((1..=4).contains(&lines.len()), "{lines:?}");
}
