//! Traces of jobs, as whoever collects them receives them.

use hermod_tests::{
    Builder, Cluster, Mood, PATIENCE, RECLAIM, Reaction, ReceivedSpan, Receiver, Signal, TraceReceiver,
    eventually, eventually_ok, exit_of, tree,
};
use redis::Commands;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

/// Where a client stands in its own trace.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const PROMPT: &str = "a prompt that nobody else may read";
const KEY: &str = "sk-bf-of-the-client";
const PROVIDER_KEY: &str = "key-at-the-provider";

/// A cluster that sends its traces soon.
fn traced(receiver: &TraceReceiver) -> Builder {
    Cluster::builder().set("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url).set("OTEL_BSP_SCHEDULE_DELAY", 50)
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn submission(cluster: &Cluster, body: &Value) -> RequestBuilder {
    cluster.api.submission(body.to_string()).header("traceparent", traceparent("01"))
}

async fn submit(cluster: &Cluster, body: &Value) -> String {
    let answer = cluster.api.send(submission(cluster, body)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The header of a job's request, as its record has it.
fn stored(cluster: &Cluster, job: &str) -> Value {
    let request: String = cluster.connect().hget(format!("{{hermod:0}}:job:{job}"), "request").unwrap();
    serde_json::from_str(request.split_once('\n').unwrap().0).unwrap()
}

fn named<'a>(spans: &'a [ReceivedSpan], name: &str) -> Vec<&'a ReceivedSpan> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// Waits until each of these names has so many spans.
async fn receives(receiver: &TraceReceiver, names: &[(&str, usize)]) -> Vec<ReceivedSpan> {
    eventually_ok(&format!("{names:?}"), PATIENCE, async || {
        let spans = receiver.spans();
        let is_there = names.iter().all(|(name, count)| named(&spans, name).len() >= *count);
        if is_there { Ok(spans) } else { Err(format!("but\n{}", tree(&spans))) }
    })
    .await
}

/// Asserts that a span has these attributes, among others.
fn has(span: &ReceivedSpan, wanted: &Value) {
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(span.is(name), *value, "{name} of {span:#?}");
    }
}

#[tokio::test]
async fn a_job_is_told_from_its_submit_to_its_webhook() {
    let (traces, webhook) = (TraceReceiver::start(), Receiver::start());
    webhook.reacts_first([Reaction::Answer(500)]);
    let demo = json!({
        "keys": [{"name": "one", "value": PROVIDER_KEY}],
        "network_config": {"max_retries": 1, "retry_backoff_initial": 20, "retry_backoff_max": 50},
        "custom_provider_config": {"base_provider_type": "openai"},
    });
    let grant = json!({"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]});
    let config = json!({
        "providers": {"demo": demo},
        "webhooks": [webhook.endpoint("ci", json!({"retry_backoff_initial_seconds": 1}))],
        "governance": {"virtual_keys": [{"id": "k", "name": "K", "value": KEY, "provider_configs": [grant]}]},
    });
    let mut cluster = traced(&traces).config(config).workers(0).start().await;
    let body = json!({
        "model": "demo/fail-503", "fallbacks": ["demo/echo"], "prompt": PROMPT, "max_tokens": 50, "temperature": 0.5,
    });
    let request = submission(&cluster, &body)
        .header("tracestate", "vendor=1")
        .header("x-bf-vk", KEY)
        .header("x-request-id", "my-request")
        .header("x-bf-async-webhook", "ci");
    let answer = cluster.api.send(request).await;
    let job = answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    let kept = stored(&cluster, &job)["trace"].clone();
    cluster.add_worker().await;
    webhook.receives(2).await;
    let spans = traces.receives(8).await;
    println!("{}", tree(&spans));
    assert_eq!(spans.len(), 8, "{}", tree(&spans));

    let send = named(&spans, "send hermod")[0];
    assert_eq!((send.kind.as_str(), send.trace.as_str(), send.parent.as_str()), ("PRODUCER", TRACE, PARENT));
    assert_eq!((send.state.as_str(), send.is_error), ("vendor=1", false));
    assert_eq!(kept, json!({"traceparent": send.traceparent(), "tracestate": "vendor=1"}));
    has(
        send,
        &json!({
            "messaging.system": "hermod", "messaging.operation.name": "send", "messaging.operation.type": "send",
            "messaging.destination.name": "hermod", "messaging.message.id": job, "hermod.endpoint": "text_completion",
            "hermod.model": "demo/fail-503", "hermod.fallbacks": 1, "hermod.request_id": "my-request",
        }),
    );
    assert_eq!(send.resource["service.name"], "hermod-api");

    let process = named(&spans, "process hermod")[0];
    assert_eq!((process.kind.as_str(), process.parent.as_str()), ("CONSUMER", ""));
    assert_ne!(process.trace, TRACE, "it is a trace of its own");
    assert_eq!(process.links, [send.place()]);
    assert!(!process.is_error && process.begun >= send.begun, "{}", tree(&spans));
    has(
        process,
        &json!({
            "messaging.operation.type": "process", "messaging.message.id": job, "messaging.consumer.group.name": "workers",
            "hermod.outcome": "completed", "hermod.status_code": 200, "hermod.start": 1,
        }),
    );
    assert_eq!(process.resource["service.name"], "hermod-worker");
    let [(event, told)] = &process.events[..] else { panic!("{process:#?}") };
    assert_eq!((event.as_str(), &told["hermod.target"]), ("retry", &json!("demo/fail-503")));

    let failed = named(&spans, "text_completion fail-503");
    let echoed = named(&spans, "text_completion echo");
    let settle = named(&spans, "settle hermod");
    assert_eq!((failed.len(), echoed.len(), settle.len()), (2, 1, 1));
    for child in failed.iter().chain(&echoed).chain(&settle) {
        assert_eq!((&child.trace, &child.parent), (&process.trace, &process.id), "{}", tree(&spans));
        assert_eq!(child.kind, "CLIENT");
        assert!(child.links.is_empty() && child.ended <= process.ended);
    }
    let port: u16 = failed[0].is("server.port").as_u64().unwrap().try_into().unwrap();
    for (number, call) in failed.iter().enumerate() {
        assert!(call.is_error);
        has(
            call,
            &json!({
                "gen_ai.operation.name": "text_completion", "gen_ai.provider.name": "demo", "gen_ai.request.model": "fail-503",
                "http.response.status_code": 503, "error.type": "demo_error", "server.address": "127.0.0.1",
                "hermod.target.index": 0, "gen_ai.request.max_tokens": 50, "gen_ai.request.temperature": 0.5,
                "http.request.resend_count": if number == 0 { Value::Null } else { json!(number) },
            }),
        );
    }
    assert!(!echoed[0].is_error);
    has(
        echoed[0],
        &json!({
            "gen_ai.operation.name": "text_completion", "gen_ai.request.model": "echo", "gen_ai.response.model": "echo",
            "gen_ai.response.finish_reasons": ["stop"], "http.response.status_code": 200, "server.port": port,
            "hermod.target.index": 1, "error.type": null,
        }),
    );
    assert!(echoed[0].is("gen_ai.usage.input_tokens").as_u64().is_some(), "{:#?}", echoed[0]);
    assert!(echoed[0].is("gen_ai.usage.output_tokens").as_u64().is_some());
    has(settle[0], &json!({"messaging.operation.type": "settle", "messaging.message.id": job}));

    let attempts = named(&spans, "POST");
    assert_eq!(attempts.len(), 2);
    for (attempt, (status, outcome)) in attempts.iter().zip([(500, "retryable_failure"), (204, "delivered")])
    {
        assert_eq!((attempt.kind.as_str(), attempt.parent.as_str()), ("CLIENT", ""));
        assert_eq!((&attempt.links[..], attempt.is_error), (&[send.place()][..], status == 500));
        has(
            attempt,
            &json!({
                "http.response.status_code": status, "hermod.webhook.outcome": outcome, "messaging.message.id": job,
                "http.request.method": "POST", "server.address": "127.0.0.1", "hermod.webhook.event": "async_job.completed",
            }),
        );
    }
    assert_eq!(
        (attempts[0].is("error.type"), attempts[1].is("http.request.resend_count")),
        (json!("500"), json!(1))
    );

    // Neither contents nor keys, nor what an error says.
    for body in traces.bodies() {
        let text = String::from_utf8_lossy(&body).into_owned();
        for secret in [PROMPT, KEY, PROVIDER_KEY, "the model fail-503 fails", "this is the answer"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
    assert!(spans.iter().all(|span| span.message.is_empty()));
    // Nor is anybody told who was not to be.
    assert!(cluster.calls().iter().all(|call| call.header("traceparent").is_none()));
    assert!(webhook.received().iter().all(|told| told.header("traceparent").is_empty()));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_submit_that_is_not_recorded_leaves_nothing() {
    let traces = TraceReceiver::start();
    let cluster = traced(&traces).workers(0).start().await;
    let body = json!({"model": "demo/echo", "prompt": "x"});
    let request = cluster.api.submission(body.to_string()).header("traceparent", traceparent("00"));
    let answer = cluster.api.send(request.header("tracestate", "vendor=1")).await;
    let unsampled = answer.json()["id"].as_str().unwrap().to_owned();
    assert!(stored(&cluster, &unsampled)["trace"].is_null());
    // What comes with no trace begins one.
    let own = cluster.api.submit(&body).await;
    assert!(stored(&cluster, &own)["trace"]["traceparent"].is_string());
    let mut cluster = cluster;
    cluster.add_worker().await;
    cluster.ended(&unsampled).await;
    cluster.ended(&own).await;
    let spans = receives(&traces, &[("send hermod", 1), ("process hermod", 1)]).await;
    // All of one process is sent in its order, so what came before would be there.
    assert!(
        spans.iter().all(|span| span.is("messaging.message.id") != json!(unsampled) && span.trace != TRACE)
    );
    assert_eq!(named(&spans, "send hermod").len(), 1, "{}", tree(&spans));
}

#[tokio::test]
async fn of_a_share_of_all_traces_no_part_is_missing() {
    let traces = TraceReceiver::start();
    let cluster = traced(&traces)
        .set("OTEL_TRACES_SAMPLER", "traceidratio")
        .set("OTEL_TRACES_SAMPLER_ARG", "0.5")
        .start()
        .await;
    let mut jobs = Vec::new();
    for number in 0..40 {
        jobs.push(cluster.api.submit(json!({"model": "demo/echo", "prompt": number.to_string()})).await);
    }
    for job in &jobs {
        cluster.ended(job).await;
    }
    let spans = eventually_ok("as many runs as submits", PATIENCE, async || {
        let spans = traces.spans();
        let (sent, run) = (named(&spans, "send hermod").len(), named(&spans, "process hermod").len());
        if sent > 0 && sent == run { Ok(spans) } else { Err(format!("{sent} {run}")) }
    })
    .await;
    let sent = named(&spans, "send hermod");
    assert!((5..=35).contains(&sent.len()), "{}", sent.len());
    for run in named(&spans, "process hermod") {
        assert!(sent.iter().any(|send| run.links == [send.place()]), "{}", tree(&spans));
    }
}

#[tokio::test]
async fn without_an_address_nothing_is_kept_and_nothing_runs() {
    let cluster = Cluster::builder().workers(1).start().await;
    let job = submit(&cluster, &json!({"model": "demo/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    assert!(stored(&cluster, &job)["trace"].is_null());
    for process in cluster.api_processes.iter().chain(&cluster.workers) {
        let threads = std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
        for thread in threads {
            let name = std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default();
            assert!(!name.starts_with("OpenTelemetry") && !name.contains("reqwest"), "{name}");
        }
    }
}

#[tokio::test]
async fn contents_are_told_where_the_operator_wants_them() {
    let traces = TraceReceiver::start();
    let cluster = traced(&traces)
        .set("HERMOD_TRACE_CONTENT", "true")
        .set("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=of-the-collector")
        .set("OTEL_SERVICE_NAME", "ours")
        .set("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        .start()
        .await;
    let job = submit(&cluster, &json!({"model": "demo/echo", "prompt": PROMPT})).await;
    cluster.ended(&job).await;
    let spans = receives(&traces, &[("text_completion echo", 1)]).await;
    let call = named(&spans, "text_completion echo")[0];
    let read = |name| serde_json::from_str::<Value>(call.is(name).as_str().unwrap()).unwrap();
    let text = |role: &str| json!([{"role": role, "parts": [{"type": "text", "content": PROMPT}]}]);
    assert_eq!(read("gen_ai.input.messages"), text("user"));
    assert_eq!(read("gen_ai.output.messages"), text("assistant"));
    assert_eq!(
        (&call.resource["service.name"], &call.resource["deployment.environment.name"]),
        (&json!("ours"), &json!("test"))
    );
    assert!(call.resource["service.instance.id"].is_string());
    assert!(traces.headers().iter().all(|headers| headers["x-collector-key"] == "of-the-collector"));
}

#[tokio::test]
async fn whoever_is_to_be_told_is_told() {
    let (traces, webhook) = (TraceReceiver::start(), Receiver::start());
    let cluster = traced(&traces)
        .config(json!({"webhooks": [webhook.endpoint("ci", json!({}))]}))
        .set("HERMOD_TRACE_PROPAGATE", "providers,webhooks")
        .start()
        .await;
    let request = submission(&cluster, &json!({"model": "demo/echo", "prompt": "x"}));
    let answer = cluster.api.send(request.header("x-bf-async-webhook", "ci")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let told = webhook.receives(1).await.remove(0);
    let spans = receives(&traces, &[("text_completion echo", 1), ("POST", 1)]).await;
    let call = named(&spans, "text_completion echo")[0];
    assert_eq!(cluster.calls()[0].header("traceparent"), Some(call.traceparent().as_str()));
    assert_eq!(told.header("traceparent"), named(&spans, "POST")[0].traceparent());
}

#[tokio::test]
async fn a_receiver_that_is_away_holds_nothing_up_and_is_told_of_once() {
    let traces = TraceReceiver::start();
    traces.is(Mood::Refuses);
    // So few may wait that all of it is full at once.
    let cluster = traced(&traces)
        .set("OTEL_BSP_MAX_QUEUE_SIZE", 4)
        .set("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 2)
        .start()
        .await;
    let mut jobs = Vec::new();
    for _ in 0..50 {
        jobs.push(submit(&cluster, &json!({"model": "demo/echo", "prompt": "x"})).await);
    }
    for job in &jobs {
        assert_eq!(cluster.ended(job).await["status"], "completed");
    }
    let away = "nobody takes the traces; they are lost until somebody does";
    let again = "traces are taken again";
    eventually("both processes say so", PATIENCE, async || {
        (cluster.logs.with_message(away).len() >= 2 && traces.refused() > 10).then_some(())
    })
    .await;
    traces.is(Mood::Takes);
    let job = submit(&cluster, &json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.ended(&job).await;
    eventually("both processes say that it is over", PATIENCE, async || {
        // What waits goes first; a span of each process must come after the receiver does.
        let job = submit(&cluster, &json!({"model": "demo/echo", "prompt": "x"})).await;
        cluster.ended(&job).await;
        (cluster.logs.with_message(again).len() >= 2).then_some(())
    })
    .await;
    assert_eq!((cluster.logs.with_message(away).len(), cluster.logs.with_message(again).len()), (2, 2));
    assert!(cluster.logs.with_message(again)[0]["lost_spans"].as_u64().unwrap() > 0);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn each_start_of_a_job_is_a_run_that_is_linked_to_its_submit() {
    let traces = TraceReceiver::start();
    let mut cluster = traced(&traces).task("hang").start().await;
    let job = submit(&cluster, &json!({"model": "switch/task", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    drop(cluster.take_worker(0));
    cluster.switch("echo");
    cluster.add_worker().await;
    assert_eq!(cluster.api.ended(&job, RECLAIM).await["status"], "completed");
    let spans = receives(&traces, &[("process hermod", 1), ("settle hermod", 1)]).await;
    let (send, run) = (named(&spans, "send hermod")[0], named(&spans, "process hermod")[0]);
    assert_eq!((&run.links[..], run.is("hermod.start")), (&[send.place()][..], json!(2)), "{}", tree(&spans));

    // One that is given back is told by both workers.
    cluster.switch("hang");
    cluster.set("HERMOD_GRACE_SECONDS", "0");
    drop(cluster.take_worker(0));
    cluster.add_worker().await;
    let job = submit(&cluster, &json!({"model": "switch/task", "prompt": "x"})).await;
    cluster.called("hang", 2).await;
    cluster.workers[0].signal(Signal::TERM);
    exit_of(&mut cluster.workers[0]).await;
    cluster.switch("echo");
    cluster.add_worker().await;
    assert_eq!(cluster.api.ended(&job, RECLAIM).await["status"], "completed");
    let spans = receives(&traces, &[("process hermod", 3)]).await;
    let of_job = |span: &&ReceivedSpan| span.is("messaging.message.id") == json!(job);
    let runs: Vec<_> = named(&spans, "process hermod").into_iter().filter(of_job).collect();
    let outcomes: Vec<Value> = runs.iter().map(|run| run.is("hermod.outcome")).collect();
    assert_eq!(outcomes, [json!("released"), json!("completed")], "{}", tree(&spans));
    assert_eq!(runs[0].links, runs[1].links);
    let call = spans.iter().find(|span| span.parent == runs[0].id).unwrap();
    assert_eq!((call.name.as_str(), call.is("error.type")), ("text_completion hang", json!("aborted")));
}

#[tokio::test]
async fn a_job_that_waits_says_what_for() {
    let traces = TraceReceiver::start();
    let grant = json!({"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]});
    let demo = json!({
        "network_config": {"max_retries": 1},
        "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
    });
    let config = json!({"providers": {"demo": demo}, "governance": {
        "virtual_keys": [{"id": "k", "name": "K", "value": KEY, "rate_limit_id": "r", "provider_configs": [grant]}],
        "rate_limits": [{"id": "r", "request_max_limit": 1, "request_reset_duration": "1h"}],
    }});
    let cluster = traced(&traces).config(config).start().await;
    // The provider asks for a wait that is too long to be held by a worker.
    let delayed = submit(&cluster, &json!({"model": "demo/retry-after-600", "prompt": "x"})).await;
    for _ in 0..2 {
        let request =
            submission(&cluster, &json!({"model": "demo/echo", "prompt": "x"})).header("x-bf-vk", KEY);
        assert_eq!(cluster.api.send(request).await.status, 202);
    }
    let spans = eventually_ok("a delayed run and a parked one", PATIENCE, async || {
        let spans = traces.spans();
        let is = |outcome: &str| spans.iter().any(|span| span.is("hermod.outcome") == outcome);
        if is("delayed") && is("parked") { Ok(spans.clone()) } else { Err(tree(&spans)) }
    })
    .await;
    let run = |outcome: &str| spans.iter().find(|span| span.is("hermod.outcome") == outcome).unwrap();
    assert_eq!(run("delayed").is("messaging.message.id"), json!(delayed));
    let (event, told) = &run("delayed").events[0];
    assert_eq!((event.as_str(), &told["hermod.target"]), ("delayed", &json!("demo/retry-after-600")));
    assert!(told["hermod.wait_ms"].as_u64().unwrap() >= 600_000, "{told}");
    let (event, told) = &run("parked").events[0];
    assert_eq!((event.as_str(), &told["hermod.limit"]), ("parked", &json!("request_limited")));
    assert!(!run("parked").is_error && !run("delayed").is_error);
}

#[tokio::test]
async fn a_submit_that_is_refused_says_why() {
    let traces = TraceReceiver::start();
    let cluster = traced(&traces).start().await;
    let refused = cluster.api.send(submission(&cluster, &json!({"model": "demo/echo"}))).await;
    assert_eq!(refused.status, 400);
    let request = submission(&cluster, &json!({"model": "demo/echo", "prompt": "x"}));
    assert_eq!(cluster.api.send(request.header("x-hermod-delay", "soon")).await.status, 400);
    let key = "idempotency-key";
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = submission(&cluster, &json!({"model": "demo/echo", "prompt": "x"})).header(key, "once");
        ids.push(cluster.api.send(request).await.json()["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    let spans = receives(&traces, &[("send hermod", 4)]).await;
    let sent = named(&spans, "send hermod");
    for refused in &sent[..2] {
        assert!(refused.is_error && refused.trace == TRACE, "{refused:#?}");
        assert_eq!(refused.is("error.type"), "invalid_request");
    }
    assert_eq!((sent[2].is("hermod.replayed"), sent[3].is("hermod.replayed")), (Value::Null, json!(true)));
    assert_eq!(sent[3].is("messaging.message.id"), ids[0]);
}

#[tokio::test]
async fn what_has_ended_is_sent_before_a_process_stops() {
    let traces = TraceReceiver::start();
    let mut cluster = traced(&traces).set("OTEL_BSP_SCHEDULE_DELAY", 3_600_000).start().await;
    let job = submit(&cluster, &json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.ended(&job).await;
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(exit_of(&mut cluster.workers[0]).await.code(), Some(0));
    let names: Vec<String> = traces.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["process hermod", "text_completion echo", "settle hermod"]);
    cluster.api_processes[0].signal(Signal::TERM);
    assert_eq!(exit_of(&mut cluster.api_processes[0]).await.code(), Some(0));
    assert_eq!(traces.spans().len(), 4);
}

#[tokio::test]
async fn a_receiver_that_hangs_does_not_keep_a_process_from_stopping() {
    let traces = TraceReceiver::start();
    traces.is(Mood::Hangs);
    let mut cluster = traced(&traces).set("OTEL_EXPORTER_OTLP_TIMEOUT", 300_000).start().await;
    let job = submit(&cluster, &json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.ended(&job).await;
    eventually("both processes have sent something", PATIENCE, async || {
        (traces.refused() >= 2).then_some(())
    })
    .await;
    // One request may take five minutes here, which is longer than any test.
    cluster.workers[0].signal(Signal::TERM);
    assert_eq!(exit_of(&mut cluster.workers[0]).await.code(), Some(0));
    cluster.api_processes[0].signal(Signal::TERM);
    assert_eq!(exit_of(&mut cluster.api_processes[0]).await.code(), Some(0));
}
