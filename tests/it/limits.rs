//! Limits as a client meets them: what is refused at submit, what waits, and what answers say of it.

use hermod_tests::{Answer, Api, Cluster, Gate, PATIENCE, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const KEY: &str = "sk-bf-k";
const BODY: &str = r#"{"model":"demo/echo","prompt":"x"}"#;

/// A key with these members and limits.
fn config(key: Value, governance: Value, hermod: Value) -> Value {
    let grant = |provider: &str| json!({"provider": provider, "allowed_models": ["*"], "key_ids": ["*"]});
    let mut virtual_key =
        json!({"id": "k", "name": "K", "value": KEY, "provider_configs": [grant("demo"), grant("gate")]});
    virtual_key.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
    let mut config = json!({"governance": governance, "hermod": hermod});
    config["governance"]["virtual_keys"] = json!([virtual_key]);
    config
}

/// A limit of so many requests an hour.
fn requests_an_hour(max: u64) -> Value {
    let limit = json!({"id": "r", "request_max_limit": max, "request_reset_duration": "1h"});
    config(json!({"rate_limit_id": "r"}), json!({"rate_limits": [limit]}), json!({}))
}

fn submission(api: &Api, body: &str) -> RequestBuilder {
    api.submission(body.to_owned()).header("x-bf-vk", KEY)
}

async fn poll(api: &Api, path: &str) -> Answer {
    api.send(api.request(Method::GET, path).header("x-bf-vk", KEY)).await
}

async fn ended(api: &Api, path: &str) -> Value {
    eventually("it has ended", PATIENCE, async || {
        let answer = poll(api, path).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

/// Asserts what a refusal is, and returns its Retry-After in seconds.
fn refused(answer: &Answer, status: u16, kind: &str, code: &str) -> u64 {
    answer.error(status);
    let body = answer.json();
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!(kind), &json!(kind)), "{body}");
    assert_eq!(body["error"]["code"], code, "{body}");
    answer.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn a_job_that_cannot_be_admitted_in_time_is_refused_with_the_true_instant() {
    let cluster = Cluster::builder().config(requests_an_hour(2)).start().await;
    let api = &cluster.api;
    for _ in 0..2 {
        let path = api.accepted(submission(api, BODY)).await;
        assert_eq!(ended(api, &path).await["status"], "completed");
    }
    // What was used counts a moment after the end.
    let refusal = eventually("both are counted", PATIENCE, async || {
        let answer = api.send(submission(api, BODY).header("x-hermod-max-wait", "10")).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    let wait = refused(&refusal, 429, "request_limited", "r");
    assert!((3000..=3600).contains(&wait), "{wait}");
    assert_eq!(refusal.header("x-should-retry"), "false");
    let message = "Rate limit exceeded: rate limit violated for virtual key: [request limit exceeded (2/2, resets every 1h)]";
    assert_eq!(refusal.error(429), message);
    assert_eq!(cluster.calls_of("echo"), 2);

    let at_once = api.send(submission(api, BODY).header("x-hermod-max-wait", "0")).await;
    refused(&at_once, 429, "request_limited", "r");
    // A day is enough.
    let path = api.accepted(submission(api, BODY)).await;
    let waiting = eventually("it waits for its limit", PATIENCE, async || {
        let answer = poll(api, &path).await;
        (answer.header("x-hermod-waiting-for") == "request_limited").then_some(answer)
    })
    .await;
    assert_eq!((waiting.status, &waiting.json()["status"]), (202, &json!("pending")));
    let again: u64 = waiting.header("retry-after").parse().unwrap();
    assert!((1..60).contains(&again), "{again}");
    let cancelled = api.send(api.request(Method::DELETE, &path).header("x-bf-vk", KEY)).await;
    assert!(cancelled.status < 300, "{cancelled:?}");
    for wrong in ["-1", "soon", "1.5", ""] {
        let answer = api.send(submission(api, BODY).header("x-hermod-max-wait", wrong)).await;
        assert!(answer.error(400).contains("x-hermod-max-wait"), "{wrong}");
    }
}

#[tokio::test]
async fn answers_to_a_key_say_what_is_left_of_its_tightest_limits() {
    let limits = json!([
        {"id": "r", "request_max_limit": 10, "request_reset_duration": "1h", "token_max_limit": 100_000, "token_reset_duration": "1d"},
        {"id": "t", "request_max_limit": 5, "request_reset_duration": "1d"}]);
    let teams = json!([{"id": "t", "name": "T", "rate_limit_id": "t"}]);
    let key = json!({"rate_limit_id": "r", "team_id": "t"});
    let config = config(key, json!({"rate_limits": limits, "teams": teams}), json!({}));
    let cluster = Cluster::builder().config(config).start().await;
    let api = &cluster.api;
    let path = api.accepted(submission(api, BODY)).await;
    ended(api, &path).await;
    let answer = eventually("it is counted", PATIENCE, async || {
        let answer = poll(api, &path).await;
        (answer.header("x-ratelimit-remaining-requests") == "4").then_some(answer)
    })
    .await;
    assert_eq!(answer.header("x-ratelimit-limit-requests"), "5");
    let reset = answer.header("x-ratelimit-reset-requests");
    assert!(reset.contains('h') && reset.ends_with('s'), "{reset}");
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), "100000");
    let left: u64 = answer.header("x-ratelimit-remaining-tokens").parse().unwrap();
    assert!(left <= 100_000, "{left}");
    let open = api.get("/v1/async/completions/00000000-0000-7000-8000-000000000000").await;
    assert_eq!(open.header("x-ratelimit-limit-requests"), "", "of no key");
}

#[tokio::test]
async fn now_or_never_is_told_at_once_whether_there_is_room_among_running_jobs() {
    let gate = Gate::start();
    let mut config = config(json!({}), json!({}), json!({"keys": {"k": {"max_concurrent": 1}}}));
    config["providers"] = gate.config()["providers"].clone();
    let cluster = Cluster::builder().config(config).start().await;
    let api = &cluster.api;
    let now = |body: &str| submission(api, body).header("x-hermod-max-wait", "0");
    let gated = r#"{"model":"gate/x","prompt":"x"}"#;
    let first = api.accepted(now(gated)).await;
    eventually("it is called", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    let answer = api.send(now(gated)).await;
    assert!(refused(&answer, 429, "concurrency_limited", "k") < 60);
    // Who can wait waits.
    let second = api.accepted(submission(api, gated)).await;
    gate.open();
    for path in [&first, &second] {
        assert_eq!(ended(api, path).await["status"], "completed");
    }
    let third = eventually("there is room", PATIENCE, async || {
        let answer = api.send(now(BODY)).await;
        (answer.status == 202).then(|| answer.header("location").to_owned())
    })
    .await;
    assert_eq!(ended(api, &third).await["status"], "completed");
}

#[tokio::test]
async fn a_key_has_so_many_waiting_jobs_and_no_more() {
    let config = config(json!({}), json!({}), json!({"keys": {"k": {"max_waiting": 2}}}));
    let cluster = Cluster::builder().config(config).workers(0).start().await;
    let api = &cluster.api;
    for _ in 0..2 {
        api.accepted(submission(api, BODY)).await;
    }
    let answer = api.send(submission(api, BODY)).await;
    refused(&answer, 429, "queue_limited", "k");
    assert_eq!(answer.error(429), "Queue limit exceeded: 2 jobs may wait at one time");
    api.submit(BODY).await;
}

#[tokio::test]
async fn a_submit_that_is_sent_again_is_answered_as_before_though_its_limit_is_reached() {
    let cluster = Cluster::builder().config(requests_an_hour(1)).start().await;
    let api = &cluster.api;
    let once = || submission(api, BODY).header("idempotency-key", "k-1").header("x-hermod-max-wait", "0");
    let first = api.send(once()).await;
    assert_eq!(first.status, 202, "{first:?}");
    ended(api, first.header("location")).await;
    let other = submission(api, BODY).header("x-hermod-max-wait", "0");
    refused(&api.send(other).await, 429, "request_limited", "r");
    let again = api.send(once()).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (202, "true"), "{again:?}");
    assert_eq!(again.json()["id"], first.json()["id"]);
}

/// A budget of a tenth of a cent a month, of which one job uses more.
fn budget(unknown_price: &str) -> Value {
    let price = json!({"id": "p", "scope_kind": "provider", "provider_id": "demo", "match_type": "exact", "pattern": "echo",
        "request_types": ["text_completion"], "patch": {"input_cost_per_token": 0.01, "output_cost_per_token": 0.01}});
    let budget = json!({"id": "b", "max_limit": 0.001, "reset_duration": "1M", "virtual_key_id": "k"});
    let governance = json!({"budgets": [budget], "pricing_overrides": [price]});
    config(json!({}), governance, json!({"unknown_price": unknown_price}))
}

#[tokio::test]
async fn a_budget_that_is_used_up_for_the_month_is_402_at_once() {
    let cluster = Cluster::builder().config(budget("free")).start().await;
    let api = &cluster.api;
    let path = api.accepted(submission(api, BODY)).await;
    let job = ended(api, &path).await;
    assert!(job["result"]["extra_fields"]["cost"].as_f64().unwrap() >= 0.01, "{job}");
    let refusal = eventually("it is counted", PATIENCE, async || {
        let answer = api.send(submission(api, BODY)).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    let wait = refused(&refusal, 402, "budget_exceeded", "b");
    assert!((29 * 86_400..=30 * 86_400).contains(&wait), "{wait}");
    assert_eq!(refusal.header("x-should-retry"), "false");
    let message = refusal.error(402);
    assert!(message.starts_with("Budget exceeded: virtual key budget exceeded: "), "{message}");
    // Without the key, nothing is limited.
    api.submit(BODY).await;
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_where_a_budget_would_pay_and_the_operator_says_so() {
    let unpriced = r#"{"model":"demo/empty","prompt":"x"}"#;
    for (unknown_price, status) in [("refuse", 402), ("free", 202)] {
        let cluster = Cluster::builder().config(budget(unknown_price)).workers(0).start().await;
        let api = &cluster.api;
        let answer = api.send(submission(api, unpriced)).await;
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 402 {
            assert_eq!(answer.json()["type"], "budget_exceeded");
            assert_eq!(answer.error(402), "Budget exceeded: nobody knows the price of demo/empty");
        }
        api.accepted(submission(api, BODY)).await;
        api.submit(unpriced).await;
    }
}
