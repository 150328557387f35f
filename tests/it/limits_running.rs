//! Limits and budgets: what waits, what is refused, and what is counted.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use hermod_tests::{Api, Builder, Cluster, Gate, Monitor, PATIENCE, eventually, eventually_ok};
use redis::Commands;
use serde_json::{Value, json};

use crate::cancel::journal_of_cancelled;

pub(crate) const KEY: &str = "sk-bf-limited";

/// One virtual key that may use all of these providers, and what is joined to the configuration.
pub(crate) fn config(providers: &[&str], rates: Value, options: Value) -> Value {
    let grant = |name: &&str| json!({"provider": name, "allowed_models": ["*"], "key_ids": ["*"]});
    let mut config = json!({
        "governance": {
            "virtual_keys": [{
                "id": "vk", "name": "limited", "value": KEY,
                "provider_configs": providers.iter().map(grant).collect::<Vec<_>>(),
            }],
        },
        "hermod": {"keys": {"vk": options}},
    });
    if rates.is_object() {
        config["governance"]["virtual_keys"][0]["rate_limit_id"] = json!("rate");
        let mut rate = rates;
        rate["id"] = json!("rate");
        config["governance"]["rate_limits"] = json!([rate]);
    }
    config
}

pub(crate) fn requests(max: u64, window: &str) -> Value {
    json!({"request_max_limit": max, "request_reset_duration": window})
}

pub(crate) async fn try_submit(api: &Api, body: &Value) -> reqwest::Result<hermod_tests::Answer> {
    api.try_send(api.submission(body.to_string()).header("x-bf-vk", KEY)).await
}

pub(crate) async fn submit(api: &Api, body: Value) -> String {
    let answer = try_submit(api, &body).await.unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn poll(api: &Api, id: &str) -> hermod_tests::Answer {
    api.send(api.request_poll(id).header("x-bf-vk", KEY)).await
}

pub(crate) async fn ended(cluster: &Cluster, id: &str) -> Value {
    eventually(&format!("{id} has ended"), PATIENCE, async || {
        let answer = poll(&cluster.api, id).await;
        assert!(matches!(answer.status, 200 | 202 | 503), "{answer:?}");
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

/// What the key `vk` has used on all days, of all models.
pub(crate) fn totals(cluster: &Cluster) -> BTreeMap<String, u64> {
    let mut redis = cluster.connections().remove(0);
    let days: Vec<String> = redis.keys("{hermod:0}:usage:*").unwrap();
    let mut totals = BTreeMap::new();
    for day in days {
        let rows: BTreeMap<String, u64> = redis.hgetall(day).unwrap();
        for (name, count) in rows {
            if let [owner, _model, field] = name.split('\n').collect::<Vec<_>>()[..]
                && owner == "vk"
            {
                *totals.entry(field.to_owned()).or_default() += count;
            }
        }
    }
    totals
}

/// `used` and `reserved` of a limit.
pub(crate) fn counted(cluster: &Cluster, name: &str) -> (u64, u64) {
    let fields = ["u", "r"];
    let (used, reserved): (Option<u64>, Option<u64>) =
        cluster.connect().hmget(format!("{{hermod:0}}:limit:{name}"), &fields).unwrap();
    (used.unwrap_or_default(), reserved.unwrap_or_default())
}

pub(crate) fn running(cluster: &Cluster) -> u64 {
    cluster.connect().zcard("{hermod:0}:running:key:vk").unwrap()
}

fn prompt(number: usize) -> Value {
    json!({"model": "demo/echo", "prompt": format!("prompt number {number}")})
}

#[tokio::test]
async fn a_rate_makes_jobs_late_and_none_is_lost() {
    let cluster =
        Cluster::builder().config(config(&["demo"], requests(5, "2s"), json!({}))).workers(2).start().await;
    let mut ids = Vec::new();
    for number in 0..14 {
        ids.push(submit(&cluster.api, prompt(number)).await);
    }
    eventually("the rest waits", PATIENCE, async || {
        let answer = poll(&cluster.api, &ids[13]).await;
        (answer.status == 202 && cluster.calls().len() >= 5).then_some(())
    })
    .await;
    for id in &ids {
        assert_eq!(ended(&cluster, id).await["status"], "completed");
    }
    assert_eq!((cluster.calls().len(), totals(&cluster)["requests"]), (14, 14));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_limit_that_opens_too_late_ends_the_job_with_its_refusal() {
    let settings = config(&["demo"], requests(1, "1h"), json!({}));
    let gate = Gate::start();
    let mut settings = settings;
    settings["providers"] = gate.config()["providers"].clone();
    settings["governance"]["virtual_keys"][0]["provider_configs"] =
        json!([{"provider": "gate", "allowed_models": ["*"], "key_ids": ["*"]}]);
    let cluster = Cluster::builder().config(settings).set("HERMOD_MAX_WAIT_SECONDS", 5).start().await;
    let body = json!({"model": "gate/x", "prompt": "x"});
    let first = submit(&cluster.api, body.clone()).await;
    eventually("it runs", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    // What the first has merely reserved counts as free, so it is accepted.
    let second = submit(&cluster.api, body.clone()).await;
    let refused = ended(&cluster, &second).await;
    assert_eq!(
        (
            &refused["status"],
            &refused["status_code"],
            &refused["error"]["type"],
            &refused["error"]["error"]["code"]
        ),
        (&json!("failed"), &json!(429), &json!("request_limited"), &json!("rate"))
    );
    gate.open();
    assert_eq!(ended(&cluster, &first).await["status"], "completed");
    assert_eq!((gate.arrived(), totals(&cluster)["requests"]), (1, 1), "who is refused is not counted");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn jobs_of_a_key_that_is_blocked_while_they_wait_end_as_such() {
    let mut cluster =
        Cluster::builder().config(config(&["demo"], requests(9, "1h"), json!({}))).workers(0).start().await;
    let id = submit(&cluster.api, prompt(1)).await;
    let text = std::fs::read_to_string(cluster.config_path()).unwrap();
    let text = text.replace(r#""id":"vk","#, r#""id":"vk","is_active":false,"#);
    std::fs::write(cluster.config_path(), text).unwrap();
    cluster.add_worker().await;
    eventually_ok("it has ended", PATIENCE, async || {
        let state: Option<u64> = cluster.connect().hget(format!("{{hermod:0}}:job:{id}"), "code").unwrap();
        if state == Some(403) { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    let outcome: String = cluster.connect().hget(format!("{{hermod:0}}:job:{id}"), "outcome").unwrap();
    assert!(outcome.contains("access_blocked"), "{outcome}");
    assert_eq!((cluster.calls().len(), totals(&cluster).len()), (0, 0));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_fallback_whose_limits_are_closed_is_passed_over() {
    let mut settings = config(&["demo", "spare"], Value::Null, json!({}));
    settings["providers"]["spare"] =
        json!({"custom_provider_config": {"base_provider_type": "openai", "is_key_less": true}});
    settings["governance"]["rate_limits"] =
        json!([{"id": "few", "request_max_limit": 1, "request_reset_duration": "1h"}]);
    settings["governance"]["providers"] = json!([{"name": "spare", "rate_limit_id": "few"}]);
    let cluster = Cluster::builder().config(settings).start().await;
    let body = json!({"model": "demo/fail-501", "prompt": "x", "fallbacks": ["spare/echo"]});
    let first = ended(&cluster, &submit(&cluster.api, body.clone()).await).await;
    assert_eq!(first["status"], "completed");
    let second = ended(&cluster, &submit(&cluster.api, body).await).await;
    assert_eq!((&second["status"], &second["status_code"]), (&json!("failed"), &json!(501)));
    let attempts = second["error"]["extra_fields"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{second}");
    assert_eq!(
        (&attempts[1]["target"], &attempts[1]["skipped"]),
        (&json!("spare/echo"), &json!("request_limited"))
    );
    assert_eq!((cluster.calls().len(), totals(&cluster)["requests"]), (3, 2));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn whatever_is_cancelled_holds_nothing() {
    let gate = Gate::start();
    let mut settings = config(&["gate"], requests(100, "1h"), json!({"max_concurrent": 1}));
    settings["providers"] = gate.config()["providers"].clone();
    let cluster = Cluster::builder().config(settings).start().await;
    let body = json!({"model": "gate/x", "prompt": "x"});
    let runs = submit(&cluster.api, body.clone()).await;
    eventually("it runs", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(submit(&cluster.api, body.clone()).await);
    }
    eventually("they wait for it", PATIENCE, async || {
        let laned: Option<u64> = cluster.connect().get("{hermod:0}:laned").unwrap();
        (laned == Some(3)).then_some(())
    })
    .await;
    assert_eq!((running(&cluster), gate.arrived()), (1, 1));
    let cancel = async |id: &str| {
        let path = format!("/v1/async/completions/{id}/cancel");
        cluster.api.send(cluster.api.request(reqwest::Method::POST, &path).header("x-bf-vk", KEY)).await
    };
    assert_eq!(cancel(&waiting[0]).await.status, 200);
    assert_eq!(counted(&cluster, "requests:rate"), (0, 1));
    assert_eq!(cancel(&runs).await.status, 202);
    journal_of_cancelled(&ended(&cluster, &runs).await);
    // The next one is told at once.
    eventually("the next one runs", PATIENCE, async || (gate.arrived() == 2).then_some(())).await;
    gate.open();
    for id in &waiting[1..] {
        assert_eq!(ended(&cluster, id).await["status"], "completed");
    }
    let totals = totals(&cluster);
    assert_eq!((totals["requests"], totals.get("unknown_calls").copied()), (3, Some(1)));
    assert_eq!(counted(&cluster, "requests:rate"), (3, 0));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_delayed_job_leaves_its_place_and_keeps_what_it_has_reserved() {
    let mut settings = config(&["demo"], requests(100, "1h"), json!({"max_concurrent": 1}));
    settings["providers"]["demo"] = json!({
        "network_config": {"max_retries": 3},
        "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
    });
    let cluster = Cluster::builder().config(settings).start().await;
    let delayed = submit(&cluster.api, json!({"model": "demo/retry-after-20", "prompt": "x"})).await;
    eventually("it is delayed", PATIENCE, async || {
        let delayed: u64 = cluster.connect().zcard("{hermod:0}:delayed").unwrap();
        (delayed == 1 && running(&cluster) == 0).then_some(())
    })
    .await;
    assert_eq!(counted(&cluster, "requests:rate"), (0, 1));
    assert_eq!(ended(&cluster, &submit(&cluster.api, prompt(1)).await).await["status"], "completed");
    let path = format!("/v1/async/completions/{delayed}/cancel");
    let cancel = cluster.api.request(reqwest::Method::POST, &path).header("x-bf-vk", KEY);
    assert_eq!(cluster.api.send(cancel).await.status, 200);
    eventually("it is counted", PATIENCE, async || {
        (counted(&cluster, "requests:rate") == (2, 0)).then_some(())
    })
    .await;
    assert_eq!(totals(&cluster)["requests"], 2);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_dead_letter_that_is_queued_again_counts_again() {
    let mut cluster = Cluster::builder()
        .config(config(&["demo"], requests(100, "1h"), json!({"max_concurrent": 5})))
        .set("HERMOD_MAX_ATTEMPTS", 1)
        .start()
        .await;
    let id = submit(&cluster.api, json!({"model": "demo/slow-2s", "prompt": "x"})).await;
    cluster.called("slow-2s", 1).await;
    drop(cluster.take_worker(0));
    cluster.add_worker().await;
    assert_eq!(ended(&cluster, &id).await["error"]["error"]["code"], "job_attempts_exhausted");
    eventually("it is queued again", PATIENCE, async || {
        let (code, _) = crate::operator::queue(&cluster, &["dead", "requeue", &id]).await;
        (code == Some(0)).then_some(())
    })
    .await;
    assert_eq!(ended(&cluster, &id).await["status"], "completed");
    eventually("both are counted", PATIENCE, async || {
        (counted(&cluster, "requests:rate") == (2, 0)).then_some(())
    })
    .await;
    let totals = totals(&cluster);
    assert_eq!((totals["requests"], totals["unknown_calls"]), (2, 1));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_without_a_key_and_limits_makes_no_further_command() {
    let cluster = Cluster::builder().config(config(&["demo"], requests(5, "1h"), json!({}))).start().await;
    let monitor = Monitor::start(&cluster);
    assert_eq!(cluster.run(prompt(1)).await["status"], "completed");
    cluster.assert_drained().await;
    let of_limits = ["permits", "limit:", "running:", "totals:", "usage:", "waiters:"];
    for command in monitor.commands() {
        let words: Vec<_> = command.0.iter().map(|word| String::from_utf8_lossy(word)).collect();
        // The sweep of the leader looks at all permits; and scripts speak of them that find none.
        let is_sweep =
            words.iter().any(|word| word == "HSCAN") || ["EVALSHA", "SCRIPT"].contains(&&*words[0]);
        assert!(
            is_sweep || !words.iter().any(|word| of_limits.iter().any(|name| word.contains(name))),
            "{words:?}"
        );
    }
}

#[tokio::test]
async fn what_was_admitted_before_its_submit_is_free_again_when_it_is_cancelled() {
    let gate = Gate::start();
    let cluster = gated(&gate, requests(5, "1h"), json!({"max_concurrent": 2}))
        .set("HERMOD_CONCURRENCY", 1)
        .start()
        .await;
    let body = json!({"model": "gate/x", "prompt": "x"});
    let first = submit(&cluster.api, body.clone()).await;
    eventually("the only slot is taken", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    let now =
        cluster.api.submission(body.to_string()).header("x-bf-vk", KEY).header("x-hermod-max-wait", "0");
    let answer = cluster.api.send(now).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!((counted(&cluster, "requests:rate"), running(&cluster)), ((0, 2), 2));
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/async/completions/{id}/cancel");
    let cancel = cluster.api.request(reqwest::Method::POST, &path).header("x-bf-vk", KEY);
    assert_eq!(cluster.api.send(cancel).await.status, 200);
    eventually("it holds nothing", PATIENCE, async || {
        (counted(&cluster, "requests:rate") == (0, 1) && running(&cluster) == 1).then_some(())
    })
    .await;
    gate.open();
    assert_eq!(ended(&cluster, &first).await["status"], "completed");
    cluster.assert_drained().await;
    assert_eq!(totals(&cluster)["requests"], 1);
}

/// The builder of a fleet whose provider answers when the test wants it to.
pub(crate) fn gated(gate: &Gate, rates: Value, options: Value) -> Builder {
    let mut settings = config(&["gate"], rates, options);
    settings["providers"] = gate.config()["providers"].clone();
    Cluster::builder().config(settings)
}

#[tokio::test]
async fn no_more_run_at_once_than_may_and_each_place_is_taken_at_once() {
    let gate = Gate::start();
    let mut cluster = gated(&gate, Value::Null, json!({"max_concurrent": 3})).workers(4).start().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(submit(&cluster.api, json!({"model": "gate/x", "prompt": "x"})).await);
    }
    let settled = |waiting: u64| {
        let mut redis = cluster.connect();
        let laned: Option<u64> = redis.get("{hermod:0}:laned").unwrap();
        laned.unwrap_or_default() == waiting
    };
    eventually("three run, and all others wait", PATIENCE, async || {
        (gate.arrived() == 3 && settled(17)).then_some(())
    })
    .await;
    // For longer than a lane is closed.
    hermod_tests::lasts(Duration::from_secs(2)).await;
    assert_eq!((gate.arrived(), running(&cluster)), (3, 3));
    // All workers die. Those that ran go on, with their places.
    for _ in 0..4 {
        drop(cluster.take_worker(0));
    }
    for _ in 0..4 {
        cluster.add_worker().await;
    }
    eventually("the same three run again", PATIENCE, async || (gate.arrived() == 6).then_some(())).await;
    assert_eq!(running(&cluster), 3);
    gate.open();
    for id in &ids {
        assert_eq!(ended(&cluster, id).await["status"], "completed");
    }
    assert_eq!(gate.arrived(), 23);
    let totals = totals(&cluster);
    assert_eq!((totals["requests"], totals["unknown_calls"]), (20, 3));
    cluster.assert_drained().await;
    let unique: HashSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), 20);
}
