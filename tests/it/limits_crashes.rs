//! Limits under kills of every process.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hermod_tests::{Cluster, PATIENCE, Servers, eventually, eventually_ok, lasts};
use redis::Commands;
use serde_json::{Value, json};

use crate::limits_running::{config, counted, ended, poll, requests, submit, totals, try_submit};

/// Looks all the time at what is used and reserved of a limit, and how many run.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(u64, u64)>,
}

impl Watch {
    fn start(cluster: &Cluster, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut redis, stopped, name) = (cluster.connect(), Arc::clone(&stop), name.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut most, mut most_running) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                let mut pipeline = redis::pipe();
                pipeline.atomic().hmget(format!("{{hermod:0}}:limit:{name}"), &["u", "r"]);
                pipeline.zcard("{hermod:0}:running:key:vk");
                let ((used, reserved), running): ((Option<u64>, Option<u64>), u64) =
                    pipeline.query(&mut redis).unwrap();
                most = most.max(used.unwrap_or_default() + reserved.unwrap_or_default());
                most_running = most_running.max(running);
                std::thread::sleep(Duration::from_millis(1));
            }
            (most, most_running)
        });
        Self { stop, thread }
    }

    /// The most that there was at one time.
    fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Submits through any API process until so many are accepted.
async fn submit_all(cluster: &Cluster, bodies: impl Iterator<Item = Value>) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, body) in bodies.enumerate() {
        let id = eventually("it is accepted", PATIENCE, async || {
            let api = {
                let apis = cluster.apis.read().unwrap();
                apis.get(number % apis.len().max(1))?.clone()
            };
            let answer = try_submit(&api, &body).await.ok()?;
            (answer.status == 202).then(|| answer.json()["id"].as_str().unwrap().to_owned())
        });
        ids.push(id.await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_start_in_a_window_than_may_whoever_is_killed() {
    const LIMIT: u64 = 100;
    let settings = config(&["demo"], requests(LIMIT, "1h"), json!({"max_concurrent": 24}));
    let mut cluster =
        Cluster::builder().config(settings).apis(4).workers(8).set("HERMOD_CONCURRENCY", 16).start().await;
    let watch = Watch::start(&cluster, "requests:rate");
    let apis = Arc::clone(&cluster.apis);
    let ids = Arc::new(Mutex::new(Vec::new()));
    let submitted = {
        let (apis, ids) = (apis, Arc::clone(&ids));
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        tokio::spawn(async move {
            for number in 0..180_usize {
                let body = json!({"model": "demo/slow-50ms", "prompt": format!("prompt {number}")});
                loop {
                    let api = {
                        let apis = apis.read().unwrap();
                        apis.get(number % apis.len().max(1)).cloned()
                    };
                    if let Some(api) = api
                        && let Ok(answer) = try_submit(&api, &body).await
                        && answer.status == 202
                    {
                        ids.lock().unwrap().push(answer.json()["id"].as_str().unwrap().to_owned());
                        break;
                    }
                    lasts(Duration::from_millis(20)).await;
                }
            }
        })
    };
    for round in 0..12 {
        lasts(Duration::from_millis(150)).await;
        for _ in 0..cluster.workers.len() {
            drop(cluster.take_worker(0));
        }
        if round % 3 == 0 {
            cluster.kill_api(1);
            cluster.add_api().await;
        }
        for _ in 0..8 {
            cluster.add_worker().await;
        }
    }
    submitted.await.unwrap();
    let ids = ids.lock().unwrap().clone();
    eventually_ok("as many have ended as may start", PATIENCE, async || {
        let (used, reserved) = counted(&cluster, "requests:rate");
        if (used, reserved) == (LIMIT, 0) { Ok(()) } else { Err(format!("{used} {reserved}")) }
    })
    .await;
    let mut completed = 0;
    for id in &ids {
        // One that was claimed by a worker which was then killed is given back after its lease.
        let ended = eventually_ok("what has not ended waits", PATIENCE, async || {
            let answer = poll(&cluster.api, id).await;
            match answer.status {
                200 => Ok(true),
                202 if answer.json()["status"] == "pending" => Ok(false),
                _ => Err(answer.text),
            }
        });
        completed += u64::from(ended.await);
    }
    // A submit whose answer died with its process may have been accepted; it is in none of our lists.
    let started: HashSet<String> = cluster.calls().into_iter().map(|call| call.body).collect();
    let (most, most_running) = watch.stop();
    assert!(completed <= LIMIT && started.len() as u64 <= LIMIT, "{completed} {}", started.len());
    assert!(most <= LIMIT && most_running <= 24, "{most} used and reserved, {most_running} running");
    assert_eq!(totals(&cluster)["requests"], LIMIT);
    assert_eq!(cluster.connect().hlen::<_, u64>("{hermod:0}:permits").unwrap(), 0);
}

/// What the journals of jobs say that was used.
fn journal(job: &Value, field: &str) -> u64 {
    let extra = if job["status"] == "completed" { &job["result"] } else { &job["error"] };
    let attempts = extra["extra_fields"]["attempts"].as_array().cloned().unwrap_or_default();
    attempts.iter().filter_map(|attempt| attempt[field].as_u64()).sum()
}

fn priced(mut settings: Value) -> Value {
    settings["governance"]["pricing_overrides"] = json!([{
        "id": "demo", "name": "demo", "scope_kind": "global", "match_type": "wildcard", "pattern": "*",
        "request_types": ["text_completion"],
        "pricing_patch": r#"{"input_cost_per_token":0.001,"output_cost_per_token":0.002}"#,
    }]);
    settings["governance"]["budgets"] =
        json!([{"id": "money", "max_limit": 100_000, "reset_duration": "1d", "virtual_key_id": "vk"}]);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn after_many_kills_what_was_used_is_the_sum_over_the_journals() {
    let rates = json!({
        "request_max_limit": 100_000, "request_reset_duration": "1h",
        "token_max_limit": 10_000_000, "token_reset_duration": "1h",
    });
    let settings = priced(config(&["demo"], rates, json!({"max_concurrent": 20})));
    let mut cluster = Cluster::builder()
        .config(settings)
        .workers(4)
        .set("HERMOD_CONCURRENCY", 16)
        .set("HERMOD_MAX_ATTEMPTS", 50)
        .start()
        .await;
    let watch = Watch::start(&cluster, "requests:rate");
    let bodies = (0..300).map(|number| {
        let model = ["demo/echo", "demo/slow-50ms", "demo/fail-501"][number % 3];
        json!({"model": model, "prompt": format!("some words of prompt {number}"), "fallbacks": ["demo/slow-50ms"]})
    });
    let ids = submit_all(&cluster, bodies).await;
    let (begun, mut kills) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(15) {
        lasts(Duration::from_millis(60)).await;
        drop(cluster.take_worker(kills % 4));
        kills += 1;
        cluster.add_worker().await;
    }
    let (mut input, mut output, mut cost) = (0, 0, 0.0);
    for id in &ids {
        let job = ended(&cluster, id).await;
        input += journal(&job, "input_tokens");
        output += journal(&job, "output_tokens");
        let extra = if job["status"] == "completed" { &job["result"] } else { &job["error"] };
        for attempt in extra["extra_fields"]["attempts"].as_array().unwrap() {
            cost += attempt["cost"].as_f64().unwrap_or_default();
        }
    }
    cluster.assert_drained().await;
    let totals = totals(&cluster);
    assert_eq!(
        (totals["requests"], totals["input_tokens"], totals["output_tokens"]),
        (300, input, output),
        "{kills} kills"
    );
    assert!((totals["cost"] as f64 / 1e9 - cost).abs() < 1e-6, "{totals:?} {cost}");
    assert_eq!(counted(&cluster, "requests:rate"), (300, 0));
    assert_eq!(counted(&cluster, "tokens:rate"), (input + output, 0));
    assert_eq!(counted(&cluster, "budget:money"), (totals["cost"], 0));
    assert!(watch.stop().1 <= 20);
}

#[tokio::test]
async fn limits_hold_over_all_shards_of_a_cluster() {
    let mut cluster = Cluster::builder()
        .config(config(&["demo"], requests(40, "1h"), json!({"max_concurrent": 4})))
        .servers(Servers::Cluster)
        .set("HERMOD_SHARDS", 16)
        .workers(3)
        .start()
        .await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(
            submit(&cluster.api, json!({"model": "demo/slow-50ms", "prompt": number.to_string()})).await,
        );
    }
    drop(cluster.take_worker(0));
    cluster.add_worker().await;
    for id in &ids {
        assert_eq!(ended(&cluster, id).await["status"], "completed");
    }
    cluster.assert_drained().await;
    let node = cluster.redis_cluster().node_of(0);
    let totals: u64 =
        cluster.redis_cluster().0[node].connect().hget("{hermod:0}:totals:vk", "requests").unwrap();
    assert_eq!(totals, 40);
}
