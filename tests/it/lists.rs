//! Jobs of a key, and many at once.

use std::collections::BTreeSet;

use hermod_tests::{Answer, Api, Builder, Cluster, PATIENCE, Servers, eventually};
use hermod_types::Operation;
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin_login::{PASSWORD, USERNAME, with_login};

const LIST: &str = "/v1/async/jobs";

fn config() -> Value {
    let allowed = json!([{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]);
    let key =
        |id: &str| json!({"id": id, "name": id, "value": format!("sk-bf-{id}"), "provider_configs": allowed});
    json!({"governance": {"virtual_keys": [key("a"), key("b")]}})
}

fn builder() -> Builder {
    Cluster::builder().config(config())
}

/// What the list of key `a` says.
async fn list(api: &Api, query: &str) -> Answer {
    api.send(api.request(Method::GET, &format!("{LIST}?{query}")).header("x-bf-vk", "sk-bf-a")).await
}

fn ids_of(page: &Answer) -> Vec<String> {
    assert_eq!(page.status, 200, "{page:?}");
    let page = page.json();
    assert_eq!(page["object"], "list");
    let data = page["data"].as_array().unwrap();
    data.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

async fn listed(api: &Api, query: &str) -> Vec<String> {
    ids_of(&list(api, query).await)
}

/// Submits for a key; gives the job's path.
async fn submit(api: &Api, key: &str, operation: Operation, body: Value) -> String {
    api.accepted(
        api.submission_to(operation).body(body.to_string()).header("x-bf-vk", format!("sk-bf-{key}")),
    )
    .await
}

async fn complete(api: &Api, key: &str, model: &str) -> String {
    let path = submit(api, key, Operation::TextCompletion, json!({"model": model, "prompt": "x"})).await;
    path.rsplit('/').next().unwrap().to_owned()
}

/// A poll of key `a`.
async fn poll(api: &Api, path: &str) -> Answer {
    api.send(api.request(Method::GET, path).header("x-bf-vk", "sk-bf-a")).await
}

async fn ended(api: &Api, path: &str) -> Value {
    eventually("it has ended", PATIENCE, async || {
        let answer = poll(api, path).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

/// Polls many with key `a`.
async fn poll_all(api: &Api, ids: &[impl AsRef<str>]) -> Answer {
    let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
    let request = api.request(Method::POST, &format!("{LIST}/poll")).header("x-bf-vk", "sk-bf-a");
    api.send(request.body(json!({"ids": ids}).to_string())).await
}

#[tokio::test]
async fn the_jobs_of_a_key_are_listed_page_by_page() {
    for (servers, shards) in [(Servers::One, 1), (Servers::Cluster, 5)] {
        let cluster = builder().servers(servers).set("HERMOD_SHARDS", shards).workers(0).start().await;
        let api = &cluster.api;
        let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
        for _ in 0..25 {
            of_a.push(complete(api, "a", "demo/echo").await);
            of_b.push(complete(api, "b", "demo/echo").await);
            api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
        }
        // Ids of one millisecond are in no other order than their own.
        of_a.sort_unstable_by(|a, b| b.cmp(a));
        let first = list(api, "").await;
        let page = first.json();
        assert_eq!(ids_of(&first), of_a[..20], "{servers:?}");
        assert_eq!(
            (&page["first_id"], &page["last_id"], &page["has_more"]),
            (&json!(of_a[0]), &json!(of_a[19]), &json!(true))
        );
        let (mut pages, mut after) = (Vec::new(), String::new());
        loop {
            let page = list(api, &format!("limit=7{after}")).await;
            pages.extend(ids_of(&page));
            if page.json()["has_more"] == false {
                break;
            }
            after = format!("&after={}", page.json()["last_id"].as_str().unwrap());
        }
        assert_eq!(pages, of_a);
        assert_eq!(listed(api, "limit=25").await.len(), 25);
        assert_eq!(list(api, "limit=25").await.json()["has_more"], false);
        let oldest = list(api, &format!("after={}", of_a[24])).await.json();
        assert_eq!(oldest, json!({"object": "list", "data": [], "has_more": false}));
    }
}

#[tokio::test]
async fn a_list_shows_what_polls_say_and_is_filtered() {
    let cluster = builder().start().await;
    let api = &cluster.api;
    let chat = json!({"model": "demo/echo", "messages": [{"role": "user", "content": "x"}]});
    let paths = [
        submit(api, "a", Operation::TextCompletion, json!({"model": "demo/echo", "prompt": "x"})).await,
        submit(api, "a", Operation::TextCompletion, json!({"model": "demo/fail-418", "prompt": "x"})).await,
        submit(api, "a", Operation::ChatCompletion, chat).await,
        submit(api, "a", Operation::TextCompletion, json!({"model": "demo/hang", "prompt": "x"})).await,
    ];
    for path in &paths[..3] {
        ended(api, path).await;
    }
    cluster.called("hang", 1).await;
    let page = list(api, "").await.json();
    for path in &paths {
        let mut polled = poll(api, path).await.json();
        let polled = polled.as_object_mut().unwrap();
        polled.retain(|name, _| name != "result" && name != "error");
        let data = page["data"].as_array().unwrap();
        let shown = data.iter().find(|job| job["id"] == polled["id"]).unwrap();
        assert_eq!(shown.as_object().unwrap(), polled);
    }
    let ids: Vec<&str> = paths.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    let [echo, fails, chat, hangs] = ids[..] else { unreachable!() };
    for (query, wanted) in [
        ("status=completed", vec![chat, echo]),
        ("status=failed", vec![fails]),
        ("status=processing", vec![hangs]),
        ("status=pending", vec![]),
        ("endpoint=chat/completions", vec![chat]),
        ("endpoint=chat_completion&status=completed", vec![chat]),
        ("endpoint=completions&status=completed", vec![echo]),
        ("model=demo/echo", vec![chat, echo]),
        ("model=echo&endpoint=completions", vec![echo]),
        ("model=other", vec![]),
    ] {
        let found: BTreeSet<String> = listed(api, query).await.into_iter().collect();
        assert_eq!(found, wanted.into_iter().map(str::to_owned).collect(), "{query}");
    }
    let created = |id: &str| {
        let data = page["data"].as_array().unwrap();
        data.iter().find(|job| job["id"] == id).unwrap()["created_at"].as_str().unwrap().to_owned()
    };
    let (first, last) = (created(echo), created(hangs));
    assert!(!listed(api, &format!("created_after={first}")).await.contains(&echo.to_owned()));
    assert!(!listed(api, &format!("created_before={last}")).await.contains(&hangs.to_owned()));
    assert_eq!(
        listed(api, &format!("created_after=2020-01-01T00:00:00Z&created_before={first}")).await.len(),
        0
    );
    let more = list(api, "status=failed&include=endpoint,model").await.json();
    assert_eq!(
        (&more["data"][0]["endpoint"], &more["data"][0]["model"]),
        (&json!("completions"), &json!("demo/fail-418"))
    );
}

#[tokio::test]
async fn a_list_is_for_who_shows_a_key() {
    let cluster = builder().workers(0).start().await;
    let api = &cluster.api;
    assert!(api.get(LIST).await.error(401).starts_with("virtual key is required"));
    let with = |key: &'static str| api.send(api.request(Method::GET, LIST).header("x-bf-vk", key));
    assert_eq!(with("sk-bf-unknown").await.error(400), "virtual key not found");
    assert_eq!(with("sk-bf-b").await.json()["data"], json!([]));
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "status=done",
        "endpoint=x",
        "after=x",
        "created_after=x",
        "created_before=1",
    ] {
        let refused = list(api, query).await;
        let name = query.split('=').next().unwrap();
        assert!(refused.error(400).starts_with(name), "{refused:?}");
        assert_eq!(refused.json()["error"]["param"], name);
    }
    api.send(api.request(Method::POST, LIST)).await.error(405);
}

#[tokio::test]
async fn an_administrator_sees_the_jobs_of_all() {
    let config = with_login(config());
    for (servers, shards) in [(Servers::One, 1), (Servers::Cluster, 4)] {
        let builder = Cluster::builder().config(config.clone()).servers(servers).set("HERMOD_SHARDS", shards);
        let cluster = builder.workers(0).start().await;
        let api = &cluster.api;
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(complete(api, "a", "demo/echo").await);
            all.push(complete(api, "b", "demo/empty").await);
            all.push(api.submit(json!({"model": "demo/echo", "prompt": "x"})).await);
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        let with = |query: &str, password: &str| {
            api.send(
                api.request(Method::GET, &format!("{LIST}?{query}")).basic_auth(USERNAME, Some(password)),
            )
        };
        assert_eq!(ids_of(&with("limit=100", PASSWORD).await), all, "{servers:?}");
        let page = with("limit=12", PASSWORD).await;
        let next = format!("limit=12&after={}", page.json()["last_id"].as_str().unwrap());
        assert_eq!([ids_of(&page), ids_of(&with(&next, PASSWORD).await)].concat(), all[..24]);
        assert_eq!(ids_of(&with("model=empty&limit=100", PASSWORD).await).len(), 10);
        assert!(with("", "wrong").await.error(401).contains("password"));
        // With a key, only its own.
        let both =
            api.request(Method::GET, LIST).basic_auth(USERNAME, Some(PASSWORD)).header("x-bf-vk", "sk-bf-a");
        assert_eq!(ids_of(&api.send(both).await).len(), 10);
    }
}

#[tokio::test]
async fn lists_may_be_off() {
    let cluster = builder().set("HERMOD_LISTS", "off").start().await;
    let id = complete(&cluster.api, "a", "demo/echo").await;
    let refused = list(&cluster.api, "").await;
    assert!(refused.error(404).contains("HERMOD_LISTS"), "{refused:?}");
    ended(&cluster.api, &format!("/v1/async/completions/{id}")).await;
    assert_eq!(poll_all(&cluster.api, &[&id]).await.json()["data"][0]["status"], "completed");
    let keys: Vec<String> = cluster.connect().keys("*").unwrap();
    assert!(!keys.iter().any(|key| key.contains(":list:") || key.contains(":owners")), "{keys:?}");
}

#[tokio::test]
async fn a_page_looks_at_a_bounded_number_of_records() {
    const JOBS: usize = 4100;
    let cluster = builder().workers(0).start().await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..16 {
        let api = cluster.api.clone();
        clients.spawn(async move {
            for number in (client..JOBS).step_by(16) {
                let model = if number == 0 { "demo/empty" } else { "demo/echo" };
                complete(&api, "a", model).await;
            }
        });
    }
    clients.join_all().await;
    let (mut pages, mut found, mut after) = (0, Vec::new(), String::new());
    loop {
        let page = list(&cluster.api, &format!("model=empty{after}")).await;
        found.extend(ids_of(&page));
        pages += 1;
        let page = page.json();
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!((pages, found.len()), (3, 1), "2,000 records a page");
}

#[tokio::test]
async fn what_has_expired_leaves_the_lists() {
    for (servers, shards) in [(Servers::One, 1), (Servers::Cluster, 4)] {
        let cluster = builder().servers(servers).set("HERMOD_SHARDS", shards).start().await;
        let api = &cluster.api;
        let brief = |key: &str| {
            let body = json!({"model": "demo/echo", "prompt": "x"}).to_string();
            let submission = api.submission(body).header("x-bf-async-job-result-ttl", "1");
            if key.is_empty() { submission } else { submission.header("x-bf-vk", key) }
        };
        let kept = complete(api, "a", "demo/echo").await;
        for _ in 0..20 {
            for key in ["sk-bf-a", "sk-bf-b", ""] {
                api.accepted(brief(key)).await;
            }
        }
        let lists = || {
            let of = |mut redis: redis::Connection| -> Vec<(String, u64)> {
                let keys: Vec<String> = redis.keys("{hermod:*}:list:*").unwrap();
                keys.into_iter().map(|key| (key.clone(), redis.zcard(key).unwrap())).collect()
            };
            cluster.connections().into_iter().flat_map(of).collect::<Vec<_>>()
        };
        eventually("only what is kept is listed", PATIENCE, async || {
            let lists = lists();
            (lists.len() == 1 && lists[0].0.ends_with(":list:a") && lists[0].1 == 1).then_some(())
        })
        .await;
        assert_eq!(listed(api, "").await, [kept]);
        for mut redis in cluster.connections() {
            for owners in redis.keys::<_, Vec<String>>("{hermod:*}:owners").unwrap() {
                assert_eq!(redis.smembers::<_, Vec<String>>(&owners).unwrap(), ["a"], "{owners}");
            }
        }
    }
}

#[tokio::test]
async fn many_jobs_are_polled_at_once() {
    let cluster = builder().start().await;
    let api = &cluster.api;
    let of_another = complete(api, "b", "demo/echo").await;
    let hangs = complete(api, "a", "demo/hang").await;
    let mut ids = vec![hangs.clone()];
    // Within the record, one piece, several pieces.
    for bytes in [10, 20_000, 300_000, 1_000_000] {
        ids.push(complete(api, "a", &format!("demo/bytes-{bytes}")).await);
    }
    ids.push(complete(api, "a", "demo/fail-418").await);
    for id in &ids[1..] {
        ended(api, &format!("/v1/async/completions/{id}")).await;
    }
    cluster.called("hang", 1).await;
    let strangers = ["0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70", "no id", &of_another].map(str::to_owned);
    let asked = [&ids[..3], &strangers, &ids[3..], &ids[..1]].concat();
    let answer = poll_all(api, &asked).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let page = answer.json();
    assert_eq!(page["object"], "list");
    let data = page["data"].as_array().unwrap();
    assert_eq!(data.len(), asked.len());
    for (id, shown) in asked.iter().zip(data) {
        if strangers.contains(id) {
            assert_eq!(shown, &json!({"id": id, "status": "not_found"}));
        } else {
            let single = poll(api, &format!("/v1/async/completions/{id}")).await;
            assert_eq!(shown, &single.json());
        }
    }
    assert_eq!(poll_all(api, &[""; 0]).await.json(), json!({"object": "list", "data": []}));
    for wrong in ["", "[]", "{}", r#"{"ids":"x"}"#, r#"{"ids":[1]}"#] {
        let request = api.request(Method::POST, &format!("{LIST}/poll")).body(wrong);
        let message = api.send(request).await.error(400);
        assert!(message.starts_with("invalid request format: "), "{message}");
    }
    let many = vec!["x"; 101];
    assert!(poll_all(api, &many).await.error(400).contains("101"));
}

#[tokio::test]
async fn a_poll_of_many_stops_at_32_mib() {
    const MIB: usize = 1 << 20;
    let cluster = builder().start().await;
    let api = &cluster.api;
    let mut ids = Vec::new();
    for mib in [15, 15, 15, 0] {
        let id = complete(api, "a", &format!("demo/bytes-{}", mib * MIB)).await;
        ended(api, &format!("/v1/async/completions/{id}")).await;
        ids.push(id);
    }
    let page = poll_all(api, &ids).await.json();
    let data = page["data"].as_array().unwrap();
    let statuses: Vec<_> = data.iter().map(|job| job["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["completed", "completed", "not_read", "not_read"]);
    assert_eq!(data[1]["result"]["choices"][0]["text"].as_str().unwrap().len(), 15 * MIB);
    assert_eq!(data[2], json!({"id": ids[2], "status": "not_read"}));
    let rest = poll_all(api, &ids[2..]).await.json();
    assert!(rest["data"].as_array().unwrap().iter().all(|job| job["status"] == "completed"));
}
