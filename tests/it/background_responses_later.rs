//! Responses in the background: what is done with them later, and what is none.

use hermod_tests::{Cluster, Gate, PATIENCE, eventually};
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

use crate::background_responses::*;

#[tokio::test]
async fn cancel_and_delete_end_it_wherever_it_is() {
    let gate = Gate::answering(NATIVE);
    let cluster = Cluster::builder().config(gate.config()).set("HERMOD_CONCURRENCY", 1).start().await;
    let api = &cluster.api;
    let body = json!({"model": "gate/m", "input": "x", "background": true, "metadata": {"mine": "1"}});
    let runs = begun(api, OURS, &body).await;
    is(api, &runs, "in_progress").await;
    let (waits, deleted) = (begun(api, OURS, &body).await, begun(api, OURS, &body).await);

    for id in [&waits, &runs] {
        let cancelled = cancel(api, id).await;
        assert_eq!(cancelled.status, 200, "{cancelled:?}");
        let response = cancelled.json();
        assert_eq!((&response["id"], &response["status"]), (&json!(id), &json!("cancelled")));
        assert_eq!(
            (&response["metadata"], &response["error"], &response["output"]),
            (&json!({"mine": "1"}), &Value::Null, &json!([]))
        );
    }
    eventually("the running one has ended", PATIENCE, async || {
        (api.get(&job_of(&runs)).await.status == 200).then_some(())
    })
    .await;
    for id in [&waits, &runs] {
        let again = cancel(api, id).await;
        assert_eq!((again.status, again.text.clone()), (200, retrieve(api, id).await.text));
        assert_eq!(again.json()["status"], "cancelled");
        assert_eq!(api.get(&job_of(id)).await.json()["status_code"], 499);
    }
    // The last one has begun to run meanwhile.
    is(api, &deleted, "in_progress").await;
    for id in [&deleted, &waits, &runs] {
        let answer = delete(api, id).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"id": id, "object": "response", "deleted": true}))
        );
        retrieve(api, id).await.error(404);
        delete(api, id).await.error(404);
        cancel(api, id).await.error(404);
        assert_eq!(api.get(&job_of(id)).await.status, 404);
    }
    gate.open();
    let completed = begun(api, OURS, &body).await;
    let response = ended(api, &completed).await;
    let cancelled = cancel(api, &completed).await;
    assert_eq!((cancelled.status, cancelled.text), (200, response.text), "too late: it is what it is");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn repeated_it_is_the_same_one() {
    let cluster = Cluster::builder().config(config()).workers(0).apis(2).start().await;
    let (first, second) = (cluster.apis.read().unwrap()[0].clone(), cluster.apis.read().unwrap()[1].clone());
    let body = json!({"model": "openai/echo", "input": "x", "background": true});
    let mut ids = Vec::new();
    for (header, values) in [("idempotency-key", ["k-1", "k-1"]), ("x-stainless-retry-count", ["0", "1"])] {
        let once = first.send(create(&first, OURS, &body).header(header, values[0])).await;
        let again = second.send(create(&second, OURS, &body).header(header, values[1])).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
        assert_eq!((once.header("idempotent-replayed"), once.json()), ("", again.json()));
        ids.push(once.json()["id"].clone());
    }
    assert_ne!(ids[0], ids[1]);
    let other = json!({"model": "openai/echo", "input": "y", "background": true});
    first.send(create(&first, OURS, &other).header("idempotency-key", "k-1")).await.error(422);
    assert_eq!(cluster.queued(), 2);
}

#[tokio::test]
async fn only_its_own_key_sees_it() {
    let cluster = Cluster::builder().config(config()).start().await;
    let api = &cluster.api;
    let body = json!({"model": "openai/echo", "input": "x", "background": true});
    let answer = api.send(create(api, OURS, &body).bearer_auth("sk-bf-team")).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let path = format!("{OURS}/{id}");
    let ask = async |method: Method, path: &str, key: &str| {
        let request = api.request(method, path);
        api.send(if key.is_empty() { request } else { request.bearer_auth(key) }).await
    };
    eventually("it has completed", PATIENCE, async || {
        let answer = ask(Method::GET, &path, "sk-bf-team").await;
        (answer.json()["status"] == "completed").then_some(())
    })
    .await;
    for key in ["", "sk-bf-other", "sk-bf-nobody"] {
        ask(Method::GET, &path, key).await.error(404);
        ask(Method::POST, &format!("{path}/cancel"), key).await.error(404);
        ask(Method::DELETE, &path, key).await.error(404);
    }
    assert_eq!(ask(Method::DELETE, &path, "sk-bf-team").await.status, 200);
    api.send(create(api, OURS, &body).bearer_auth("sk-bf-nobody")).await.error(400);
}

#[tokio::test]
async fn what_is_not_stored_is_kept_for_ten_minutes_at_most() {
    let cluster = Cluster::builder().config(config()).start().await;
    let api = &cluster.api;
    let ttl = async |store: Value, header: Option<&str>| {
        let body = json!({"model": "openai/echo", "input": "x", "background": true, "store": store});
        let request = create(api, OURS, &body);
        let request = match header {
            Some(seconds) => request.header("x-bf-async-job-result-ttl", seconds),
            None => request,
        };
        let id = api.send(request).await.json()["id"].as_str().unwrap().to_owned();
        ended(api, &id).await;
        let key = format!("{{hermod:0}}:job:{}", job_of(&id).rsplit('/').next().unwrap());
        let ttl: u64 = cluster.connect().ttl(key).unwrap();
        ttl
    };
    assert!((590..=600).contains(&ttl(json!(false), None).await));
    assert!((3500..=3600).contains(&ttl(json!(true), None).await));
    assert!((3500..=3600).contains(&ttl(Value::Null, None).await));
    assert!((4990..=5000).contains(&ttl(json!(false), Some("5000")).await));
    let call = cluster.calls().remove(0);
    assert_eq!(call.body, r#"{"model":"echo","input":"x","store":false}"#, "the provider is told, too");
}

#[tokio::test]
async fn what_is_no_response_here_is_refused() {
    let cluster = Cluster::builder().config(config()).workers(0).start().await;
    let api = &cluster.api;
    let refused = async |path: &str, body: Value| api.send(create(api, path, &body)).await.error(400);
    assert_eq!(
        refused(OURS, json!({"model": "gpt", "input": "x"})).await,
        "model should be in provider/model format"
    );
    for background in [true, false] {
        let body = json!({"model": "openai/gpt", "input": "x", "stream": true, "background": background});
        for path in [OURS, OPENAIS[0], OPENAIS[1]] {
            assert_eq!(refused(path, body.clone()).await, "streaming is not supported for async requests");
        }
    }
    assert!(refused(OURS, json!({"model": "openai/gpt"})).await.contains("input"));
    assert!(
        refused(OURS, json!({"model": "openai/gpt", "input": "x", "background": "yes"}))
            .await
            .contains("background")
    );
    assert!(
        refused(OPENAIS[0], json!({"model": "elsewhere/gpt", "input": "x"})).await.contains("not configured")
    );

    let id = begun(api, OURS, &json!({"model": "openai/echo", "input": "x", "background": true})).await;
    api.get(&format!("{OURS}/{id}?stream=true")).await.error(400);
    assert_eq!(api.get(&format!("{OURS}/{id}?include=reasoning.encrypted_content")).await.status, 200);
    let of_another_type = api.submit(json!({"model": "openai/echo", "prompt": "x"})).await;
    let hex = of_another_type.replace('-', "");
    for unknown in [
        "x",
        "resp_x",
        &id[5..],
        &of_another_type,
        &format!("resp_{hex}"),
        &format!("{id}0"),
        "resp_01890a5dac96774bbcceb302099a8057",
    ] {
        retrieve(api, unknown).await.error(404);
        cancel(api, unknown).await.error(404);
        delete(api, unknown).await.error(404);
    }
    for (method, path, allow) in [
        (Method::GET, OURS.to_owned(), "POST"),
        (Method::PUT, format!("{OURS}/{id}"), "GET, DELETE"),
        (Method::GET, format!("{OURS}/{id}/cancel"), "POST"),
    ] {
        let answer = api.send(api.request(method, &path)).await;
        answer.error(405);
        assert_eq!(answer.header("allow"), allow);
    }
    assert_eq!(cluster.queued(), 2, "nothing else was submitted");
}

#[tokio::test]
async fn one_follows_another_by_the_id_that_its_provider_knows() {
    for padding in [0, 600_000] {
        let native = NATIVE.replace("a\\nb", &"a".repeat(padding));
        let gate = Gate::answering(native.as_str());
        gate.open();
        let mut config = config();
        config["providers"]["gate"] = gate.config()["providers"]["gate"].clone();
        let cluster = Cluster::builder().config(config).start().await;
        let api = &cluster.api;
        let first = begun(api, OURS, &json!({"model": "gate/m", "input": "x", "background": true})).await;
        ended(api, &first).await;
        let next =
            json!({"model": "openai/echo", "input": "y", "background": true, "previous_response_id": first});
        let submit = |next: &Value| create(api, OURS, next).header("idempotency-key", "k");
        let queued = api.send(submit(&next)).await.json();
        assert_eq!(queued["previous_response_id"], json!(first));
        let second = queued["id"].as_str().unwrap();
        assert_eq!(ended(api, second).await.json()["status"], "completed");
        assert_eq!(
            cluster.calls()[0].body,
            r#"{"model":"echo","input":"y","previous_response_id":"resp_theirs"}"#
        );
        // What is no id of ours is the provider's.
        let theirs = json!({"model": "openai/echo", "input": "y", "previous_response_id": "resp_x"});
        assert_eq!(api.send(create(api, OURS, &theirs)).await.status, 200);
        assert_eq!(
            cluster.calls()[1].body,
            r#"{"model":"echo","input":"y","previous_response_id":"resp_x"}"#
        );
        // A provider of chat keeps none; one that is gone, or another's, is followed by none.
        let converted = json!({"model": "anthropic/echo", "input": "y", "previous_response_id": first});
        let refused = api.send(create(api, OURS, &converted)).await;
        assert!(refused.error(400).contains("previous_response_id"), "{refused:?}");
        delete(api, &first).await;
        let gone = json!({"model": "openai/echo", "input": "z", "previous_response_id": first});
        let gone = api.send(create(api, OURS, &gone)).await;
        assert_eq!(gone.error(400), format!("Previous response with id '{first}' not found."));
        assert_eq!(gone.json()["error"]["param"], "previous_response_id");
        cluster.assert_drained().await;
    }
}
