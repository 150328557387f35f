//! How long a job waits for its limits, and what it holds meanwhile.

use hermod_tests::{Cluster, Gate, PATIENCE, eventually};
use redis::Commands;
use serde_json::{Value, json};

use crate::limits_running::{self, KEY, config, counted, ended, gated, poll, requests, running, submit};

#[tokio::test]
async fn a_later_start_is_when_a_job_begins_to_wait_for_its_limits() {
    const DELAY_MS: u64 = 3000;
    const WAIT_MS: u64 = 2000;
    let gate = Gate::start();
    let cluster = gated(&gate, Value::Null, json!({"max_concurrent": 1})).start().await;
    let body = json!({"model": "gate/x", "prompt": "x"});
    let first = submit(&cluster.api, body.clone()).await;
    eventually("it is called", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    let later = cluster.api.submission(body.to_string()).header("x-bf-vk", KEY);
    let later = later.header("x-hermod-delay", (DELAY_MS / 1000).to_string());
    let answer = cluster.api.send(later.header("x-hermod-max-wait", (WAIT_MS / 1000).to_string())).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let job = eventually("its latest start is over", PATIENCE, async || {
        let answer = poll(&cluster.api, &id).await;
        (answer.status != 202).then(|| answer.json())
    })
    .await;
    assert_eq!(job["error"]["type"], "concurrency_limited", "{job}");
    let completed: u64 = cluster.connect().hget(format!("{{hermod:0}}:job:{id}"), "completed").unwrap();
    let accepted = u64::from_str_radix(&id.replace('-', "")[..12], 16).unwrap();
    let waited = completed - accepted;
    assert!(waited >= DELAY_MS + WAIT_MS, "it ended after {waited} ms");
    gate.open();
    assert_eq!(ended(&cluster, &first).await["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_was_admitted_for_a_submit_that_then_finds_the_queue_full_is_free_again() {
    let settings = config(&["demo"], requests(5, "1h"), json!({"max_concurrent": 2}));
    let cluster = Cluster::builder().config(settings).set("HERMOD_QUEUE_LIMIT", 1).workers(0).start().await;
    let now = || {
        let body = json!({"model": "demo/echo", "prompt": "x"}).to_string();
        cluster.api.submission(body).header("x-bf-vk", KEY).header("x-hermod-max-wait", "0")
    };
    assert_eq!(cluster.api.send(now()).await.status, 202);
    let held = || (counted(&cluster, "requests:rate"), running(&cluster));
    assert_eq!(held(), ((0, 1), 1));
    let answer = cluster.api.send(now()).await;
    assert!(answer.error(429).contains("queue"), "{answer:?}");
    assert_eq!(held(), ((0, 1), 1), "the second holds nothing");
}

#[tokio::test]
async fn a_budget_is_not_overshot_by_honest_jobs_however_many_come_at_once() {
    const NANOS: u64 = 500_000_000;
    let mut settings = config(&["demo"], Value::Null, json!({}));
    settings["governance"]["budgets"] =
        json!([{"id": "b", "max_limit": 0.5, "reset_duration": "1M", "virtual_key_id": "vk"}]);
    settings["governance"]["pricing_overrides"] = json!([{
        "id": "p", "scope_kind": "provider", "provider_id": "demo", "match_type": "exact", "pattern": "echo",
        "request_types": ["text_completion"], "patch": {"input_cost_per_token": 0.01, "output_cost_per_token": 0.01},
    }]);
    let cluster = Cluster::builder().config(settings).workers(4).apis(2).start().await;
    let apis = cluster.apis.read().unwrap().clone();
    let body = json!({"model": "demo/echo", "prompt": "one two three", "max_tokens": 4});
    let submits = (0..60).map(|number: usize| limits_running::try_submit(&apis[number % 2], &body));
    let answers = futures_util::future::join_all(submits).await;
    let (mut completed, mut refused) = (0, 0);
    for answer in answers {
        let answer = answer.unwrap();
        if answer.status == 402 {
            refused += 1;
            continue;
        }
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let job = eventually("it has ended", PATIENCE, async || {
            let (used, reserved) = counted(&cluster, "budget:b");
            assert!(used + reserved <= NANOS, "{used} used and {reserved} reserved of {NANOS}");
            let answer = poll(&cluster.api, &id).await;
            (answer.status != 202).then(|| answer.json())
        })
        .await;
        match job["status"].as_str() {
            Some("completed") => completed += 1,
            _ if job["error"]["type"] == "budget_exceeded" => refused += 1,
            _ => panic!("{job}"),
        }
    }
    cluster.assert_drained().await;
    let (used, reserved) = counted(&cluster, "budget:b");
    assert!(used <= NANOS && reserved == 0, "{used} used and {reserved} reserved of {NANOS}");
    assert!(completed >= 5 && refused >= 30, "{completed} completed, {refused} refused");
}
