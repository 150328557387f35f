//! The life of a job, from submit to expiry.

use std::time::Duration;

use hermod_tests::{Answer, Cluster, PATIENCE, binary, eventually, lasts};
use redis::Commands;
use serde_json::{Value, json};

fn millis(time: &Value) -> i128 {
    let time = time.as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-02-19T08:10:17.831Z".len(), "{time}");
    let digits = |range: std::ops::Range<usize>| time[range].parse::<i128>().unwrap();
    // Good for differences within a month.
    ((digits(8..10) * 24 + digits(11..13)) * 60 + digits(14..16)) * 60_000
        + digits(17..19) * 1000
        + digits(20..23)
}

fn members(answer: &Answer) -> Vec<String> {
    answer.json().as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn a_job_is_accepted_runs_and_is_told_to_its_client() {
    let cluster = Cluster::start().await;
    let accepted = cluster.api.post(r#"{"model":"demo/slow-500ms","prompt":"Hello"}"#).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(
        members(&accepted),
        ["created_at", "id", "request_id", "status"],
        "what has no value is absent"
    );
    assert_eq!(accepted.json()["request_id"], accepted.header("x-request-id"));
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(accepted.header("location"), format!("/v1/async/completions/{id}"));
    assert_eq!(accepted.header("content-type"), "application/json");

    let early = cluster.api.poll(&id).await;
    assert_eq!(early.status, 202);
    assert_eq!(members(&early), ["created_at", "id", "status"]);
    assert!(early.header("retry-after").parse::<u64>().unwrap() < 60);
    assert!(early.header("openai-poll-after-ms").parse::<u64>().unwrap() >= 100);
    eventually("it is being processed", PATIENCE, async || {
        (cluster.api.poll(&id).await.json()["status"] == "processing").then_some(())
    })
    .await;

    let job = cluster.ended(&id).await;
    assert_eq!(job["status"], "completed");
    assert_eq!(job["status_code"], 200);
    assert_eq!(job["created_at"], accepted.json()["created_at"]);
    assert!(job.get("error").is_none());
    assert!(millis(&job["completed_at"]) - millis(&job["created_at"]) >= 500);
    let result = &job["result"];
    assert_eq!(result["object"], "text_completion");
    assert_eq!(result["choices"][0]["text"], "Hello");
    assert_eq!(result["choices"][0]["logprobs"], Value::Null, "the provider's own null stays");
    let extra = &result["extra_fields"];
    assert!(extra["latency"].as_u64().unwrap() >= 500);
    assert_eq!(
        (&extra["request_type"], &extra["provider"], &extra["model_requested"], &extra["fallback_index"]),
        (&json!("text_completion"), &json!("demo"), &json!("slow-500ms"), &json!(0))
    );
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_provider_gets_what_the_client_wrote() {
    let cluster = Cluster::start().await;
    let body = r#"{ "model":"demo/echo", "prompt":"h\u00e9llo \u0000 €", "temperature":0.70, "max_tokens":16,
        "seed":123456789012345678901234567890, "logit_bias":{"50256":-100}, "stop":"\n", "stream":false,
        "fallbacks":["demo/empty"], "vendor_option":{"deep":[1.0, 1e400, {"x":null}]}, "user":null }"#;
    let id = cluster.api.submit(body).await;
    assert_eq!(cluster.ended(&id).await["status"], "completed");
    assert_eq!(
        cluster.calls()[0].body,
        r#"{"model":"echo","prompt":"h\u00e9llo \u0000 €","temperature":0.70,"max_tokens":16,"seed":123456789012345678901234567890,"logit_bias":{"50256":-100},"stop":"\n","vendor_option":{"deep":[1.0, 1e400, {"x":null}]},"user":null}"#
    );
}

#[tokio::test]
async fn every_form_of_prompt_is_taken() {
    let cluster = Cluster::start().await;
    for (prompt, texts) in [
        (json!("one"), vec!["one"]),
        (json!(["one", "two"]), vec!["one", "two"]),
        (json!([1, 2, 3]), vec!["[1,2,3]"]),
        (json!([[1, 2], [3]]), vec!["[1,2]", "[3]"]),
    ] {
        let job = cluster.run(json!({"model": "demo/echo", "prompt": prompt})).await;
        let choices = job["result"]["choices"].as_array().unwrap();
        let got: Vec<_> = choices.iter().map(|choice| choice["text"].as_str().unwrap()).collect();
        assert_eq!(got, texts);
    }
}

#[tokio::test]
async fn an_empty_text_is_a_success() {
    let cluster = Cluster::start().await;
    let job = cluster.run(json!({"model": "demo/empty", "prompt": "x"})).await;
    assert_eq!((&job["status"], &job["result"]["choices"][0]["text"]), (&json!("completed"), &json!("")));
}

#[tokio::test]
async fn a_result_is_kept_as_long_as_the_client_says() {
    let cluster = Cluster::builder().config(json!({"client": {"async_job_result_ttl": 500}})).start().await;
    let mut redis = cluster.connect();
    for (header, seconds) in [
        (None, 500),
        (Some("7200"), 7200),
        (Some("soon"), 500),
        (Some("0"), 500),
        (Some("-5"), 500),
        (Some("1.5"), 500),
        (Some("99999999999999999999"), 2_592_000),
    ] {
        let mut submission = cluster.api.submission(r#"{"model":"demo/echo","prompt":"x"}"#);
        if let Some(header) = header {
            submission = submission.header("x-bf-async-job-result-ttl", header);
        }
        let id = cluster.api.send(submission).await.json()["id"].as_str().unwrap().to_owned();
        let job = cluster.ended(&id).await;
        if seconds < 10_000 {
            let kept = millis(&job["expires_at"]) - millis(&job["completed_at"]);
            assert_eq!(kept, seconds * 1000, "{header:?}");
        }
        let left: i64 = redis.pttl(format!("{{hermod:0}}:job:{id}")).unwrap();
        assert!((seconds * 1000 - 60_000..=seconds * 1000).contains(&i128::from(left)), "{header:?}: {left}");
    }
}

#[tokio::test]
async fn the_default_time_to_live_is_an_hour() {
    let cluster = Cluster::start().await;
    let job = cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    assert_eq!(millis(&job["expires_at"]) - millis(&job["completed_at"]), 3_600_000);
}

#[tokio::test]
async fn an_expired_job_is_unknown_and_a_running_one_never_expires() {
    let cluster = Cluster::start().await;
    let submission = cluster.api.submission(r#"{"model":"demo/slow-5s","prompt":"x"}"#);
    let submission = submission.header("x-bf-async-job-result-ttl", "4");
    let id = cluster.api.send(submission).await.json()["id"].as_str().unwrap().to_owned();
    // It runs for longer than its time to live, which counts from its end.
    assert_eq!(cluster.ended(&id).await["status"], "completed");
    let unknown = eventually("it has expired", PATIENCE, async || {
        let answer = cluster.api.poll(&id).await;
        (answer.status == 404).then_some(answer)
    })
    .await;
    let never = cluster.api.poll("0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70").await;
    assert_eq!(unknown.error(404), never.error(404), "ids cannot be probed");
}

#[tokio::test]
async fn targets_are_tried_in_order() {
    let cluster = Cluster::start().await;
    let job = cluster
        .run(json!({"model": "demo/fail-503", "prompt": "x",
            "fallbacks": ["demo/fail-500", "demo/no-such-model", "demo/echo", "demo/empty"]}))
        .await;
    assert_eq!(job["status"], "completed");
    assert_eq!(job["result"]["extra_fields"]["fallback_index"], 3);
    assert_eq!(job["result"]["extra_fields"]["model_requested"], "echo");
    let models: Vec<_> = cluster.calls().into_iter().map(|call| call.model).collect();
    assert_eq!(models, ["fail-503", "fail-500", "no-such-model", "echo"]);
}

#[tokio::test]
async fn when_all_targets_fail_the_client_is_told_what_the_primary_said() {
    let cluster = Cluster::start().await;
    let mut job = cluster
        .run(
            json!({"model": "demo/fail-418", "prompt": "x", "fallbacks": ["demo/fail-503", "demo/fail-500"]}),
        )
        .await;
    let attempts = job["error"]["extra_fields"].as_object_mut().unwrap().remove("attempts").unwrap();
    let tried: Vec<_> =
        attempts.as_array().unwrap().iter().map(|attempt| (&attempt["target"], &attempt["status"])).collect();
    assert_eq!(json!(tried), json!([["demo/fail-418", 418], ["demo/fail-503", 503], ["demo/fail-500", 500]]));
    assert_eq!((&job["status"], &job["status_code"]), (&json!("failed"), &json!(418)));
    assert!(job.get("result").is_none());
    assert_eq!(
        job["error"],
        json!({"is_bifrost_error": false, "status_code": 418,
            "error": {"message": "the model fail-418 fails", "type": "demo_error", "code": "demo_failure"},
            "extra_fields": {"provider": "demo", "model_requested": "fail-418", "request_type": "text_completion"}})
    );
    assert_eq!(cluster.calls().len(), 3);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_request_that_is_itself_wrong_is_not_tried_elsewhere() {
    let cluster = Cluster::start().await;
    let job = cluster.run(json!({"model": "demo/fail-400", "prompt": "x", "fallbacks": ["demo/echo"]})).await;
    assert_eq!((&job["status"], &job["status_code"]), (&json!("failed"), &json!(400)));
    assert_eq!(cluster.calls().len(), 1);
}

#[tokio::test]
async fn a_thousand_jobs_at_once_all_end_right() {
    let cluster = Cluster::builder().workers(2).start().await;
    let mut submits = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let api = cluster.api.clone();
        submits.spawn(async move {
            let model = if number % 10 == 0 { "demo/fail-500" } else { "demo/echo" };
            (number, api.submit(json!({"model": model, "prompt": format!("job {number}")})).await)
        });
    }
    for (number, id) in submits.join_all().await {
        let job = cluster.ended(&id).await;
        if number % 10 == 0 {
            assert_eq!(job["status_code"], 500);
        } else {
            assert_eq!(job["result"]["choices"][0]["text"], format!("job {number}"));
        }
    }
    assert_eq!(cluster.calls().len(), 1000, "no job runs twice");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn large_bodies_and_results_are_kept_apart_and_come_back_whole() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let prompts: Vec<String> = [15_000, 16_384, 200_000, 3_000_000].map(|bytes| "x".repeat(bytes)).into();
    let mut jobs = Vec::new();
    for prompt in &prompts {
        jobs.push(cluster.api.submit(json!({"model": "demo/echo", "prompt": prompt})).await);
    }
    let mut redis = cluster.connect();
    let bodies: Vec<String> = redis.keys("{hermod:0}:body:*").unwrap();
    assert_eq!(bodies.len(), 3, "{bodies:?}");
    for key in &bodies {
        assert_eq!(redis.ttl::<_, i64>(key).unwrap(), -1, "a job that waits does not expire");
    }
    cluster.add_worker().await;
    for (job, prompt) in jobs.iter().zip(&prompts) {
        let job = cluster.ended(job).await;
        assert_eq!(job["status"], "completed", "{}", job["error"]);
        assert_eq!(job["result"]["choices"][0]["text"].as_str(), Some(prompt.as_str()));
    }
    assert_eq!(redis.keys::<_, Vec<String>>("{hermod:0}:body:*").unwrap(), Vec::<String>::new());
    let outcomes: Vec<String> = redis.keys("{hermod:0}:outcome:*").unwrap();
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
    for key in &outcomes {
        assert!(redis.ttl::<_, i64>(key).unwrap() > 3000, "it lives as long as its record");
    }
    // A result whose text is gone is as good as expired.
    let _: u64 = redis.del(&outcomes).unwrap();
    assert_eq!(cluster.api.poll(&jobs[3]).await.status, 404);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_large_job_that_is_given_up_can_be_queued_again() {
    let mut cluster = Cluster::builder().set("HERMOD_MAX_WAIT_SECONDS", 3).workers(0).start().await;
    let prompt = "x".repeat(50_000);
    let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": prompt})).await;
    lasts(Duration::from_secs(4)).await;
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&id).await["error"]["error"]["code"], "job_deadline_exceeded");
    let mut redis = cluster.connect();
    for key in redis.keys::<_, Vec<String>>("{hermod:0}:body:*").unwrap() {
        assert!(
            redis.ttl::<_, i64>(&key).unwrap() > 0,
            "{key} is kept for its dead letter, and not for ever"
        );
    }
    let output = std::process::Command::new(binary("hermod"))
        .args(["queue", "dead", "requeue", &id])
        .env("REDIS_URL", cluster.redis_url())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = eventually("it has run", PATIENCE, async || {
        let job = cluster.api.poll(&id).await.json();
        job["result"]["choices"][0]["text"].as_str().map(str::to_owned)
    })
    .await;
    assert_eq!(text, prompt);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_large_body_that_is_refused_leaves_nothing_behind() {
    let cluster = Cluster::builder().set("HERMOD_QUEUE_LIMIT", 1).workers(0).start().await;
    let body = json!({"model": "demo/echo", "prompt": "x".repeat(50_000)});
    cluster.api.submit(body.clone()).await;
    assert_eq!(cluster.api.post(body.to_string()).await.status, 429);
    let bodies: Vec<String> = cluster.connect().keys("{hermod:0}:body:*").unwrap();
    assert_eq!(bodies.len(), 1, "only that of the job that waits: {bodies:?}");
}
