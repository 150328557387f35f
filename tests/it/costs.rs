//! What a job has used and cost: in its result, its journal, a failed job's error, and the worker's metrics.

use std::io::Write;

use hermod::demo::pricing;
use hermod_tests::{Cluster, PATIENCE, eventually};
use hermod_types::Operation;
use serde_json::{Value, json};

use crate::cancel::cancel;

/// Dollars as the demo provider's prices have them.
fn price(input: f64, output: f64) -> f64 {
    (input + 2.0 * output) / 1e6
}

fn priced(providers: &[&str]) -> Value {
    let prices: Vec<Value> = providers.iter().map(|provider| pricing(provider)).collect();
    json!({"governance": {"pricing_overrides": prices}})
}

fn is_cost(value: &Value, wanted: f64) {
    let cost = value.as_f64().unwrap();
    assert!((cost - wanted).abs() < 1e-12, "{cost} is not {wanted}");
}

#[tokio::test]
async fn a_result_says_what_it_has_cost_and_its_journal_what_was_used() {
    let cluster = Cluster::builder().config(priced(&["demo"])).start().await;
    let job = cluster.run(json!({"model": "demo/echo", "prompt": "one two three"})).await;
    let (usage, extra) = (&job["result"]["usage"], &job["result"]["extra_fields"]);
    let count = |name: &str| usage[name].as_f64().unwrap();
    let cost = price(count("prompt_tokens"), count("completion_tokens"));
    assert!(cost > 0.0, "{job}");
    is_cost(&extra["cost"], cost);
    let attempt = &extra["attempts"][0];
    assert_eq!(
        (&attempt["input_tokens"], &attempt["output_tokens"]),
        (&usage["prompt_tokens"], &usage["completion_tokens"])
    );
    is_cost(&attempt["cost"], cost);
    assert_eq!(extra.get("usage_charged"), None, "that is told of failed jobs");

    // Each endpoint has its account.
    for (operation, body) in [
        (Operation::ChatCompletion, json!({"messages": [{"role": "user", "content": "one two"}]})),
        (Operation::Responses, json!({"input": "one two"})),
        (Operation::Embedding, json!({"input": "one two"})),
        (Operation::Speech, json!({"input": "one two", "voice": "alloy"})),
        (Operation::ImageGeneration, json!({"prompt": "one two"})),
        (Operation::Rerank, json!({"query": "one", "documents": ["one two"]})),
        (Operation::Ocr, json!({"document": {"type": "document_url", "document_url": "https://x/y.pdf"}})),
    ] {
        let mut body = body;
        body["model"] = json!("demo/echo");
        let path = cluster.api.submit_to(operation, &body).await;
        let job = cluster.api.ended_at(&path).await;
        assert!(job["result"]["extra_fields"]["cost"].as_f64() > Some(0.0), "{operation}: {job}");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_model_without_a_price_costs_null_is_counted_and_warned_of_once() {
    let cluster = Cluster::start().await;
    for _ in 0..2 {
        let job = cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
        let extra = &job["result"]["extra_fields"];
        assert_eq!(extra.get("cost"), Some(&Value::Null), "{job}");
        assert!(extra["attempts"][0]["input_tokens"].is_u64() && extra["attempts"][0].get("cost").is_none());
    }
    let unpriced = "hermod_unpriced_calls_total{provider=\"demo\",model=\"echo\"}";
    assert_eq!(cluster.worker_metric(0, unpriced).await, 2.0);
    let warned =
        cluster.logs.with_message("the model has no price: its calls cost null, and count towards no budget");
    assert_eq!(warned.len(), 1);
}

#[tokio::test]
async fn what_failed_calls_have_used_is_in_the_sum() {
    let cluster = Cluster::builder().config(priced(&["demo"])).start().await;
    // It has used 7 tokens and 3.
    let lost = price(7.0, 3.0);
    let job =
        cluster.run(json!({"model": "demo/error-200", "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    let extra = &job["result"]["extra_fields"];
    let attempts = &extra["attempts"];
    is_cost(&attempts[0]["cost"], lost);
    is_cost(&extra["cost"], lost + attempts[1]["cost"].as_f64().unwrap());

    let job = cluster.run(json!({"model": "demo/error-200", "prompt": "x"})).await;
    let used = &job["error"]["extra_fields"]["usage_charged"];
    is_cost(&used["cost"], lost);
    assert_eq!(
        (&used["requests"], &used["input_tokens"], &used["output_tokens"]),
        (&json!(1), &json!(7), &json!(3)),
        "{job}"
    );
    let job = cluster.run(json!({"model": "demo/fail-500", "prompt": "x"})).await;
    assert_eq!(job["error"]["extra_fields"].get("usage_charged"), None, "it has cost nothing: {job}");

    let charged = "hermod_charged_tokens_total{key=\"\",kind=\"input\"}";
    let echoed = attempts[1]["input_tokens"].as_f64().unwrap();
    assert_eq!(cluster.worker_metric(0, charged).await, 14.0 + echoed);
    let charged = "hermod_charged_nanodollars_total{key=\"\"}";
    assert!(cluster.worker_metric(0, charged).await > 2e9 * lost);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_call_without_a_price_leaves_the_sum_unknown() {
    let mut config = priced(&["demo"]);
    config["providers"]["other"] = json!({
        "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
    });
    let cluster = Cluster::builder().config(config).start().await;
    let job =
        cluster.run(json!({"model": "other/error-200", "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    let extra = &job["result"]["extra_fields"];
    assert!(extra["attempts"][1]["cost"].is_number(), "{job}");
    assert_eq!(extra["cost"], Value::Null);
    let job = cluster.run(json!({"model": "other/error-200", "prompt": "x"})).await;
    assert_eq!(
        job["error"]["extra_fields"]["usage_charged"],
        json!({"requests": 1, "input_tokens": 7, "output_tokens": 3, "cost": null})
    );
}

#[tokio::test]
async fn a_job_cancelled_while_it_is_delayed_tells_what_it_has_used() {
    let mut config = priced(&["demo"]);
    config["providers"]["late"] = json!({
        "network_config": {"max_retries": 1},
        "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
    });
    let cluster = Cluster::builder().config(config).start().await;
    let body = json!({"model": "demo/error-200", "prompt": "x", "fallbacks": ["late/retry-after-20"]});
    let id = cluster.api.submit(body).await;
    let delayed = "hermod_jobs_delayed_total";
    eventually("it is delayed", PATIENCE, async || {
        (cluster.worker_metric(0, delayed).await > 0.0).then_some(())
    })
    .await;
    let job = cancel(&cluster.api, &id).await.json();
    let extra = &job["error"]["extra_fields"];
    assert_eq!(extra["attempts"].as_array().map(Vec::len), Some(2), "{job}");
    let used = &extra["usage_charged"];
    assert_eq!(
        (&used["input_tokens"], &used["output_tokens"], &used["requests"]),
        (&json!(7), &json!(3), &json!(1))
    );
    is_cost(&used["cost"], price(7.0, 3.0));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_call_that_is_cut_off_has_unknown_usage() {
    let cluster = Cluster::builder().config(priced(&["demo"])).start().await;
    let id = cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    cancel(&cluster.api, &id).await;
    let job = cluster.ended(&id).await;
    assert_eq!(job["error"]["extra_fields"].get("usage_charged"), None, "{job}");
    let unknown = "hermod_unknown_calls_total{key=\"\"}";
    eventually("it is counted", PATIENCE, async || {
        (cluster.worker_metric(0, unknown).await == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_is_asked_prompt_by_prompt_costs_the_sum_of_its_answers() {
    let mut config = priced(&["groq"]);
    config["providers"]["groq"] = json!({"keys": [{"name": "one", "value": "key"}]});
    let cluster = Cluster::builder().config(config).start().await;
    let job = cluster.run(json!({"model": "groq/echo", "prompt": ["a", "b c", "d e f"]})).await;
    let extra = &job["result"]["extra_fields"];
    assert_eq!(cluster.calls_of("echo"), 3);
    let attempt = &extra["attempts"][0];
    assert_eq!((&attempt["input_tokens"], &attempt["output_tokens"]), (&json!(6), &json!(6)), "{job}");
    is_cost(&extra["cost"], price(6.0, 6.0));
}

#[tokio::test]
async fn prices_come_from_the_operators_list_and_overrides_come_before_it() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let list = json!({
        "demo/echo": {"provider": "demo", "mode": "completion", "input_cost_per_token": 3e-6, "output_cost_per_token": 0},
        "demo/empty": {"provider": "demo", "mode": "completion", "input_cost_per_token": 3e-6, "output_cost_per_token": 0},
    });
    file.write_all(list.to_string().as_bytes()).unwrap();
    let free = json!({"id": "free", "scope_kind": "provider", "provider_id": "demo", "match_type": "exact", "pattern": "empty",
        "request_types": ["text_completion"], "pricing_patch": "{\"input_cost_per_token\":0}"});
    let config = json!({
        "framework": {"pricing": {"pricing_url": format!("file://{}", file.path().display())}},
        "governance": {"pricing_overrides": [free]},
    });
    let cluster = Cluster::builder().config(config).start().await;
    let job = cluster.run(json!({"model": "demo/echo", "prompt": "one two"})).await;
    is_cost(&job["result"]["extra_fields"]["cost"], 6e-6);
    let job = cluster.run(json!({"model": "demo/empty", "prompt": "one two"})).await;
    is_cost(&job["result"]["extra_fields"]["cost"], 0.0);
}
