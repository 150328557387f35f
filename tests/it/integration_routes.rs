//! The paths of OpenAI's and Anthropic's SDKs: submit and retrieve by headers.

use hermod_tests::{Answer, Api, Cluster, PATIENCE, eventually};
use hermod_types::Operation;
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

const OPENAI: [&str; 2] = ["/openai/v1/responses", "/openai/responses"];
const ANTHROPIC: [&str; 2] = ["/anthropic/v1/messages", "/anthropic/messages"];

/// The demo provider as OpenAI, and as Anthropic.
fn config() -> Value {
    let key = |name: &str| {
        json!({"id": name, "name": name, "value": format!("sk-bf-{name}"),
        "provider_configs": [{"provider": "openai", "allowed_models": ["*"], "key_ids": ["*"]}, {"provider": "anthropic", "allowed_models": ["*"], "key_ids": ["*"]}]})
    };
    json!({
        "providers": {
            "openai": {"keys": [{"name": "k", "value": "sk-openai"}]},
            "anthropic": {"keys": [{"name": "k", "value": "sk-anthropic"}]},
        },
        "governance": {"virtual_keys": [key("team"), key("other")]},
    })
}

async fn post(api: &Api, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let request = api.request(Method::POST, path).body(body.to_owned());
    api.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

/// Retrieves until the job is neither pending nor processing.
async fn retrieved(api: &Api, path: &str, id: &str) -> Answer {
    eventually("it has ended", PATIENCE, async || {
        let answer = post(api, path, &[("x-bf-async-id", id), ("x-bf-async", "true")], "{}").await;
        let status = if answer.status == 200 { answer.json()["status"].clone() } else { Value::Null };
        (status != "pending" && status != "processing").then_some(answer)
    })
    .await
}

#[tokio::test]
async fn a_response_is_submitted_and_retrieved() {
    let cluster = Cluster::builder().config(config()).start().await;
    let api = &cluster.api;
    let body = r#"{"model":"slow-500ms","input":"h\u00e9llo","temperature":1.0,"stream":false}"#;
    for path in OPENAI {
        let pending = post(api, path, &[("x-bf-async", "false")], body).await;
        assert_eq!(pending.status, 200, "{pending:?}");
        let pending = pending.json();
        let id = pending["id"].as_str().unwrap();
        assert_eq!(
            (&pending["object"], &pending["status"], &pending["model"], &pending["output"]),
            (&json!("response"), &json!("pending"), &json!("slow-500ms"), &json!([]))
        );
        let created = pending["created_at"].as_u64().unwrap();
        assert!(created > 1_700_000_000 && created < 100_000_000_000, "seconds: {created}");

        let waits = post(api, path, &[("x-bf-async-id", id)], body).await.json();
        assert_eq!(
            (&waits["id"], &waits["output"], &waits["created_at"]),
            (&json!(id), &json!([]), &json!(created))
        );
        assert!(["pending", "processing"].contains(&waits["status"].as_str().unwrap()), "{waits}");
        let completed = retrieved(api, path, id).await;
        let response = completed.json();
        assert_eq!((completed.status, &response["status"]), (200, &json!("completed")));
        assert!(response["id"].as_str().unwrap().starts_with("resp_"), "the provider's own: {response}");
        assert_eq!(response["output"][0]["content"][0]["text"], "héllo");
        let polled = api.get(&format!("/v1/async/responses/{id}")).await.json();
        assert_eq!(polled["result"], response, "it is a job of responses");
        let call = cluster.calls().pop().unwrap();
        assert_eq!(call.body, r#"{"model":"slow-500ms","input":"h\u00e9llo","temperature":1.0}"#);
        assert_eq!(call.header("authorization"), Some("Bearer sk-openai"));
    }
    let large = r#"{"model":"openai/bytes-600000","input":"x"}"#;
    let id =
        post(api, OPENAI[0], &[("x-bf-async", "1")], large).await.json()["id"].as_str().unwrap().to_owned();
    let response = retrieved(api, OPENAI[0], &id).await.json();
    assert_eq!(response["output"][0]["content"][0]["text"].as_str().unwrap().len(), 600_000);

    let path = api.submit_to(Operation::Responses, &json!({"model": "openai/echo", "input": "x"})).await;
    let response = retrieved(api, OPENAI[1], path.rsplit('/').next().unwrap()).await.json();
    assert_eq!(response["output"][0]["content"][0]["text"], "x", "and the other way round");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_message_is_submitted_and_retrieved() {
    let cluster = Cluster::builder().config(config()).start().await;
    let api = &cluster.api;
    let body = r#"{"model":"slow-500ms","max_tokens":9,"messages":[{"role":"user","content":"h\u00e9llo"}]}"#;
    for path in ANTHROPIC {
        let pending = post(api, path, &[("x-bf-async", "true")], body).await;
        assert_eq!(pending.status, 200, "{pending:?}");
        let pending = pending.json();
        let id = pending["id"].as_str().unwrap();
        assert_eq!(
            pending,
            json!({"id": id, "type": "message", "role": "assistant", "status": "pending", "model": "slow-500ms", "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 0, "output_tokens": 0}})
        );
        let message = retrieved(api, path, id).await.json();
        assert_eq!((&message["type"], &message["stop_reason"]), (&json!("message"), &json!("end_turn")));
        assert_eq!(message["content"], json!([{"type": "text", "text": "héllo"}]));
        assert_eq!(api.get(&format!("/v1/async/responses/{id}")).await.json()["result"], message);
        let call = cluster.calls().pop().unwrap();
        assert_eq!((call.path.as_str(), call.header("x-api-key")), ("/v1/messages", Some("sk-anthropic")));
        assert_eq!(call.body, body);
        // Its result is in another form than is asked for here.
        post(api, OPENAI[0], &[("x-bf-async-id", id)], "{}").await.error(404);
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_as_a_poll_does() {
    let cluster = Cluster::builder().config(config()).start().await;
    let api = &cluster.api;
    for (paths, good, streamed) in [
        (OPENAI, r#"{"model":"fail-418","input":"x"}"#, r#"{"model":"echo","input":"x","stream":true}"#),
        (
            ANTHROPIC,
            r#"{"model":"fail-418","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#,
            r#"{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":true}"#,
        ),
    ] {
        let path = paths[0];
        let submitted = post(api, path, &[("x-bf-async", "true")], good).await;
        let id = submitted.json()["id"].as_str().unwrap().to_owned();
        let failed = retrieved(api, path, &id).await;
        assert_eq!((failed.status, failed.header("content-type")), (418, "application/json"));
        assert_eq!(failed.json()["error"]["message"], "the model fail-418 fails");
        assert_eq!(failed.json(), api.get(&format!("/v1/async/responses/{id}")).await.json()["error"]);

        let refused = post(api, path, &[("x-bf-async", "true")], streamed).await;
        assert_eq!(refused.error(400), "streaming is not supported for async requests");
        for headers in [&[][..], &[("x-bf-async", ""), ("x-bf-async-id", "")]] {
            let without = post(api, path, headers, good).await;
            if paths == OPENAI {
                // It is waited for: see `background_responses`.
                assert_eq!(without.error(418), "the model fail-418 fails");
                continue;
            }
            let said = without.error(400);
            for named in ["x-bf-async:", "x-bf-async-id:", "/v1/async/responses"] {
                assert!(said.contains(named), "{said}");
            }
        }
        post(api, path, &[("x-bf-async", "true")], "{}").await.error(400);
        let unknown = post(api, path, &[("x-bf-async", "true")], r#"{"model":"nope/x"}"#).await;
        unknown.error(400);
        let of_another_type = api.submit(json!({"model": "openai/echo", "prompt": "x"})).await;
        let never = "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70";
        let poll = api.get(&format!("/v1/async/responses/{never}")).await;
        for id in [never, "x", &of_another_type] {
            let answer = post(api, path, &[("x-bf-async-id", id), ("x-bf-async", "true")], good).await;
            assert_eq!((answer.error(404), answer.json()), (poll.error(404), poll.json()), "{id}");
        }
        let got = api.get(path).await;
        got.error(405);
        assert_eq!(got.header("allow"), "POST");
    }
}

#[tokio::test]
async fn keys_and_times_to_live_count_as_on_the_other_paths() {
    let cluster = Cluster::builder().config(config()).start().await;
    let api = &cluster.api;
    let (openai, anthropic) = (
        r#"{"model":"echo","input":"x"}"#,
        r#"{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#,
    );
    for (path, body, header, mine, other) in [
        (OPENAI[0], openai, "authorization", "Bearer sk-bf-team", "Bearer sk-bf-other"),
        (ANTHROPIC[0], anthropic, "x-api-key", "sk-bf-team", "sk-bf-other"),
    ] {
        let submit = [("x-bf-async", "true"), (header, mine), ("x-bf-async-job-result-ttl", "4")];
        let id = post(api, path, &submit, body).await.json()["id"].as_str().unwrap().to_owned();
        let ask = async |key: &str| post(api, path, &[("x-bf-async-id", &id), (header, key)], "{}").await;
        eventually("it is completed", PATIENCE, async || {
            let answer = ask(mine).await;
            answer.text.contains("extra_fields").then_some(())
        })
        .await;
        ask(other).await.error(404);
        post(api, path, &[("x-bf-async-id", &id)], "{}").await.error(404);
        eventually("it has expired", PATIENCE, async || (ask(mine).await.status == 404).then_some(())).await;
        let refused = post(api, path, &[("x-bf-async", "true"), (header, "Bearer sk-bf-nobody")], body).await;
        let refused = if header == "x-api-key" {
            post(api, path, &[("x-bf-async", "true"), (header, "sk-bf-nobody")], body).await
        } else {
            refused
        };
        assert_eq!(refused.error(400), "virtual key not found");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn odd_headers_name_no_job_or_the_first_that_is_given() {
    let cluster = Cluster::builder().config(config()).workers(0).start().await;
    let (api, path) = (&cluster.api, OPENAI[0]);
    let body = r#"{"model":"echo","input":"x"}"#;
    let id = post(api, path, &[("x-bf-async", "true")], body).await.json()["id"].as_str().unwrap().to_owned();
    for ids in [&["", &id][..], &[&id, "x"]] {
        let headers: Vec<_> = ids.iter().map(|id| ("x-bf-async-id", *id)).collect();
        let answer = post(api, path, &headers, body).await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(id)), "{ids:?}");
    }
    let twice = format!("{id}, {id}");
    for odd in [b"\xff\xfe".as_slice(), twice.as_bytes()] {
        let value = reqwest::header::HeaderValue::from_bytes(odd).unwrap();
        let request =
            api.request(Method::POST, path).header("x-bf-async-id", value).header("x-bf-async", "true");
        api.send(request.body(body)).await.error(404);
    }
    let waiting: u64 = cluster.connect().xlen("{hermod:0}:queue").unwrap();
    assert_eq!(waiting, 1, "nothing was submitted once more");
}
