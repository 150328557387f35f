//! What `/metrics` of each process says, and what it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hermod_tests::{Api, Cluster, Monitor, PATIENCE, Servers, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::operator::queue;

const KEY: &str = "sk-bf-secret-of-k";

/// A scrape: what each line says, by name and labels as they are written.
struct Scrape {
    text: String,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(api: &Api) -> Self {
        let answer = api.get("/metrics").await;
        assert_eq!(answer.status, 200);
        let lines = answer.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
        let samples = samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect();
        Self { text: answer.text, samples }
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.samples.get(name).copied()
    }

    /// The types of all metrics, by name.
    fn types(&self) -> BTreeMap<&str, &str> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        lines.collect()
    }
}

/// A key `K` with these limits, for the demo provider.
fn key_with(governance: Value, key: Value) -> Value {
    let grant = json!({"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]});
    let mut virtual_key = json!({"id": "k", "name": "Key \"K\"", "value": KEY, "provider_configs": [grant]});
    virtual_key.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
    let mut config = json!({"governance": governance});
    config["governance"]["virtual_keys"] = json!([virtual_key]);
    config
}

async fn submit_with_key(api: &Api) -> String {
    let body = json!({"model": "demo/echo", "prompt": "x"}).to_string();
    api.accepted(api.submission(body).header("x-bf-vk", KEY)).await
}

async fn ends(api: &Api, path: &str) {
    eventually("it has ended", PATIENCE, async || {
        let answer = api.send(api.request(Method::GET, path).header("x-bf-vk", KEY)).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_metric_has_a_help_and_each_duration_is_a_histogram() {
    let cluster = Cluster::start().await;
    cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.run(json!({"model": "demo/fail-500", "prompt": "x"})).await;
    let (api, worker) = (Scrape::of(&cluster.api).await, Scrape::of(&cluster.worker_ports[0]).await);
    for scrape in [&api, &worker] {
        let helps: BTreeSet<&str> = scrape
            .text
            .lines()
            .filter_map(|line| Some(line.strip_prefix("# HELP ")?.split_once(' ')?.0))
            .collect();
        for (name, kind) in scrape.types() {
            assert!(name.starts_with("hermod_") && helps.contains(name), "{name} has no help");
            // Quantiles of several processes cannot be added up.
            assert_ne!(kind, "summary", "{name}");
            assert_eq!(
                name.contains("duration") || name.contains("_wait_"),
                kind == "histogram",
                "{name}: {kind}"
            );
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}: {kind}");
        }
        let version = format!("hermod_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        assert_eq!(scrape.get(&version), Some(1.0), "{}", scrape.text);
        assert_eq!(scrape.get("hermod_redis_up"), Some(1.0));
    }
    for (name, value) in [
        ("hermod_job_wait_seconds_bucket{le=\"86400\"}", 2.0),
        ("hermod_job_wait_seconds_bucket{le=\"+Inf\"}", 2.0),
        ("hermod_job_duration_seconds_count", 2.0),
        (
            r#"hermod_provider_call_duration_seconds_count{provider="demo",model="echo",outcome="success"}"#,
            1.0,
        ),
        (
            r#"hermod_provider_call_duration_seconds_bucket{provider="demo",model="echo",outcome="success",le="81.92"}"#,
            1.0,
        ),
        ("hermod_worker_slots", 256.0),
        ("hermod_delivery_slots", 256.0),
    ] {
        assert_eq!(worker.get(name), Some(value), "{name} in\n{}", worker.text);
    }
    let node = api.samples.keys().find_map(|name| name.strip_prefix("hermod_redis_memory_bytes")).unwrap();
    for (name, is_right) in [
        ("hermod_redis_memory_bytes", (|bytes| bytes > 100_000.0) as fn(f64) -> bool),
        ("hermod_redis_memory_limit_bytes", |bytes| bytes == 0.0),
        ("hermod_redis_aof_enabled", |is| is == 1.0),
        ("hermod_redis_persistence_ok", |is| is == 1.0),
        ("hermod_redis_connected_clients", |clients| clients > 1.0),
    ] {
        assert!(api.get(&format!("{name}{node}")).is_some_and(is_right), "{name} in\n{}", api.text);
    }
    eventually("the worker is known", PATIENCE, async || {
        (Scrape::of(&cluster.api).await.get("hermod_workers") == Some(1.0)).then_some(())
    })
    .await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_time_in_the_queue_is_that_of_the_queue_and_not_of_the_call() {
    let cluster = Cluster::builder().set("HERMOD_CONCURRENCY", 1).start().await;
    let first = cluster.api.submit(json!({"model": "demo/slow-2s", "prompt": "x"})).await;
    cluster.called("slow-2s", 1).await;
    let second = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    for id in [&first, &second] {
        assert_eq!(cluster.ended(id).await["status"], "completed");
    }
    let worker = Scrape::of(&cluster.worker_ports[0]).await;
    assert_eq!(worker.get("hermod_job_wait_seconds_count"), Some(2.0));
    let sum = worker.get("hermod_job_wait_seconds_sum").unwrap();
    // The second has waited for the rest of the first's two seconds.
    assert!((0.5..60.0).contains(&sum), "{sum}");
    let call = r#"{provider="demo",model="slow-2s",outcome="success"}"#;
    let called = worker.get(&format!("hermod_provider_call_duration_seconds_sum{call}")).unwrap();
    assert!((2.0..60.0).contains(&called), "{called}");
}

#[tokio::test]
async fn the_oldest_waiting_job_ages_until_it_starts() {
    let mut cluster = Cluster::builder().workers(0).apis(2).start().await;
    let api = cluster.api.clone();
    let oldest = async || Scrape::of(&api).await.get("hermod_queue_oldest_waiting_seconds").unwrap();
    assert_eq!(oldest().await, 0.0);
    assert_eq!(Scrape::of(&api).await.get("hermod_workers"), Some(0.0));
    let begun = Instant::now();
    let id = api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    let age =
        eventually("it has aged", PATIENCE, async || Some(oldest().await).filter(|age| *age > 1.5)).await;
    // What Redis's clock shows is an estimate in other processes.
    assert!(age <= begun.elapsed().as_secs_f64() + 2.0, "{age}");
    // One that waits for its time does not wait for a worker.
    let later = api.submission(json!({"model": "demo/echo", "prompt": "x"}).to_string());
    assert_eq!(api.send(later.header("x-hermod-delay", "3600")).await.status, 202);
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&id).await["status"], "completed");
    eventually("nothing waits", PATIENCE, async || (oldest().await == 0.0).then_some(())).await;
    let scrape = Scrape::of(&api).await;
    assert_eq!(scrape.get("hermod_queue_delayed"), Some(1.0));
    assert_eq!(queue(&cluster, &["pause"]).await.0, Some(0));
    eventually("it is paused", PATIENCE, async || {
        (Scrape::of(&api).await.get("hermod_queue_paused") == Some(1.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_start_that_limits_put_off_is_none_and_its_wait_counts() {
    let limit = json!({"id": "r", "request_max_limit": 1, "request_reset_duration": "1h"});
    let config = key_with(json!({"rate_limits": [limit]}), json!({"rate_limit_id": "r"}));
    let cluster = Cluster::builder().config(config).start().await;
    let api = &cluster.api;
    ends(api, &submit_with_key(api).await).await;
    let second = submit_with_key(api).await;
    eventually("it is put off", PATIENCE, async || {
        (cluster.worker_metric(0, "hermod_jobs_parked_total").await >= 1.0).then_some(())
    })
    .await;
    let worker = Scrape::of(&cluster.worker_ports[0]).await;
    assert_eq!(worker.get("hermod_job_wait_seconds_count"), Some(1.0));
    let parked = r#"hermod_jobs_parked_total{key="Key \"K\"",type="request_limited"}"#;
    assert_eq!(worker.get(parked), Some(1.0), "{}", worker.text);
    let shown = eventually("its lane is closed", PATIENCE, async || {
        let scrape = Scrape::of(api).await;
        (scrape.get("hermod_queue_closed_lanes") == Some(1.0)).then_some(scrape)
    })
    .await;
    assert_eq!(shown.get("hermod_queue_waiting"), Some(1.0));
    eventually("it ages in its lane", PATIENCE, async || {
        let age = Scrape::of(api).await.get("hermod_queue_oldest_waiting_seconds")?;
        (age > 1.0).then_some(())
    })
    .await;
    assert!(api.send(api.request(Method::DELETE, &second).header("x-bf-vk", KEY)).await.status < 300);
}

#[tokio::test]
async fn a_model_that_a_client_has_invented_is_other() {
    let provider = json!({
        "keys": [{"name": "one", "value": "key", "models": ["fail-503"], "aliases": {"named": "fail-500"}}],
        "custom_provider_config": {"base_provider_type": "openai"},
    });
    let cluster = Cluster::builder().config(json!({"providers": {"listed": provider}})).start().await;
    for number in 0..5 {
        let model = format!("demo/invented-{number}");
        assert_eq!(cluster.run(json!({"model": model, "prompt": "x"})).await["status"], "failed");
    }
    for model in ["demo/echo", "listed/fail-503", "listed/named"] {
        cluster.run(json!({"model": model, "prompt": "x"})).await;
    }
    let worker = Scrape::of(&cluster.worker_ports[0]).await;
    let calls =
        |labels: &str| worker.get(&format!("hermod_provider_call_duration_seconds_count{{{labels}}}"));
    assert_eq!(calls(r#"provider="demo",model="other",outcome="error""#), Some(5.0), "{}", worker.text);
    assert_eq!(calls(r#"provider="demo",model="echo",outcome="success""#), Some(1.0));
    // What the configuration names needs no answer.
    assert_eq!(calls(r#"provider="listed",model="fail-503",outcome="error""#), Some(1.0));
    assert_eq!(calls(r#"provider="listed",model="named",outcome="error""#), Some(1.0));
    assert!(!worker.text.contains("invented"));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn limits_are_shown_by_the_names_of_their_owners() {
    let governance = json!({
        "rate_limits": [
            {"id": "r", "request_max_limit": 10, "request_reset_duration": "1h", "token_max_limit": 100_000, "token_reset_duration": "90s"},
            {"id": "t", "request_max_limit": 500, "request_reset_duration": "1d"}],
        "teams": [{"id": "t-id", "name": "Sales", "rate_limit_id": "t"}],
        "budgets": [{"id": "b", "max_limit": 2.5, "reset_duration": "1M", "virtual_key_id": "k"}],
    });
    let key = json!({"rate_limit_id": "r", "team_id": "t-id"});
    let cluster = Cluster::builder().config(key_with(governance, key)).start().await;
    let api = &cluster.api;
    ends(api, &submit_with_key(api).await).await;
    let of_key = r#"{key="Key \"K\"",scope="key",limit="requests 1h"}"#;
    let scrape = eventually("it is counted", PATIENCE, async || {
        let scrape = Scrape::of(api).await;
        (scrape.get(&format!("hermod_limit_used{of_key}")) == Some(1.0)).then_some(scrape)
    })
    .await;
    for (labels, max) in [
        (of_key, 10.0),
        (r#"{key="Key \"K\"",scope="key",limit="tokens 90s"}"#, 100_000.0),
        (r#"{key="Key \"K\"",scope="key",limit="budget 30d"}"#, 2.5),
        (r#"{key="",scope="team Sales",limit="requests 1d"}"#, 500.0),
    ] {
        assert_eq!(
            scrape.get(&format!("hermod_limit_max{labels}")),
            Some(max),
            "{labels} in\n{}",
            scrape.text
        );
        assert!(scrape.get(&format!("hermod_limit_used{labels}")).is_some(), "{labels}");
    }
    assert_eq!(scrape.get("hermod_limits_not_shown"), Some(0.0));
    assert!(!scrape.text.contains(KEY), "a key's value is nobody's business");
    cluster.assert_drained().await;
}

/// So many keys, with a budget and a limit of requests each.
fn many_keys(number: usize) -> Value {
    let each = |make: fn(usize) -> Value| (0..number).map(make).collect::<Vec<_>>();
    json!({"governance": {
        "virtual_keys": each(|at| json!({"id": format!("k{at}"), "name": format!("K{at:04}"), "value": format!("sk-bf-{at}"),
            "rate_limit_id": format!("r{at}")})),
        "budgets": each(|at| json!({"id": format!("b{at}"), "max_limit": 1, "reset_duration": "1d", "virtual_key_id": format!("k{at}")})),
        "rate_limits": each(|at| json!({"id": format!("r{at}"), "request_max_limit": 1, "request_reset_duration": "1h"})),
    }})
}

#[tokio::test]
async fn a_scrape_costs_a_bounded_number_of_commands_and_lines() {
    let cluster = Cluster::builder().config(many_keys(400)).workers(0).start().await;
    let monitor = Monitor::start(&cluster);
    let begun = Instant::now();
    let mut scrapes = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let api = cluster.api.clone();
        scrapes.spawn(async move { Scrape::of(&api).await });
    }
    let scrapes = scrapes.join_all().await;
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let named = |name: &'static str| monitor.count(|command| command.name() == name);
    // INFO is asked of each server in each scrape, and else once at the start.
    assert!(named("INFO") <= seconds + 1, "{} in {seconds} s", named("INFO"));
    // What is looked for besides, at most five times a second, is no scrape's.
    let scripts = named("EVALSHA") + named("EVAL");
    assert!(scripts <= (seconds + 1) * 12, "{scripts} in {seconds} s");
    for scrape in scrapes {
        let of = |name: &str| scrape.samples.keys().filter(|key| key.starts_with(name)).count();
        assert_eq!((of("hermod_limit_used{"), of("hermod_limit_max{")), (500, 500));
        assert_eq!(scrape.get("hermod_limits_not_shown"), Some(300.0));
        let is_shown = |key: &str, limit: &str| {
            scrape
                .get(&format!("hermod_limit_max{{key=\"{key}\",scope=\"key\",limit=\"{limit}\"}}"))
                .is_some()
        };
        assert!(is_shown("K0399", "budget 1d") && is_shown("K0099", "requests 1h"), "budgets come first");
        assert!(!is_shown("K0100", "requests 1h"));
    }
    drop(monitor.commands());
}

#[tokio::test]
async fn what_cannot_be_read_is_absent() {
    let mut cluster = Cluster::start().await;
    assert_eq!(Scrape::of(&cluster.api).await.get("hermod_queue_waiting"), Some(0.0));
    cluster.kill_redis();
    for port in [cluster.api.clone(), cluster.worker_ports[0].clone()] {
        eventually("it is known to be away", PATIENCE, async || {
            let scrape = Scrape::of(&port).await;
            let read = ["hermod_queue_waiting", "hermod_queue_oldest_waiting_seconds", "hermod_workers"];
            let is_absent = read.iter().all(|name| scrape.get(name).is_none());
            (scrape.get("hermod_redis_up") == Some(0.0) && is_absent).then_some(())
        })
        .await;
    }
    cluster.start_redis().await;
    for port in [cluster.api.clone(), cluster.worker_ports[0].clone()] {
        eventually("it is back", PATIENCE, async || {
            (Scrape::of(&port).await.get("hermod_redis_up") == Some(1.0)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn each_node_of_a_cluster_has_a_row_and_all_shards_are_looked_at() {
    let cluster =
        Cluster::builder().servers(Servers::Cluster).set("HERMOD_SHARDS", 6).workers(0).start().await;
    for _ in 0..20 {
        cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    }
    let scrape = eventually("the oldest is seen", Duration::from_secs(20), async || {
        let scrape = Scrape::of(&cluster.api).await;
        (scrape.get("hermod_queue_oldest_waiting_seconds")? > 1.0).then_some(scrape)
    })
    .await;
    assert_eq!(scrape.get("hermod_queue_waiting"), Some(20.0));
    let nodes = scrape.samples.keys().filter(|name| name.starts_with("hermod_redis_memory_bytes{")).count();
    assert_eq!(nodes, 3, "{}", scrape.text);
}
