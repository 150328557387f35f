//! What the tests of deliveries share.

use hermod_queue::webhooks::Webhooks;
use hermod_queue::{JobOptions, JobRequest, Queue, QueueSettings, Store, Submission};
use hermod_tests::{Builder, Cluster, PATIENCE, Receiver, eventually_ok};
use hermod_types::webhook::{EndpointId, Hook, Outcome, Row, Style};
use hermod_types::{Operation, Ttl};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

/// How long rows are kept in these tests.
const RETENTION: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// A cluster that knows these endpoints.
pub(crate) fn telling(endpoints: &[Value]) -> Builder {
    Cluster::builder().config(json!({"webhooks": endpoints}))
}

/// The store of the cluster's Redis.
pub(crate) fn store(cluster: &Cluster) -> Store {
    Store::new(&cluster.redis_url().parse().unwrap()).unwrap()
}

/// Submits a job of whose end this endpoint of `config.json` is told. Returns its id.
pub(crate) async fn submit(cluster: &Cluster, endpoint: &str, model: &str) -> String {
    submit_with(cluster, endpoint, model, "x", 3600).await
}

/// The same with this prompt, and a time to live in seconds.
pub(crate) async fn submit_with(
    cluster: &Cluster,
    endpoint: &str,
    model: &str,
    prompt: &str,
    ttl: u64,
) -> String {
    let receiver = hermod_types::webhook::Receiver::Endpoint { endpoint: EndpointId::of_file(endpoint) };
    submit_to(cluster, receiver, model, prompt, ttl).await
}

pub(crate) async fn submit_to(
    cluster: &Cluster,
    receiver: hermod_types::webhook::Receiver,
    model: &str,
    prompt: &str,
    ttl: u64,
) -> String {
    let tasks = TaskTracker::new();
    let queue = Queue::spawn(&store(cluster), &QueueSettings::default(), &tasks);
    let request = JobRequest {
        operation: Operation::TextCompletion,
        targets: vec![model.parse().unwrap()],
        body: json!({"prompt": prompt}).to_string(),
        media_bytes: 0,
        ttl: Ttl::from_seconds(ttl).unwrap(),
        owner: None,
    };
    let hook = Hook {
        receiver,
        request_id: "request".to_owned(),
        operation: Operation::TextCompletion,
        model: model.to_owned(),
        style: Style::Bifrost,
    };
    let options = JobOptions { hook: Some(hook), ..JobOptions::default() };
    let submission = queue.submit(request, options).await.unwrap();
    let Submission::Accepted(id) = submission else { unreachable!("{submission:?}") };
    id.to_string()
}

/// The rows of an endpoint of `config.json`, the oldest first.
pub(crate) async fn rows(cluster: &Cluster, endpoint: &str) -> Vec<Row> {
    let webhooks = Webhooks::new(&store(cluster));
    let page = webhooks.history(EndpointId::of_file(endpoint), 0, 1000, RETENTION).await.unwrap();
    page.rows.into_iter().rev().collect()
}

/// Waits until an endpoint has so many rows; returns what became of each attempt.
pub(crate) async fn outcomes(cluster: &Cluster, endpoint: &str, attempts: usize) -> Vec<Outcome> {
    let rows = eventually_ok(&format!("{attempts} attempts"), PATIENCE, async || {
        let rows = rows(cluster, endpoint).await;
        if rows.len() >= attempts { Ok(rows) } else { Err(format!("{rows:#?}")) }
    })
    .await;
    assert_eq!(rows.len(), attempts, "{rows:#?}");
    rows.iter().map(|row| row.outcome).collect()
}

/// The ids of jobs that a receiver was told of, each once, in order.
pub(crate) fn told(receiver: &Receiver) -> Vec<String> {
    let job = |body: &Value| body["data"]["job_id"].as_str().unwrap().to_owned();
    let mut jobs: Vec<String> = receiver.received().iter().map(|received| job(&received.body)).collect();
    jobs.sort();
    jobs.dedup();
    jobs
}

/// Waits until a receiver was told of all these jobs.
pub(crate) async fn all_told(receiver: &Receiver, jobs: &[String]) {
    let mut wanted = jobs.to_vec();
    wanted.sort();
    eventually_ok("all are told", PATIENCE, async || {
        let told = told(receiver);
        if told == wanted { Ok(()) } else { Err(format!("{} of {}", told.len(), wanted.len())) }
    })
    .await;
}
