//! `Prefer: wait=N`: who waits hears of the end at once, and costs Redis next to nothing.

use std::time::{Duration, Instant};

use hermod_tests::{
    Answer, Api, Cluster, Command, FormBody, Gate, Monitor, PATIENCE, Signal, eventually, exit_of,
};
use hermod_types::Operation;
use redis::Commands;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Sends a request that waits, in the background.
pub(crate) fn waiting(api: &Api, request: RequestBuilder, seconds: u64) -> JoinHandle<Answer> {
    let api = api.clone();
    let request = request.header("prefer", format!("wait={seconds}"));
    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    tokio::spawn(async move { api.send(request).await })
}

pub(crate) fn gated() -> Value {
    json!({"model": "gate/x", "prompt": "x"})
}

/// Channels that somebody listens to.
pub(crate) fn channels(redis: &mut redis::Connection) -> Vec<String> {
    redis::cmd("PUBSUB").arg("SHARDCHANNELS").arg("*:events").query(redis).unwrap()
}

/// Waits until an API process listens.
pub(crate) async fn listened_to(cluster: &Cluster) {
    let mut redis = cluster.connect();
    eventually("somebody listens", PATIENCE, async || (!channels(&mut redis).is_empty()).then_some(())).await;
}

/// Whether this is a poll's look at a record: scripts read other fields.
fn is_look(command: &Command, id: &str) -> bool {
    command.name() == "HMGET"
        && command.word(1) == format!("{{hermod:0}}:job:{id}")
        && command.0.iter().any(|word| word == b"apart")
}

/// Sends polls that wait, and goes on when each has seen the job.
pub(crate) async fn polls_that_wait(
    cluster: &Cluster,
    id: &str,
    polls: usize,
    seconds: u64,
) -> Vec<JoinHandle<Answer>> {
    let monitor = Monitor::start(cluster);
    let api = &cluster.api;
    let waits = (0..polls).map(|_| waiting(api, api.request_poll(id), seconds)).collect();
    eventually("all have looked", PATIENCE, async || {
        (monitor.count(|command| is_look(command, id)) >= polls).then_some(())
    })
    .await;
    drop(monitor.commands());
    waits
}

/// Waits until so many clients wait for this process.
pub(crate) async fn wait_together(api: &Api, clients: usize) {
    let line = format!("\nhermod_waiting_clients {clients}\n");
    eventually(&format!("{clients} clients wait"), PATIENCE, async || {
        api.get("/metrics").await.text.contains(&line).then_some(())
    })
    .await;
}

pub(crate) fn applied(answer: &Answer, seconds: u64) {
    assert_eq!(answer.header("preference-applied"), format!("wait={seconds}"), "{answer:?}");
    assert_eq!(answer.header("vary"), "Prefer");
}

#[tokio::test]
async fn a_submit_and_a_poll_that_wait_get_the_ended_job() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).start().await;
    let submit = waiting(&cluster.api, cluster.api.submission(gated().to_string()), 60);
    eventually("it runs", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    let id = cluster.api.submit(gated()).await;
    let polls: Vec<_> = (0..5).map(|_| waiting(&cluster.api, cluster.api.request_poll(&id), 50)).collect();
    listened_to(&cluster).await;
    let plain = cluster.api.poll(&id).await;
    assert_eq!((plain.status, plain.header("vary"), plain.header("preference-applied")), (202, "", ""));
    assert!(!submit.is_finished() && polls.iter().all(|poll| !poll.is_finished()));
    gate.open();
    let submitted = submit.await.unwrap();
    assert_eq!((submitted.status, submitted.json()["status"].as_str()), (200, Some("completed")));
    assert_eq!(
        submitted.header("location"),
        format!("/v1/async/completions/{}", submitted.json()["id"].as_str().unwrap())
    );
    applied(&submitted, 60);
    for poll in polls {
        let polled = poll.await.unwrap();
        assert_eq!(polled.status, 200);
        applied(&polled, 50);
        assert_eq!(polled.text, cluster.api.poll(&id).await.text);
    }
    let head = cluster.api.request(reqwest::Method::HEAD, &format!("/v1/async/completions/{id}"));
    let head = cluster.api.send(head.header("prefer", "wait=10")).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_wait_that_is_over_is_answered_as_without_it() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).start().await;
    let begun = Instant::now();
    let submitted = waiting(&cluster.api, cluster.api.submission(gated().to_string()), 2).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!((submitted.status, submitted.json()["status"].as_str()), (202, Some("pending")));
    applied(&submitted, 2);
    let id = submitted.json()["id"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    let polled = waiting(&cluster.api, cluster.api.request_poll(&id), 1).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!((polled.status, polled.json()["status"].as_str()), (202, Some("processing")));
    assert!(!polled.header("retry-after").is_empty());
    applied(&polled, 1);
    let at_once = waiting(&cluster.api, cluster.api.request_poll(&id), 0).await.unwrap();
    assert_eq!(at_once.status, 202);
    applied(&at_once, 0);
    // A preference that is none, and one that is longer than what is allowed.
    let strange = cluster.api.request_poll(&id).header("prefer", "wait=soon, return=minimal");
    let strange = cluster.api.send(strange).await;
    assert_eq!((strange.status, strange.header("preference-applied")), (202, ""));
    let long = cluster.api.request_poll(&id).header("prefer", "respond-async").header("prefer", "wait=600");
    let api = cluster.api.clone();
    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    let long = tokio::spawn(async move { api.send(long).await });
    gate.open();
    let long = long.await.unwrap();
    assert_eq!(long.status, 200);
    applied(&long, 60);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn every_endpoint_can_be_waited_for() {
    let cluster = Cluster::start().await;
    let bodies = [
        (Operation::TextCompletion, json!({"model": "demo/slow-500ms", "prompt": "x"})),
        (
            Operation::ChatCompletion,
            json!({"model": "demo/slow-500ms", "messages": [{"role": "user", "content": "x"}]}),
        ),
        (Operation::Responses, json!({"model": "demo/slow-500ms", "input": "x"})),
        (Operation::Embedding, json!({"model": "demo/slow-500ms", "input": "x"})),
        (Operation::Speech, json!({"model": "demo/slow-500ms", "input": "x", "voice": "alloy"})),
        (Operation::ImageGeneration, json!({"model": "demo/slow-500ms", "prompt": "x"})),
        (Operation::Rerank, json!({"model": "demo/slow-500ms", "query": "x", "documents": ["x"]})),
        (
            Operation::Ocr,
            json!({"model": "demo/slow-500ms", "document": {"type": "document_url", "document_url": "https://x.example/a.pdf"}}),
        ),
    ];
    for (operation, body) in bodies {
        let answer = waiting(&cluster.api, cluster.api.submission_to(operation).body(body.to_string()), 60);
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("completed")), "{answer:?}");
        let again = cluster.api.request(reqwest::Method::GET, answer.header("location"));
        assert_eq!(waiting(&cluster.api, again, 60).await.unwrap().text, answer.text);
    }
    for (operation, file) in [
        (Operation::Transcription, "file"),
        (Operation::ImageEdit, "image[]"),
        (Operation::ImageVariation, "image"),
    ] {
        let mut form = FormBody::default().field("model", "demo/slow-500ms");
        if operation == Operation::ImageEdit {
            form = form.field("prompt", "x");
        }
        let form = form.file(file, "a.png", "image/png", b"x");
        let answer = waiting(&cluster.api, cluster.api.form_to(operation, form), 60).await.unwrap();
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("completed")), "{answer:?}");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_that_fails_and_a_large_result_are_told_as_a_poll_tells_them() {
    let cluster = Cluster::start().await;
    let failing = json!({"model": "demo/fail-400", "prompt": "x"}).to_string();
    let failed = waiting(&cluster.api, cluster.api.submission(failing), 60).await.unwrap();
    assert_eq!((failed.status, failed.json()["status"].as_str()), (200, Some("failed")));
    let large = json!({"model": "demo/bytes-3000000", "prompt": "x"}).to_string();
    let large = waiting(&cluster.api, cluster.api.submission(large), 60).await.unwrap();
    assert_eq!((large.status, large.json()["status"].as_str()), (200, Some("completed")));
    for answer in [failed, large] {
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert!(cluster.api.poll(&id).await.text == answer.text);
    }
    // What is refused is refused at once.
    let begun = Instant::now();
    waiting(&cluster.api, cluster.api.submission("{}"), 60).await.unwrap().error(400);
    let unknown = cluster.api.request_poll("01890a5d-ac96-774b-8cce-b302099a8000");
    waiting(&cluster.api, unknown, 60).await.unwrap().error(404);
    let none = cluster.api.request_poll("none");
    waiting(&cluster.api, none, 60).await.unwrap().error(404);
    assert!(begun.elapsed() < Duration::from_secs(30));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn who_waits_looks_twice_and_scripts_tell_only_whoever_listens() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).start().await;
    let mut redis = cluster.connect();
    gate.open();
    let monitor = Monitor::start(&cluster);
    let id = cluster.api.submit(gated()).await;
    cluster.ended(&id).await;
    assert!(channels(&mut redis).is_empty());
    let told = |monitor: Monitor| {
        monitor.commands().into_iter().filter(|command| command.name() == "SPUBLISH").count()
    };
    assert_eq!(told(monitor), 0, "nobody listens");

    gate.close();
    let id = cluster.api.submit(gated()).await;
    eventually("it runs", PATIENCE, async || (gate.arrived() == 2).then_some(())).await;
    // The first to wait begins to listen.
    let first = waiting(&cluster.api, cluster.api.request_poll(&id), 60);
    listened_to(&cluster).await;
    let monitor = Monitor::start(&cluster);
    let polls = polls_that_wait(&cluster, &id, 20, 60).await;
    gate.open();
    for poll in polls {
        assert_eq!(poll.await.unwrap().status, 200);
    }
    assert_eq!(first.await.unwrap().status, 200);
    let commands = monitor.commands();
    let looks = commands.iter().filter(|command| is_look(command, &id)).count();
    assert!((41..=62).contains(&looks), "{looks} looks of 20 who began to wait, and one who did before");
    let told = commands.iter().filter(|command| command.name() == "SPUBLISH").count();
    assert_eq!(told, 1, "the end");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_client_that_leaves_changes_nothing_for_its_job() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).start().await;
    let submit = waiting(&cluster.api, cluster.api.submission(gated().to_string()), 60);
    eventually("it runs", PATIENCE, async || (gate.arrived() == 1).then_some(())).await;
    submit.abort();
    assert!(submit.await.unwrap_err().is_cancelled());
    gate.open();
    let mut redis = cluster.connect();
    let ids = eventually("it has ended", PATIENCE, async || {
        let ids: Vec<String> = redis.keys("{hermod:0}:job:*").unwrap();
        let ended = ids.first().is_some_and(|id| redis.hexists::<_, _, bool>(id, "code").unwrap());
        ended.then_some(ids)
    })
    .await;
    assert_eq!((ids.len(), gate.arrived()), (1, 1));
    let job = cluster.ended(ids[0].rsplit(':').next().unwrap()).await;
    assert_eq!(job["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn on_shutdown_waits_are_answered() {
    let gate = Gate::start();
    let mut cluster = Cluster::builder().config(gate.config()).set("HERMOD_GRACE_SECONDS", 30).start().await;
    let id = cluster.api.submit(gated()).await;
    let mut waits: Vec<_> =
        (0..10).map(|_| waiting(&cluster.api, cluster.api.request_poll(&id), 60)).collect();
    waits.push(waiting(&cluster.api, cluster.api.submission(gated().to_string()), 60));
    eventually("all run", PATIENCE, async || (gate.arrived() == 2).then_some(())).await;
    wait_together(&cluster.api, waits.len()).await;
    let begun = Instant::now();
    cluster.api_processes[0].signal(Signal::TERM);
    for wait in waits {
        let answer = wait.await.unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let status = exit_of(&mut cluster.api_processes[0]).await;
    assert!(
        status.success() && begun.elapsed() < Duration::from_secs(25),
        "{status} after {:?}",
        begun.elapsed()
    );
    gate.open();
    drop(cluster.api_processes.remove(0));
    let api = cluster.add_api().await;
    assert_eq!(api.ended(&id, PATIENCE).await["status"], "completed");
}

#[tokio::test]
async fn a_client_that_waits_longer_than_one_may_stall_is_served() {
    let gate = Gate::start();
    let cluster = Cluster::builder().config(gate.config()).start().await;
    let begun = Instant::now();
    let answer = waiting(&cluster.api, cluster.api.submission(gated().to_string()), 34).await.unwrap();
    assert_eq!(answer.status, 202);
    assert!(begun.elapsed() >= Duration::from_secs(34));
    gate.open();
    cluster.ended(answer.json()["id"].as_str().unwrap()).await;
    cluster.assert_drained().await;
}
