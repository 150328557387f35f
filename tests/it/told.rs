//! What the tests of deliveries share.

use hermod_queue::Store;
use hermod_queue::webhooks::Webhooks;
use hermod_tests::{Builder, Cluster, PATIENCE, Receiver, eventually_ok};
use hermod_types::webhook::{EndpointId, Outcome, Row};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

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

/// Submits a job of whose end this endpoint is told, with a key until it is accepted: Redis may just have been started. Returns
/// its id.
pub(crate) async fn submit(cluster: &Cluster, endpoint: &str, model: &str) -> String {
    let key = format!("{:x}", fastrand::u64(..));
    let answer = eventually_ok("it is accepted", PATIENCE, async || {
        let request = submission(cluster, endpoint, model).header("idempotency-key", &key);
        let answer = cluster.api.send(request).await;
        if answer.status == 202 { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .await;
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The same, still to be sent.
pub(crate) fn submission(cluster: &Cluster, endpoint: &str, model: &str) -> RequestBuilder {
    let body = json!({"model": model, "prompt": "x"}).to_string();
    cluster.api.submission(body).header("x-bf-async-webhook", endpoint)
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
