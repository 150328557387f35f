//! OpenAI's Responses: in the background, or waited for; with any provider, under one id from beginning to end.

use std::time::{Duration, Instant};

use hermod_tests::{Answer, Api, Cluster, Gate, PATIENCE, Signal, eventually, exit_of};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::operator::queue;
use crate::waiting::{listened_to, wait_together};

pub(crate) const OURS: &str = "/v1/responses";
pub(crate) const OPENAIS: [&str; 2] = ["/openai/v1/responses", "/openai/responses"];
/// A provider's Response, whose id comes late.
pub(crate) const NATIVE: &str = r#"{ "object":"response", "created_at":1741476542.50, "status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},
  "model":"m-1","output":[{"id":"msg_1","type":"message","status":"incomplete","role":"assistant",
  "content":[{"type":"output_text","text":"a\nb \"id\":\"x\"","annotations":[]}]}],
  "id":"resp_theirs", "seed":123456789012345678901234567890,"background":false,"temperature":1.00,"store":true}"#;

/// The demo provider as OpenAI, and as Anthropic, whose answers are converted.
pub(crate) fn config() -> Value {
    let all = |provider: &str| json!({"provider": provider, "allowed_models": ["*"], "key_ids": ["*"]});
    let key = |name: &str| json!({"id": name, "name": name, "value": format!("sk-bf-{name}"), "provider_configs": [all("openai"), all("anthropic")]});
    json!({
        "providers": {
            "openai": {"keys": [{"name": "k", "value": "sk-openai"}]},
            "anthropic": {"keys": [{"name": "k", "value": "sk-anthropic"}]},
        },
        "governance": {"virtual_keys": [key("team"), key("other")]},
    })
}

pub(crate) fn create(api: &Api, path: &str, body: &Value) -> RequestBuilder {
    api.request(Method::POST, path).body(body.to_string())
}

/// The id of a Response that was created in the background.
pub(crate) async fn begun(api: &Api, path: &str, body: &Value) -> String {
    let answer = api.send(create(api, path, body)).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("queued")), "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn retrieve(api: &Api, id: &str) -> Answer {
    api.get(&format!("{OURS}/{id}")).await
}

/// Retrieves it until it is neither queued nor in progress.
pub(crate) async fn ended(api: &Api, id: &str) -> Answer {
    eventually(&format!("{id} has ended"), PATIENCE, async || {
        let answer = retrieve(api, id).await;
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        let runs = answer.status == 503
            || ["queued", "in_progress"].map(Value::from).contains(&answer.json()["status"]);
        (!runs).then_some(answer)
    })
    .await
}

/// Retrieves it until it is this.
pub(crate) async fn is(api: &Api, id: &str, status: &str) -> Value {
    eventually(&format!("{id} is {status}"), PATIENCE, async || {
        let response = retrieve(api, id).await.json();
        (response["status"] == status).then_some(response)
    })
    .await
}

pub(crate) async fn cancel(api: &Api, id: &str) -> Answer {
    api.send(api.request(Method::POST, &format!("{OURS}/{id}/cancel"))).await
}

pub(crate) async fn delete(api: &Api, id: &str) -> Answer {
    api.send(api.request(Method::DELETE, &format!("{OURS}/{id}"))).await
}

/// The job's own path.
pub(crate) fn job_of(id: &str) -> String {
    let hex = id.strip_prefix("resp_").unwrap();
    assert_eq!(hex.len(), 32, "{id}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    format!("/v1/async/responses/{}", parts.join("-"))
}

/// Sends a request in the background.
pub(crate) fn sent(api: &Api, request: RequestBuilder) -> JoinHandle<Answer> {
    let api = api.clone();
    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    tokio::spawn(async move { api.send(request).await })
}

#[tokio::test]
async fn one_in_the_background_is_ours_until_it_is_the_providers() {
    let cluster = Cluster::builder().config(config()).workers(0).start().await;
    let mut cluster = cluster;
    let mut begun_at = Vec::new();
    for (path, model) in
        [(OURS, "openai/slow-500ms"), (OPENAIS[0], "slow-500ms"), (OPENAIS[1], "anthropic/slow-500ms")]
    {
        let body = json!({"model": model, "input": "héllo", "background": true, "metadata": {"a": "b"}, "instructions": "be brief",
            "max_output_tokens": 50, "temperature": 0.5});
        let queued = cluster.api.send(create(&cluster.api, path, &body)).await;
        assert_eq!(queued.status, 200, "{queued:?}");
        let queued = queued.json();
        let id = queued["id"].as_str().unwrap().to_owned();
        for (member, value) in [
            ("object", json!("response")),
            ("status", json!("queued")),
            ("background", json!(true)),
            ("model", json!(model)),
            ("output", json!([])),
            ("error", Value::Null),
            ("incomplete_details", Value::Null),
            ("usage", Value::Null),
            ("metadata", json!({"a": "b"})),
            ("instructions", json!("be brief")),
            ("temperature", json!(0.5)),
            ("max_output_tokens", json!(50)),
            ("tools", json!([])),
            ("tool_choice", json!("auto")),
            ("parallel_tool_calls", json!(true)),
            ("top_p", Value::Null),
        ] {
            assert_eq!(queued[member], value, "{member}");
        }
        let created = queued["created_at"].as_u64().unwrap();
        assert!(created > 1_700_000_000 && created < 100_000_000_000, "seconds: {created}");
        let retrieved = cluster.api.get(&format!("{path}/{id}")).await;
        assert_eq!((retrieved.status, retrieved.json()), (200, queued));
        assert!(!retrieved.header("openai-poll-after-ms").is_empty());
        begun_at.push((path, id));
    }
    cluster.add_worker().await;
    for (path, id) in &begun_at {
        let completed = ended(&cluster.api, id).await;
        assert_eq!(
            completed.text,
            cluster.api.get(&format!("{path}/{id}")).await.text,
            "the same on each path"
        );
        let response = completed.json();
        assert_eq!(
            (&response["id"], &response["status"], &response["background"]),
            (&json!(id), &json!("completed"), &json!(true))
        );
        assert_eq!(response["output"][0]["content"][0]["text"], "héllo");
        assert!(response["usage"]["output_tokens"].is_number());
        let job = cluster.api.get(&job_of(id)).await.json();
        assert_eq!(job["result"]["output"], response["output"]);
        assert_ne!(job["result"]["id"], response["id"], "the provider's own");
    }
    for call in cluster.calls() {
        assert!(!call.body.contains("background"), "{}", call.body);
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_providers_members_stay_as_they_are_written() {
    for padding in [0, 600_000] {
        let native = NATIVE.replace("a\\nb", &format!("a\\nb{}", "\u{e9}".repeat(padding)));
        let gate = Gate::answering(native.as_str());
        let cluster = Cluster::builder().config(gate.config()).start().await;
        let body = json!({"model": "gate/m", "input": "x", "background": true});
        let id = begun(&cluster.api, OURS, &body).await;
        let running = is(&cluster.api, &id, "in_progress").await;
        assert_eq!((&running["output"], &running["model"]), (&json!([]), &json!("gate/m")));
        gate.open();
        let incomplete = ended(&cluster.api, &id).await;
        let stored = cluster.api.get(&job_of(&id)).await.text;
        let stored = stored.split_once("\"result\":").unwrap().1.strip_suffix('}').unwrap();
        let expected = stored
            .replace("\"resp_theirs\"", &format!("\"{id}\""))
            .replace("\"background\":false", "\"background\":true");
        assert_eq!(incomplete.text, expected);
        assert!(
            incomplete.text.contains("1741476542.50")
                && incomplete.text.contains("123456789012345678901234567890")
        );
        assert_eq!((incomplete.status, incomplete.json()["status"].as_str()), (200, Some("incomplete")));
        // Waited for, it is the same one, but that it was not in the background.
        let at_once = json!({"model": "gate/m", "input": "x"});
        let response = cluster.api.send(create(&cluster.api, OURS, &at_once)).await;
        let its = response.json()["id"].as_str().unwrap().to_owned();
        let (without, with) = ("\"background\":false", "\"background\":true");
        let times = |text: &str| text.split_once("\"extra_fields\"").unwrap().0.to_owned();
        assert_eq!(times(&response.text).replace(without, with), times(&incomplete.text).replace(&id, &its));
        assert_eq!(retrieve(&cluster.api, &its).await.text, response.text);
        cluster.assert_drained().await;
    }
}

#[tokio::test]
async fn it_keeps_its_id_while_everything_is_started_anew() {
    let gate = Gate::answering(NATIVE);
    let mut cluster = Cluster::builder().config(gate.config()).start().await;
    let body = json!({"model": "gate/m", "input": "x", "background": true, "metadata": {"mine": "1"}});
    let id = begun(&cluster.api, OURS, &body).await;
    is(&cluster.api, &id, "in_progress").await;
    cluster.kill_api(0);
    cluster.workers[0].signal(Signal::KILL);
    drop(cluster.take_worker(0));
    cluster.kill_redis();
    cluster.start_redis().await;
    cluster.add_api().await;
    let response = retrieve(&cluster.api, &id).await.json();
    assert_eq!((&response["id"], &response["metadata"]), (&json!(id), &json!({"mine": "1"})));
    gate.open();
    cluster.add_worker().await;
    assert_eq!(ended(&cluster.api, &id).await.json()["id"], json!(id));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn one_that_fails_says_why_and_keeps_what_was_asked() {
    let cluster = Cluster::builder().config(config()).start().await;
    let api = &cluster.api;
    let body =
        json!({"model": "openai/fail-422", "input": "x", "background": true, "metadata": {"mine": "1"}});
    let id = begun(api, OURS, &body).await;
    let failed = ended(api, &id).await;
    assert_eq!(failed.status, 200);
    let failed = failed.json();
    assert_eq!((&failed["status"], &failed["id"]), (&json!("failed"), &json!(id)));
    assert_eq!((&failed["metadata"], &failed["output"]), (&json!({"mine": "1"}), &json!([])));
    assert!(failed["error"]["code"].is_string() && failed["error"]["message"].is_string(), "{failed}");
    assert_eq!(failed["extra_fields"]["attempts"].as_array().unwrap().len(), 1);
    // Who wants it at once gets the error itself.
    let refused = api.send(create(api, OURS, &json!({"model": "openai/fail-422", "input": "x"}))).await;
    assert_eq!(refused.error(422), failed["error"]["message"].as_str().unwrap());
    assert_eq!(refused.header("x-should-retry"), "false");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn one_that_was_given_up_goes_on_as_the_same_once_it_is_queued_again() {
    let mut cluster = Cluster::builder().config(config()).set("HERMOD_MAX_ATTEMPTS", 1).start().await;
    let body =
        json!({"model": "openai/slow-2s", "input": "x", "background": true, "metadata": {"mine": "1"}});
    let id = begun(&cluster.api, OURS, &body).await;
    cluster.called("slow-2s", 1).await;
    cluster.workers[0].signal(Signal::KILL);
    cluster.add_worker().await;
    assert_eq!(ended(&cluster.api, &id).await.json()["error"]["code"], "job_attempts_exhausted");
    let job = job_of(&id);
    let (code, text) = queue(&cluster, &["dead", "requeue", job.rsplit('/').next().unwrap()]).await;
    assert_eq!(code, Some(0), "{text}");
    let again = retrieve(&cluster.api, &id).await.json();
    assert_eq!((&again["metadata"], &again["background"]), (&json!({"mine": "1"}), &json!(true)), "{again}");
    assert_eq!(ended(&cluster.api, &id).await.json()["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn without_background_the_answer_is_the_response() {
    let cluster = Cluster::builder().config(config()).start().await;
    let api = &cluster.api;
    for (path, model) in
        [(OURS, "anthropic/slow-300ms"), (OPENAIS[0], "slow-300ms"), (OPENAIS[1], "openai/bytes-600000")]
    {
        let body = json!({"model": model, "input": "héllo", "max_output_tokens": 50});
        let answer = api.send(create(api, path, &body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let response = answer.json();
        assert_eq!((&response["status"], &response["background"]), (&json!("completed"), &json!(false)));
        let id = response["id"].as_str().unwrap();
        assert_eq!(retrieve(api, id).await.text, answer.text);
        let refused = cancel(api, id).await;
        assert_eq!(refused.error(400), "Cannot cancel a synchronous response.");
        assert_eq!(delete(api, id).await.json(), json!({"id": id, "object": "response", "deleted": true}));
        retrieve(api, id).await.error(404);
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_client_that_goes_away_or_waits_too_long_does_not_end_it() {
    let gate = Gate::answering(NATIVE);
    let cluster = Cluster::builder().config(gate.config()).set("HERMOD_SYNC_SECONDS", 2).start().await;
    let api = &cluster.api;
    let body = json!({"model": "gate/m", "input": "x", "metadata": {"mine": "1"}});
    let gone = sent(api, create(api, OURS, &body));
    wait_together(api, 1).await;
    eventually("it runs", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());

    let begun = Instant::now();
    let late = api.send(create(api, OURS, &body)).await;
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(late.status, 202, "{late:?}");
    let late = late.json();
    assert_eq!(
        (&late["status"], &late["output"], &late["metadata"], &late["background"]),
        (&json!("in_progress"), &json!([]), &json!({"mine": "1"}), &json!(false))
    );
    // It may wish for less, and still get it.
    let short = api.send(create(api, OURS, &body).header("prefer", "wait=0")).await;
    assert_eq!((short.status, short.header("preference-applied")), (202, "wait=0"));
    let waits = api.request(Method::GET, &format!("{OURS}/{}", short.json()["id"].as_str().unwrap()));
    let waits = sent(api, waits.header("prefer", "wait=60"));
    listened_to(&cluster).await;
    gate.open();
    assert_eq!(ended(api, late["id"].as_str().unwrap()).await.json()["status"], "incomplete");
    let waited = waits.await.unwrap();
    assert_eq!(
        (waited.json()["status"].as_str(), waited.header("preference-applied")),
        (Some("incomplete"), "wait=60")
    );
    eventually("all three have ended", PATIENCE, async || {
        api.get("/metrics").await.text.contains("\nhermod_queue_running 0\n").then_some(())
    })
    .await;
    assert_eq!(gate.arrived(), 3);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn on_shutdown_who_waits_is_told_to_ask_again_if_that_finds_the_same_one() {
    let gate = Gate::answering(NATIVE);
    let mut cluster = Cluster::builder().config(gate.config()).apis(2).start().await;
    let body = json!({"model": "gate/m", "input": "x"});
    let (first, second) = {
        let apis = cluster.apis.read().unwrap();
        (apis[0].clone(), apis[1].clone())
    };
    let counted = |api: &Api, count: u64| create(api, OURS, &body).header("x-stainless-retry-count", count);
    let (plain, sdk) = (sent(&first, create(&first, OURS, &body)), sent(&first, counted(&first, 0)));
    wait_together(&first, 2).await;
    eventually("both run", PATIENCE, async || (gate.arrived() == 2).then_some(())).await;
    cluster.api_processes[0].signal(Signal::TERM);
    let (plain, sdk) = (plain.await.unwrap(), sdk.await.unwrap());
    assert_eq!((plain.status, plain.json()["status"].as_str()), (202, Some("in_progress")), "{plain:?}");
    sdk.error(503);
    assert_eq!((sdk.header("retry-after"), sdk.header("x-should-retry")), ("2", ""));
    assert!(exit_of(&mut cluster.api_processes[0]).await.success());
    let again = sent(&second, counted(&second, 1));
    wait_together(&second, 1).await;
    gate.open();
    let again = again.await.unwrap();
    assert_eq!((again.status, again.json()["status"].as_str()), (200, Some("incomplete")));
    assert_eq!((gate.arrived(), again.header("idempotent-replayed")), (2, "true"));
    assert_eq!(ended(&second, plain.json()["id"].as_str().unwrap()).await.json()["status"], "incomplete");
    cluster.assert_drained().await;
}
