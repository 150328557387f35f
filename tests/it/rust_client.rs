//! The crate `hermod-client`, as a program uses it.

use std::time::Duration;

use hermod_client::{
    Cancelled, Client, Error, Form, Job, JobFilter, JobRef, JobStatus, Method, Operation, Submission,
};
use hermod_tests::{Cluster, PATIENCE, eventually};
use serde_json::{Value, json};

use crate::admin_login::{PASSWORD, USERNAME, with_login};

fn client(cluster: &Cluster) -> Client {
    Client::new(&cluster.api.url).unwrap()
}

fn chat(model: &str) -> Submission {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
    Submission::json(Operation::ChatCompletion, &body).unwrap()
}

fn said(job: &Job) -> String {
    job.result::<Value>().unwrap()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// The status of a refusal; 0 for any other error.
fn refused(error: &Error) -> u16 {
    if let Error::Refused(refused) = error { refused.status.as_u16() } else { 0 }
}

#[tokio::test]
async fn a_call_is_submitted_waited_for_and_read() {
    let cluster = Cluster::start().await;
    let client = client(&cluster);
    let body = json!({"model": "demo/fail-503", "fallbacks": ["demo/slow-300ms"], "prompt": "Hello"});
    let submission = Submission::json(Operation::TextCompletion, &body).unwrap();
    let job = client.submit(submission.ttl(Duration::from_secs(60))).await.unwrap();
    assert!(!job.status().is_ended());
    assert!(matches!(job.clone().completed(), Err(Error::NotEnded(at)) if at == job.at()));

    // From the text that its program has kept.
    let at: JobRef = job.at().to_string().parse().unwrap();
    let job = client.wait(client.get(at).await.unwrap()).await.unwrap().completed().unwrap();
    assert_eq!(job.result::<Value>().unwrap()["choices"][0]["text"], "Hello");
    let attempts = job.attempts().unwrap().unwrap();
    let targets: Vec<_> = attempts.into_iter().map(|attempt| attempt.target.as_str()).collect();
    assert_eq!((targets[0], *targets.last().unwrap()), ("demo/fail-503", "demo/slow-300ms"));

    let held = client.submit(chat("demo/slow-300ms").hold()).await.unwrap();
    assert_eq!((held.status(), said(&held)), (JobStatus::Completed, "Hello".to_owned()));
    client.delete(held.at()).await.unwrap();
    assert!(client.get(held.at()).await.unwrap_err().is_not_found());
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_fails_is_told_apart() {
    let cluster = Cluster::start().await;
    let client = client(&cluster);
    let failed = client.submit(chat("demo/fail-422").hold()).await.unwrap().completed().unwrap_err();
    let Error::Failed { status_code, message, job } = failed else { panic!("{failed}") };
    assert_eq!((status_code, message.as_str()), (422, "the model fail-422 fails"));
    assert_eq!(job.attempts().unwrap().unwrap().into_iter().count(), 1);

    let error = client.submit(chat("nobody/x")).await.unwrap_err();
    assert!(refused(&error) == 400 && !error.is_transient(), "{error}");
    let error = client.submit(chat("demo/echo").priority(9)).await.unwrap_err();
    assert!(error.to_string().contains("priority"), "{error}");
    let nobody = Client::new("http://127.0.0.1:9").unwrap();
    let error = nobody.submit(chat("demo/echo")).await.unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }) && error.is_transient(), "{error}");
    assert_eq!(Client::new("localhost").unwrap_err().to_string().split(':').next(), Some("url"));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_is_cancelled_once() {
    let cluster = Cluster::start().await;
    let client = client(&cluster);
    let delayed = client.submit(chat("demo/echo").delay(Duration::from_secs(600))).await.unwrap();
    assert_eq!(client.cancel(delayed.at()).await.unwrap(), Cancelled::Ended);
    let runs = client.submit(chat("demo/hang")).await.unwrap();
    cluster.called("hang", 1).await;
    assert_eq!(client.cancel(runs.at()).await.unwrap(), Cancelled::Requested);
    for job in [delayed, runs] {
        let error = client.wait(job).await.unwrap().completed().unwrap_err();
        assert!(matches!(error, Error::Failed { status_code: 499, .. }), "{error}");
    }
    let ended = client.submit(chat("demo/echo").hold()).await.unwrap();
    assert_eq!(refused(&client.cancel(ended.at()).await.unwrap_err()), 409);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_wait_outlives_the_api() {
    let mut cluster = Cluster::start().await;
    let client = client(&cluster);
    let job = client.submit(chat("demo/slow-3s")).await.unwrap();
    cluster.called("slow-3s", 1).await;
    let address = cluster.api.url.strip_prefix("http://").unwrap().to_owned();
    let restart = async {
        cluster.kill_api(0);
        cluster.set("HERMOD_LISTEN", &address);
        cluster.add_api().await;
    };
    let (ended, ()) = tokio::join!(client.wait(job), restart);
    assert_eq!(said(&ended.unwrap()), "Hello");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_same_key_makes_one_job() {
    let cluster = Cluster::start().await;
    let client = client(&cluster);
    let first = client.submit(chat("demo/echo").idempotency_key("order-17")).await.unwrap();
    let second = client.submit(chat("demo/echo").idempotency_key("order-17").hold()).await.unwrap();
    assert_eq!(first.at(), second.at());
    let other = client.submit(chat("demo/empty").idempotency_key("order-17")).await.unwrap_err();
    assert_eq!(refused(&other), 422);
    assert_eq!(cluster.calls().len(), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn files_are_sent_and_media_read() {
    let cluster = Cluster::start().await;
    let client = client(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk.mp3");
    std::fs::write(&path, vec![7; 300_000]).unwrap();
    let form = Form::default().field("model", "demo/echo").file("file", &path).unwrap();
    let submission = Submission::form(Operation::Transcription, form).unwrap().hold();
    let job = client.submit(submission).await.unwrap().completed().unwrap();
    assert_eq!(job.result::<Value>().unwrap()["text"], "a recording of 300000 bytes named talk.mp3");

    let body = json!({"model": "demo/bytes-3000000", "voice": "alloy", "input": "Hello"});
    let speech = Submission::json(Operation::Speech, &body).unwrap().hold();
    let job = client.submit(speech).await.unwrap();
    let mut content = client.content(job.at(), None).await.unwrap();
    assert_eq!(content.length(), Some(3_000_000));
    assert!(content.media_type().is_some_and(|media_type| media_type.starts_with("audio/")));
    let first = content.chunk().await.unwrap().unwrap();
    assert_eq!(first.len() + content.bytes().await.unwrap().len(), 3_000_000);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn jobs_are_listed_and_administered() {
    let config = with_login(json!({}));
    let cluster = Cluster::builder().config(config).start().await;
    let admin = Client::builder(&cluster.api.url).administrator(USERNAME, PASSWORD).unwrap().build().unwrap();
    let body = json!({"name": "research", "allow_all_providers": true}).to_string();
    let made =
        admin.request(Method::POST, "/api/governance/virtual-keys", &[]).body(body).send().await.unwrap();
    let made: Value = serde_json::from_str(made.get()).unwrap();
    let value = made["virtual_key"]["value"].as_str().unwrap();

    let research = Client::builder(&cluster.api.url).virtual_key(value).unwrap().build().unwrap();
    let submit = async || research.submit(chat("demo/echo").hold()).await.ok();
    let mine = eventually("the key is known", PATIENCE, submit).await;
    let anybody = client(&cluster);
    let others = anybody.submit(chat("demo/empty").hold()).await.unwrap();
    assert!(anybody.get(mine.at()).await.unwrap_err().is_not_found());

    let at = |jobs: Vec<Job>| jobs.iter().map(Job::at).collect::<Vec<_>>();
    assert_eq!(at(research.list(&JobFilter::default(), 100).await.unwrap()), [mine.at()]);
    assert_eq!(at(admin.list(&JobFilter::default(), 1).await.unwrap()), [others.at()]);
    let empty = JobFilter { model: Some("demo/empty".to_owned()), ..JobFilter::default() };
    assert_eq!(at(admin.list(&empty, 100).await.unwrap()), [others.at()]);
    assert_eq!(refused(&anybody.list(&JobFilter::default(), 1).await.unwrap_err()), 401);
    assert!(!format!("{research:?}{admin:?}").contains(value), "no secret is shown");
    cluster.assert_drained().await;
}
