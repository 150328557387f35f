//! Server-sent events: a client hears of each change of its job once, and of the end, whatever happens to Redis meanwhile.

use std::time::{Duration, Instant};

use hermod_tests::{Api, Cluster, EventStream, Gate, PATIENCE, Said, Servers, Signal, eventually, exit_of};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::shards::{spread, submit_to_all_shards};
use crate::waiting::{channels, gated, wait_together};

fn request(api: &Api, id: &str) -> RequestBuilder {
    api.request(Method::GET, &format!("/v1/async/completions/{id}/events"))
}

/// As a browser that connects again.
fn again(api: &Api, id: &str, last_id: impl ToString) -> RequestBuilder {
    request(api, id).header("last-event-id", last_id.to_string())
}

/// Submits a job, and waits until the gate has it.
async fn running(cluster: &Cluster, gate: &Gate) -> String {
    let before = gate.arrived();
    let id = cluster.api.submit(gated()).await;
    eventually("it runs", PATIENCE, async || (gate.arrived() > before).then_some(())).await;
    id
}

#[tokio::test]
async fn a_stream_tells_each_change_once_and_ends_with_the_job() {
    let gate = Gate::start();
    let mut cluster = Cluster::builder().config(gate.config()).workers(0).start().await;
    let id = cluster.api.submit(gated()).await;
    let mut events = EventStream::open(request(&cluster.api, &id)).await;
    assert_eq!(events.next().await, Some(Said::Retry(2000)));
    let waits = events.next().await.unwrap();
    assert_eq!(waits.data("status"), cluster.api.poll(&id).await.json());
    assert_eq!((waits.data("status")["status"].as_str(), waits.id()), (Some("pending"), Some(0)));
    // Another client, which comes later.
    let mut others = EventStream::open(request(&cluster.api, &id).header("accept", "application/json")).await;
    assert_eq!(others.next_event().await.unwrap(), waits);

    cluster.add_worker().await;
    let runs = events.next_event().await.unwrap();
    assert_eq!(runs.data("status"), cluster.api.poll(&id).await.json());
    assert_eq!((runs.data("status")["status"].as_str(), runs.id()), (Some("processing"), Some(1)));
    // One that had this already, and one that had less.
    let mut late = EventStream::open(again(&cluster.api, &id, 1)).await;
    let mut later = EventStream::open(again(&cluster.api, &id, 0)).await;
    assert_eq!(later.next_event().await.unwrap(), runs);
    assert_eq!(others.next_event().await.unwrap(), runs);
    wait_together(&cluster.api, 4).await;

    gate.open();
    let end = events.next_event().await.unwrap();
    let polled = cluster.ended(&id).await;
    assert_eq!((end.data("end"), end.id()), (polled.clone(), Some(3)));
    assert_eq!(
        (polled["status"].as_str(), polled["result"]["choices"][0]["text"].as_str()),
        (Some("completed"), Some("a\nb"))
    );
    assert_eq!(events.next().await, None);
    for events in [&mut others, &mut late, &mut later] {
        assert_eq!(events.next_event().await.unwrap(), end);
        assert_eq!(events.next().await, None);
    }
    // A browser connects again, and stops.
    let last = cluster.api.send(again(&cluster.api, &id, events.last_id.unwrap())).await;
    assert_eq!((last.status, last.text.as_str(), last.header("cache-control")), (204, "", "no-store"));
    // One that comes first after the end, and one whose number is none.
    for last_id in ["1", "x"] {
        let mut events = EventStream::open(again(&cluster.api, &id, last_id)).await;
        assert_eq!(events.next().await, Some(Said::Retry(2000)));
        assert_eq!(events.next().await.unwrap(), end);
        assert_eq!(events.next().await, None);
    }
    wait_together(&cluster.api, 0).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_large_result_and_a_failure_end_a_stream() {
    let cluster = Cluster::start().await;
    for (model, status) in
        [("bytes-3000000", "completed"), ("bytes-20000", "completed"), ("fail-400", "failed")]
    {
        let id = cluster.api.submit(json!({"model": format!("demo/{model}"), "prompt": "x"})).await;
        let mut events = EventStream::open(request(&cluster.api, &id)).await;
        let end = loop {
            let said = events.next_event().await.unwrap();
            if matches!(&said, Said::Event { name, .. } if name == "end") {
                break said;
            }
        };
        let data = end.data("end");
        assert_eq!(data["status"], status);
        assert!(data == cluster.api.poll(&id).await.json());
        assert_eq!(events.next().await, None);
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn each_endpoint_has_events_of_its_own_jobs_for_those_who_may_see_them() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(with_keys(&gate)).start().await;
    let submission = cluster.api.submission(gated().to_string()).header("x-bf-vk", "sk-bf-a");
    let id = cluster.api.send(submission).await.json()["id"].as_str().unwrap().to_owned();
    let mut own = EventStream::open(request(&cluster.api, &id).header("x-bf-vk", "sk-bf-a")).await;
    own.next_event().await.unwrap().data("status");
    cluster.api.send(request(&cluster.api, &id).header("x-bf-vk", "sk-bf-b")).await.error(404);
    cluster.api.send(again(&cluster.api, &id, 0)).await.error(404);
    cluster.api.send(request(&cluster.api, "none")).await.error(404);
    cluster.api.send(request(&cluster.api, "01890a5d-ac96-774b-8cce-b302099a8000")).await.error(404);
    let elsewhere = cluster.api.request(Method::GET, &format!("/v1/async/chat/completions/{id}/events"));
    cluster.api.send(elsewhere.header("x-bf-vk", "sk-bf-a")).await.error(404);
    let post = cluster.api.request(Method::POST, &format!("/v1/async/completions/{id}/events"));
    assert_eq!(cluster.api.send(post).await.status, 405);
    let head = cluster.api.request(Method::HEAD, &format!("/v1/async/completions/{id}/events"));
    let head = cluster.api.send(head.header("x-bf-vk", "sk-bf-a")).await;
    assert_eq!(
        (head.status, head.header("content-type"), head.text.as_str()),
        (200, "text/event-stream", "")
    );
    // The connection is good for more: nothing of a body was sent.
    assert_eq!(cluster.api.get("/livez").await.status, 200);
    gate.open();
    assert_eq!(own.next_event().await.unwrap().data("end")["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_quiet_stream_says_something_each_15_s() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).start().await;
    let id = running(&cluster, &gate).await;
    let mut events = EventStream::open(request(&cluster.api, &id)).await;
    events.next_event().await.unwrap().data("status");
    for _ in 0..2 {
        let begun = Instant::now();
        assert_eq!(events.next().await, Some(Said::Comment(String::new())));
        assert!(begun.elapsed() > Duration::from_secs(14));
    }
    assert!(events.read.starts_with("retry: 2000\n\nid: 1\nevent: status\ndata: {"), "{}", events.read);
    assert!(events.read.ends_with("}\n\n:\n\n:\n\n"), "{}", events.read);
    gate.open();
    events.next_event().await.unwrap().data("end");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_stream_says_that_redis_is_away_and_goes_on() {
    let gate = Gate::start();
    let mut cluster = Cluster::builder().config(gate.config()).start().await;
    let id = running(&cluster, &gate).await;
    let mut events = EventStream::open(request(&cluster.api, &id)).await;
    let runs = events.next_event().await.unwrap();
    assert_eq!(runs.data("status")["status"], "processing");
    cluster.kill_redis();
    let away = events.next_event().await.unwrap();
    assert_eq!(away.data("error")["error"]["code"], "queue_unavailable");
    assert_eq!(
        (away.data("error")["extra_fields"]["request_type"].as_str(), away.id()),
        (Some("text_completion"), None)
    );
    assert_eq!(events.last_id.as_deref(), Some("1"));
    // Who comes now is told so by the status; but a browser would never come back.
    cluster.api.send(request(&cluster.api, &id)).await.error(503);
    let mut back = EventStream::open(again(&cluster.api, &id, 1)).await;
    assert_eq!(back.next_event().await.unwrap(), away);
    let mut gone = EventStream::open(again(&cluster.api, "01890a5d-ac96-774b-8cce-b302099a8000", 1)).await;
    assert_eq!(gone.next_event().await.unwrap(), away);
    cluster.start_redis().await;
    for events in [&mut events, &mut back] {
        assert_eq!(events.next_event().await.unwrap(), runs, "it is back");
    }
    assert_eq!(gone.next_event().await.unwrap().data("error")["status_code"], 404);
    assert_eq!(gone.next().await, None);
    gate.open();
    for events in [&mut events, &mut back] {
        let end = events.next_event().await.unwrap();
        assert_eq!(end.data("end")["status"], "completed");
        assert_eq!(events.next().await, None);
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_link_that_breaks_and_is_mended_is_not_noticed() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).proxied().start().await;
    let id = running(&cluster, &gate).await;
    let mut events = EventStream::open(request(&cluster.api, &id)).await;
    events.next_event().await.unwrap().data("status");
    let mut redis = cluster.connect();
    let listener = |redis: &mut redis::Connection| {
        let clients: String =
            redis::cmd("CLIENT").arg("LIST").arg("TYPE").arg("PUBSUB").query(redis).unwrap();
        clients.split_once(' ').map(|(id, _)| id.to_owned())
    };
    let before = listener(&mut redis);
    cluster.api_links[0].cut();
    eventually("it is mended", PATIENCE, async || {
        listener(&mut redis).filter(|now| Some(now) != before.as_ref())
    })
    .await;
    gate.open();
    events.next_event().await.unwrap().data("end");
    assert_eq!(events.next().await, None);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_that_vanishes_ends_its_stream() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).start().await;
    let id = running(&cluster, &gate).await;
    let mut events = EventStream::open(request(&cluster.api, &id)).await;
    events.next_event().await.unwrap().data("status");
    let mut redis = cluster.connect();
    let () = redis::cmd("DEL").arg(format!("{{hermod:0}}:job:{id}")).exec(&mut redis).unwrap();
    // Its look at the record is due within a moment of a break.
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("PUBSUB").exec(&mut redis).unwrap();
    let error = events.next_event().await.unwrap();
    assert_eq!(error.data("error")["error"]["code"], "job_not_found");
    assert_eq!(events.next().await, None);
    cluster.api.send(again(&cluster.api, &id, 1)).await.error(404);
    gate.open();
}

#[tokio::test]
async fn on_shutdown_streams_end_and_go_on_elsewhere() {
    let gate = Gate::start();
    let mut cluster = Cluster::builder().config(gate.config()).apis(2).start().await;
    let id = running(&cluster, &gate).await;
    let mut events = EventStream::open(request(&cluster.api, &id)).await;
    events.next_event().await.unwrap().data("status");
    let begun = Instant::now();
    cluster.api_processes[0].signal(Signal::TERM);
    assert_eq!(events.next().await, None);
    assert!(exit_of(&mut cluster.api_processes[0]).await.success());
    assert!(begun.elapsed() < Duration::from_secs(25));
    let other = cluster.apis.read().unwrap()[1].clone();
    let mut events = EventStream::open(again(&other, &id, events.last_id.unwrap())).await;
    assert_eq!(events.next().await, Some(Said::Retry(2000)));
    wait_together(&other, 1).await;
    gate.open();
    events.next_event().await.unwrap().data("end");
    cluster.assert_drained().await;
}

/// A configuration with a gate and two virtual keys.
fn with_keys(gate: &Gate) -> Value {
    let mut config = gate.config();
    let configs = ["gate", "demo"]
        .map(|provider| json!({"provider": provider, "allowed_models": ["*"], "key_ids": ["*"]}));
    let key = |name: &str| {
        json!({"id": format!("vk-{name}"), "name": name, "value": format!("sk-bf-{name}"), "is_active": true,
            "provider_configs": configs})
    };
    config["governance"]["virtual_keys"] = json!([key("a"), key("b")]);
    config
}

async fn submit_as(api: &Api, key: &str, body: &Value) -> String {
    let submission = api.submission(body.to_string()).header("x-bf-vk", key);
    let answer = api.send(submission).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Opens the stream of a key, and waits until it hears.
async fn of_key(api: &Api, key: &str) -> EventStream {
    let mut events =
        EventStream::open(api.request(Method::GET, "/v1/async/events").header("x-bf-vk", key)).await;
    assert_eq!(events.next().await, Some(Said::Retry(2000)));
    assert_eq!(events.next().await, Some(Said::Comment(String::new())));
    events
}

#[tokio::test]
async fn a_virtual_key_hears_of_the_ends_of_its_jobs() {
    let gate = Gate::start();
    let mut cluster = Cluster::builder().config(with_keys(&gate)).start().await;
    let path = "/v1/async/events";
    cluster.api.get(path).await.error(401);
    cluster.api.send(cluster.api.request(Method::GET, path).header("x-bf-vk", "sk-bf-none")).await.error(400);
    assert_eq!(cluster.api.send(cluster.api.request(Method::POST, path)).await.status, 405);
    let head = cluster.api.send(cluster.api.request(Method::HEAD, path).header("x-bf-vk", "sk-bf-a")).await;
    assert_eq!(
        (head.status, head.header("content-type"), head.text.as_str()),
        (200, "text/event-stream", "")
    );

    let (mut first, mut second) =
        (of_key(&cluster.api, "sk-bf-a").await, of_key(&cluster.api, "sk-bf-a").await);
    let mut other = of_key(&cluster.api, "sk-bf-b").await;
    let none = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.ended(&none).await;
    let fails = submit_as(&cluster.api, "sk-bf-a", &json!({"model": "demo/fail-400", "prompt": "x"})).await;
    for events in [&mut first, &mut second] {
        let end = events.next_event().await.unwrap();
        let poll = cluster.api.send(cluster.api.request_poll(&fails).header("x-bf-vk", "sk-bf-a")).await;
        let mut expected = poll.json();
        assert!(expected.as_object_mut().unwrap().remove("error").is_some());
        assert_eq!((end.data("end"), end.id()), (expected, None));
    }
    let theirs = submit_as(&cluster.api, "sk-bf-b", &json!({"model": "demo/echo", "prompt": "x"})).await;
    assert_eq!(other.next_event().await.unwrap().data("end")["id"], theirs);

    // Ends that come together.
    let body = gated();
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(submit_as(&cluster.api, "sk-bf-a", &body).await);
    }
    eventually("all run", PATIENCE, async || (gate.arrived() == 30).then_some(())).await;
    gate.open();
    let mut heard = Vec::new();
    while heard.len() < ids.len() {
        let end = first.next_event().await.unwrap().data("end");
        assert_eq!((end["status"].as_str(), end["result"].is_null()), (Some("completed"), true));
        heard.push(end["id"].as_str().unwrap().to_owned());
    }
    heard.sort();
    ids.sort();
    assert_eq!(heard, ids);

    // What was missed is told to be missed.
    cluster.kill_redis();
    assert_eq!(first.next_event().await.unwrap().data("error")["error"]["code"], "queue_unavailable");
    cluster.start_redis().await;
    let missed = first.next_event().await.unwrap().data("error");
    assert!(missed["error"]["message"].as_str().unwrap().contains("missing"), "{missed}");
    let last = eventually("a job is accepted", PATIENCE, async || {
        let submission = cluster.api.submission(body.to_string()).header("x-bf-vk", "sk-bf-a");
        let answer = cluster.api.send(submission).await;
        (answer.status == 202).then(|| answer.json()["id"].as_str().unwrap().to_owned())
    })
    .await;
    assert_eq!(first.next_event().await.unwrap().data("end")["id"], last);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_virtual_key_hears_of_all_shards_and_a_job_of_its_own() {
    let gate = Gate::start();
    let cluster = Cluster::builder()
        .servers(Servers::Cluster)
        .set("HERMOD_SHARDS", 6)
        .config(with_keys(&gate))
        .start()
        .await;
    let mut events = of_key(&cluster.api, "sk-bf-a").await;
    let listened: usize = cluster.connections().iter_mut().map(|redis| channels(redis).len()).sum();
    assert_eq!(listened, 6);
    let mut ids = Vec::new();
    while spread(&ids).len() < 6 {
        ids.push(submit_as(&cluster.api, "sk-bf-a", &gated()).await);
    }
    let others = submit_to_all_shards(&cluster, "demo/echo", 6, 12).await;
    let mut streams = Vec::new();
    for id in &ids {
        let mut events = EventStream::open(request(&cluster.api, id).header("x-bf-vk", "sk-bf-a")).await;
        events.next_event().await.unwrap().data("status");
        streams.push(events);
    }
    gate.open();
    let mut heard = Vec::new();
    while heard.len() < ids.len() {
        heard.push(events.next_event().await.unwrap().data("end")["id"].as_str().unwrap().to_owned());
    }
    heard.sort();
    let mut expected = ids.clone();
    expected.sort();
    assert_eq!(heard, expected);
    for (events, id) in streams.iter_mut().zip(&ids) {
        let end = loop {
            let said = events.next_event().await.unwrap();
            if matches!(&said, Said::Event { name, .. } if name == "end") {
                break said.data("end");
            }
        };
        assert_eq!(end["id"].as_str(), Some(id.as_str()));
    }
    crate::shards::all_complete(&cluster, &others).await;
    cluster.assert_drained().await;
}
