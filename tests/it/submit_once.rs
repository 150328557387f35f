//! A submit that is sent again makes no second job: by its idempotency key, or by the count of an official SDK's tries.

use std::collections::BTreeSet;
use std::time::Duration;

use hermod_tests::{Answer, Api, Cluster, LossyLink, PATIENCE, Servers, eventually};
use redis::{Commands, Connection};
use reqwest::RequestBuilder;
use serde_json::json;

use crate::python_sdk::run_with;

const BODY: &str = r#"{"model":"demo/echo","prompt":"x","temperature":0.50}"#;

/// A submit with this key.
pub(crate) fn keyed(api: &Api, key: &str, body: &str) -> RequestBuilder {
    api.submission(body.to_owned()).header("idempotency-key", key)
}

/// A submit as an SDK sends it that has sent so many before.
fn tried(api: &Api, count: u32, body: &str) -> RequestBuilder {
    api.submission(body.to_owned()).header("x-stainless-retry-count", count)
}

/// The id of what was accepted, now or before.
pub(crate) fn accepted(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The id of what was accepted just now.
pub(crate) fn new(answer: &Answer) -> String {
    assert_eq!(answer.header("idempotent-replayed"), "", "{answer:?}");
    accepted(answer)
}

/// The id of what was accepted before.
pub(crate) fn replayed(answer: &Answer) -> String {
    assert_eq!(answer.header("idempotent-replayed"), "true", "{answer:?}");
    accepted(answer)
}

fn keys_of(redis: &mut Connection, kind: &str) -> Vec<String> {
    redis.keys(format!("{{hermod:0}}:{kind}:*")).unwrap()
}

#[tokio::test]
async fn a_key_gives_the_first_answer_over_all_api_processes() {
    let cluster = Cluster::builder().apis(2).start().await;
    let apis = cluster.apis.read().unwrap().clone();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..16 {
        let api = apis[number % 2].clone();
        // The same key, as the standard writes it, and as most clients do.
        let key = if number % 3 == 0 { "\"order 17\"".replace(' ', "-") } else { "order-17".to_owned() };
        clients.spawn(async move { api.send(keyed(&api, &key, BODY)).await });
    }
    let answers = clients.join_all().await;
    let ids: BTreeSet<String> = answers.iter().map(accepted).collect();
    assert_eq!(ids.len(), 1);
    let first = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_empty());
    assert_eq!(first.count(), 1);
    for answer in &answers {
        let id = ids.first().unwrap();
        assert_eq!(answer.header("location"), format!("/v1/async/completions/{id}"));
        let body = answer.json();
        assert_eq!(
            (&body["status"], &body["request_id"]),
            (&json!("pending"), &json!(answer.header("x-request-id")))
        );
    }
    assert_eq!(cluster.ended(ids.first().unwrap()).await["status"], "completed");
    assert_eq!(cluster.calls().len(), 1);
    // It is the first answer that is given again, also when the job has ended.
    let again = cluster.api.send(keyed(&cluster.api, "order-17", BODY)).await;
    assert_eq!(
        (replayed(&again), &again.json()["status"]),
        (ids.first().unwrap().clone(), &json!("pending"))
    );
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_client_at_one_endpoint() {
    let allowed = json!([{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]);
    let key =
        |id: &str| json!({"id": id, "name": id, "value": format!("sk-bf-{id}"), "provider_configs": allowed});
    let config = json!({"governance": {"virtual_keys": [key("a"), key("b")]}});
    let cluster = Cluster::builder().config(config).start().await;
    let api = &cluster.api;
    let first = new(&api.send(keyed(api, "k", BODY)).await);
    // Order and white space say nothing; numbers count as they are written.
    let same = "{ \"temperature\" : 0.50 ,\n \"prompt\":\"x\", \"model\" : \"demo/echo\"}";
    assert_eq!(replayed(&api.send(keyed(api, "k", same)).await), first);
    let others = [
        r#"{"model":"demo/echo","prompt":"y","temperature":0.50}"#,
        r#"{"model":"demo/echo","prompt":"x","temperature":0.5}"#,
        r#"{"model":"demo/empty","prompt":"x","temperature":0.50}"#,
        r#"{"model":"demo/echo","prompt":"x","temperature":0.50,"fallbacks":["demo/empty"]}"#,
    ];
    for other in others {
        let refused = api.send(keyed(api, "k", other)).await;
        assert_eq!(refused.error(422), "idempotency key was used with another request", "{other}");
        assert_eq!(refused.json()["error"]["code"], "idempotency_key_reused");
    }
    for (name, value) in [("x-bf-async-job-result-ttl", "60"), ("x-hermod-delay", "0")] {
        api.send(keyed(api, "k", BODY).header(name, value)).await.error(422);
    }
    let mut ids = BTreeSet::from([first]);
    for virtual_key in ["sk-bf-a", "sk-bf-b"] {
        let submit = || keyed(api, "k", BODY).header("x-bf-vk", virtual_key);
        let id = new(&api.send(submit()).await);
        assert_eq!(replayed(&api.send(submit()).await), id);
        ids.insert(id);
    }
    let chat = json!({"model": "demo/echo", "messages": [{"role": "user", "content": "x"}]}).to_string();
    let elsewhere = api.submission_to(hermod_types::Operation::ChatCompletion).body(chat);
    ids.insert(new(&api.send(elsewhere.header("idempotency-key", "k")).await));
    ids.insert(new(&api.send(keyed(api, "K", BODY)).await));
    assert_eq!(ids.len(), 5, "each has a job of its own");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let cluster = Cluster::start().await;
    let api = &cluster.api;
    let (longest, long) = ("k".repeat(255), "k".repeat(256));
    for key in ["", " ", "\"\"", "a b", "\"a b\"", "\"a", "\"a\"b\"", "\"a\\b\"", "é", "\"a\\\"", &long] {
        let message = api.send(keyed(api, key, BODY)).await.error(400);
        assert!(message.contains("Idempotency-Key") && message.contains("255"), "{key:?}: {message}");
    }
    let twice = keyed(api, "a", BODY).header("idempotency-key", "a");
    api.send(twice).await.error(400);
    for key in [&*longest, &format!("\"{longest}\""), "!~", "a\"b", "\"a\\\"\\\\b\""] {
        accepted(&api.send(keyed(api, key, BODY)).await);
    }
}

#[tokio::test]
async fn a_lost_answer_is_given_again() {
    let cluster = Cluster::builder().apis(2).start().await;
    let link = LossyLink::start(&cluster.api);
    link.lose(1);
    let lost = link.api.try_send(keyed(&link.api, "k", BODY)).await;
    assert!(lost.is_err() && link.still_to_lose() == 0, "{lost:?}");
    let other = cluster.apis.read().unwrap()[1].clone();
    let id = replayed(&other.send(keyed(&other, "k", BODY)).await);
    assert_eq!(cluster.ended(&id).await["status"], "completed");
    assert_eq!(cluster.calls().len(), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_refused_submit_leaves_neither_key_nor_print() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_QUEUE_LIMIT", 1).start().await;
    let (api, mut redis) = (cluster.api.clone(), cluster.connect());
    api.send(keyed(&api, "k", r#"{"model":"demo/echo"}"#)).await.error(400);
    api.send(keyed(&api, "k", r#"{"model":"nobody/echo","prompt":"x"}"#)).await.error(400);
    let old = new(&api.send(tried(&api, 0, BODY)).await);
    for submit in [keyed(&api, "k", BODY), tried(&api, 0, BODY)] {
        api.send(submit).await.error(429);
    }
    // The first try of a call that was refused has taken the place of the call before.
    assert!(keys_of(&mut redis, "once").is_empty() && keys_of(&mut redis, "sent").is_empty());
    cluster.add_worker().await;
    cluster.ended(&old).await;
    let other = BODY.replace("0.50", "0.7");
    let with_key = new(&api.send(keyed(&api, "k", &other)).await);
    cluster.ended(&with_key).await;
    let retried = new(&api.send(tried(&api, 1, BODY)).await);
    assert_ne!(retried, old);
    cluster.ended(&retried).await;
    assert_eq!(cluster.calls().len(), 3);

    // Redis is away: it is told of nothing.
    cluster.kill_redis();
    api.send(keyed(&api, "later", BODY)).await.error(503);
    cluster.start_redis().await;
    let id = eventually("it is accepted", PATIENCE, async || {
        let answer = api.send(keyed(&api, "later", &other)).await;
        (answer.status == 202).then(|| new(&answer))
    })
    .await;
    cluster.ended(&id).await;
}

#[tokio::test]
async fn a_key_lives_as_long_as_its_job_and_a_day_at_least() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let cluster = Cluster::start().await;
    let (api, mut redis) = (&cluster.api, cluster.connect());
    let brief = |submit: RequestBuilder| submit.header("x-bf-async-job-result-ttl", "1");
    let id = new(&api.send(brief(keyed(api, "brief", BODY))).await);
    let print = new(&api.send(brief(tried(api, 0, BODY))).await);
    for id in [&id, &print] {
        eventually("its record has expired", PATIENCE, async || {
            (api.poll(id).await.status == 404).then_some(())
        })
        .await;
    }
    assert_eq!(replayed(&api.send(brief(keyed(api, "brief", BODY))).await), id);
    api.send(keyed(api, "brief", BODY)).await.error(422);
    let mut left = |kind: &str| -> Vec<i64> {
        keys_of(&mut redis, kind).into_iter().map(|key| redis.pttl(key).unwrap()).collect()
    };
    let (keys, prints) = (left("once"), left("sent"));
    assert!(keys.len() == 1 && (DAY_MS - 60_000..=DAY_MS).contains(&keys[0]), "{keys:?}");
    assert!(prints.len() == 1 && (120_000..=180_000).contains(&prints[0]), "{prints:?}");
    let days = keyed(api, "days", BODY).header("x-bf-async-job-result-ttl", 3 * 24 * 3600);
    cluster.ended(&new(&api.send(days).await)).await;
    let keys = left("once");
    assert!(keys.iter().any(|left| (3 * DAY_MS - 60_000..=3 * DAY_MS).contains(left)), "{keys:?}");
}

#[tokio::test]
async fn the_tries_of_an_sdk_are_known_by_their_count() {
    let cluster = Cluster::builder().apis(2).start().await;
    let api = cluster.apis.read().unwrap().clone();
    let first = new(&api[0].send(tried(&api[0], 0, BODY)).await);
    assert_eq!(replayed(&api[1].send(tried(&api[1], 1, BODY)).await), first);
    assert_eq!(replayed(&api[0].send(tried(&api[0], 2, BODY)).await), first);
    // A second call with the same body is another job.
    let second = new(&api[0].send(tried(&api[0], 0, BODY)).await);
    assert_ne!(second, first);
    assert_eq!(replayed(&api[1].send(tried(&api[1], 1, BODY)).await), second);
    // What is not the same call, or does not want to be known, is one of its own.
    let ttl = tried(&api[0], 3, BODY).header("x-bf-async-job-result-ttl", 77);
    let unknown = tried(&api[0], 3, BODY).header("x-hermod-no-dedup", "1");
    let other = tried(&api[0], 3, r#"{"model":"demo/echo","prompt":"other"}"#);
    let mut ids = BTreeSet::from([first, second]);
    for submit in [ttl, unknown, other] {
        ids.insert(new(&api[0].send(submit).await));
    }
    // With a key, that alone counts.
    let with_key = |count| tried(&api[0], count, BODY).header("idempotency-key", "k");
    let id = new(&api[0].send(with_key(1)).await);
    assert_eq!(replayed(&api[0].send(with_key(0)).await), id);
    ids.insert(id);
    assert_eq!(ids.len(), 6);
    for id in &ids {
        cluster.ended(id).await;
    }
    assert_eq!(cluster.calls().len(), 6);
}

#[tokio::test]
async fn a_try_whose_answer_redis_loses_makes_no_second_job() {
    let cluster = Cluster::builder().proxied().workers(0).start().await;
    let (api, mut redis) = (cluster.api.clone(), cluster.connect());
    let first = new(&api.send(tried(&api, 0, BODY)).await);
    let print = keys_of(&mut redis, "sent").pop().unwrap();
    let before: String = redis.get(&print).unwrap();
    cluster.api_links[0].delay_from_redis(Duration::from_secs(2));
    let retry = async { api.send(tried(&api, 1, BODY)).await };
    let loss = async {
        eventually("Redis has taken it", PATIENCE, async || {
            (redis.get::<_, String>(&print).unwrap() != before).then_some(())
        })
        .await;
        // The answer is on its way. It is lost, and the call is sent once more.
        cluster.api_links[0].delay_from_redis(Duration::ZERO);
        cluster.api_links[0].cut();
    };
    let (answer, ()) = tokio::join!(retry, loss);
    assert_eq!(replayed(&answer), first);
    assert_eq!(redis.xlen::<_, u64>("{hermod:0}:queue").unwrap(), 1);
}

#[tokio::test]
async fn the_routes_of_sdks_take_keys_too() {
    let provider = json!({"keys": [{"value": "k"}]});
    let cluster =
        Cluster::builder().config(json!({"providers": {"openai": provider}})).workers(0).start().await;
    let submit = || {
        let request = cluster.api.request(reqwest::Method::POST, "/openai/v1/responses");
        request
            .body(r#"{"model":"gpt","input":"x"}"#)
            .header("x-bf-async", "true")
            .header("idempotency-key", "k")
    };
    let (first, second) = (cluster.api.send(submit()).await, cluster.api.send(submit()).await);
    assert_eq!((first.status, second.status), (200, 200), "{second:?}");
    assert_eq!((first.header("idempotent-replayed"), second.header("idempotent-replayed")), ("", "true"));
    assert_eq!(first.json()["id"], second.json()["id"]);
    // Who wants to wait does so for the first job.
    let chat = cluster.api.submission(BODY).header("idempotency-key", "w");
    let id = new(&cluster.api.send(chat).await);
    let waits = || keyed(&cluster.api, "w", BODY).header("prefer", "wait=1");
    let answer = cluster.api.send(waits()).await;
    assert_eq!((replayed(&answer), answer.header("preference-applied")), (id.clone(), "wait=1"));
}

const SDK: &str = r#"
import os
from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"], api_key="sk-unused", timeout=20)
print(client.completions.create(model="demo/echo", prompt="x").id)
"#;

/// The same, with a key for all tries of one call.
const SDK_WITH_KEY: &str = r#"
import os
from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"], api_key="sk-unused", timeout=20)
print(client.completions.create(model="demo/echo", prompt="x", extra_headers={"Idempotency-Key": "of-this-call"}).id)
"#;

#[tokio::test]
async fn the_unmodified_openai_sdk_makes_one_job_however_often_it_tries() {
    // The second has several shards, in one of which a call and its tries must meet.
    for (servers, shards) in [(Servers::One, 1), (Servers::Cluster, 8)] {
        let cluster = Cluster::builder().servers(servers).set("HERMOD_SHARDS", shards).start().await;
        let link = LossyLink::start(&cluster.api);
        let mut ids = BTreeSet::new();
        for script in [SDK, SDK, SDK_WITH_KEY] {
            // Its third try is its last.
            link.lose(2);
            let printed = run_with(script, format!("{}/v1/async", link.api.url), &[]).await;
            assert_eq!((printed.len(), link.still_to_lose()), (1, 0), "{printed:?}");
            ids.extend(printed);
        }
        assert_eq!(ids.len(), 3, "each call has a job");
        for id in &ids {
            assert_eq!(cluster.ended(id).await["status"], "completed");
        }
        assert_eq!(cluster.calls().len(), 3, "{servers:?}");
        cluster.assert_drained().await;
    }
}
