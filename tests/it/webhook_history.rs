//! What became of deliveries, over HTTP, and those that are sent again.

use std::time::{Duration, Instant};

use hermod_queue::webhooks::{Attempt, AttemptEnd, Registration, Webhooks};
use hermod_queue::{Delivery, Store};
use hermod_tests::{Cluster, PATIENCE, Reaction, eventually};
use hermod_types::webhook::{EndpointId, Event, Hook, Outcome, Receiver, Style, delivery_id};
use hermod_types::{JobId, Operation, Shard, Timestamp};
use redis::Commands;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin_login::with_login;
use crate::webhook_admin::{Administrator, endpoint};
use crate::webhook_slots::a_millisecond;

const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
const REDELIVERED: &str = "{hermod:0}:hooks:queue";

/// A delivery whose attempts are recorded as a worker does it.
struct Recorded<'a> {
    webhooks: &'a Webhooks,
    delivery: Delivery,
    id: JobId,
    fence: u64,
}

impl<'a> Recorded<'a> {
    fn new(webhooks: &'a Webhooks, endpoint: &str, request_id: &str) -> Self {
        let receiver = Receiver::Endpoint { endpoint: endpoint.parse().unwrap() };
        let job = JobId::new(Shard::default());
        let id = delivery_id(job, &receiver);
        let hook = Hook {
            receiver,
            request_id: request_id.to_owned(),
            operation: Operation::ChatCompletion,
            model: "demo/echo".to_owned(),
            style: Style::default(),
            trace: None,
        };
        let now = Timestamp::now();
        let delivery = Delivery { job, code: 200, completed: now, expires: now, is_cancelled: false, hook };
        Self { webhooks, delivery, id, fence: 0 }
    }

    async fn attempt(&mut self, attempt_no: u32, outcome: Outcome, status_code: u16, error: &str) {
        self.fence += 1;
        let endpoint: EndpointId = self.delivery.hook.receiver.endpoint_id();
        let attempt = Attempt { endpoint, delivery: self.id, fence: self.fence };
        let end = AttemptEnd {
            attempt,
            registration: Registration::Registered,
            attempt_no,
            job: self.delivery.job,
            request_id: &self.delivery.hook.request_id,
            event: Event::Completed,
            outcome,
            status_code,
            error,
            took: Some(Duration::from_millis(5)),
            wants_no_more: false,
            request: &self.delivery.to_stored(),
            retention: RETENTION,
        };
        assert!(self.webhooks.end(&end).await.unwrap().is_new);
    }
}

async fn start() -> (Cluster, Administrator, Webhooks) {
    let config = json!({"client": {"webhook_config": {"delivery_history_retention_days": 7}}});
    let cluster = Cluster::builder().workers(0).config(with_login(config)).start().await;
    let administrator = Administrator(cluster.api.clone());
    let webhooks = Webhooks::new(&Store::new(&cluster.redis_url().parse().unwrap()).unwrap());
    (cluster, administrator, webhooks)
}

#[tokio::test]
async fn a_row_an_attempt_is_shown_by_endpoint_and_over_all() {
    let (_cluster, administrator, webhooks) = start().await;
    let (one, _) = administrator.create(&endpoint("one")).await;
    let (other, _) = administrator.create(&endpoint("other")).await;
    let mut first = Recorded::new(&webhooks, &one, "r1");
    first.attempt(1, Outcome::RetryableFailure, 503, "503: later").await;
    let mut second = Recorded::new(&webhooks, &other, "r2");
    second.attempt(1, Outcome::PermanentFailure, 0, "no route").await;
    a_millisecond().await;
    first.attempt(2, Outcome::Delivered, 204, "").await;

    let of_one = administrator.get(&format!("/{one}/deliveries")).await;
    assert_eq!(of_one["pagination"], json!({"limit": 25, "offset": 0, "total_count": 2}));
    let [newest, oldest] = of_one["deliveries"].as_array().unwrap().as_slice() else { panic!("{of_one}") };
    for (row, attempt, outcome, code) in
        [(oldest, 1, "retryable_failure", 503), (newest, 2, "delivered", 204)]
    {
        assert_eq!(row["webhook_id"], json!(first.id));
        assert_eq!(row["endpoint_id"], json!(one));
        assert_eq!(row["async_job_id"], json!(first.delivery.job));
        assert_eq!((&row["request_id"], &row["event"]), (&json!("r1"), &json!("async_job.completed")));
        assert_eq!((&row["attempt_no"], &row["outcome"]), (&json!(attempt), &json!(outcome)));
        assert_eq!(row["status_code"], json!(code));
        let time = |member: &str| Timestamp::from_rfc3339(row[member].as_str().unwrap()).unwrap().as_millis();
        assert_eq!(u128::from(time("expires_at") - time("created_at")), RETENTION.as_millis());
    }
    assert_eq!((&oldest["error"], newest.get("error")), (&json!("503: later"), None));
    let page = administrator.get(&format!("/{one}/deliveries?limit=1&offset=1")).await;
    assert_eq!((&page["deliveries"], &page["pagination"]["total_count"]), (&json!([oldest]), &json!(2)));
    let by_name = administrator.get("/one/deliveries").await;
    assert_eq!(by_name, of_one);

    // The newest delivery first, each with all of its attempts; a page counts deliveries.
    let rows = async |query: &str| {
        let found = administrator.get(&format!("/deliveries{query}")).await;
        let row = |row: &Value| (row["webhook_id"].clone(), row["attempt_no"].clone());
        let rows = found["deliveries"].as_array().unwrap().iter().map(row).collect::<Vec<_>>();
        (rows, found["pagination"]["total_count"].as_u64().unwrap())
    };
    let of_first = vec![(json!(first.id), json!(2)), (json!(first.id), json!(1))];
    let of_second = vec![(json!(second.id), json!(1))];
    assert_eq!(rows("").await, ([of_first.clone(), of_second.clone()].concat(), 2));
    assert_eq!(rows("?limit=1").await, (of_first.clone(), 2));
    assert_eq!(rows("?limit=1&offset=1").await, (of_second.clone(), 2));
    for (query, expected) in [
        (format!("endpoint_ids={other}"), &of_second),
        ("outcomes=permanent_failure".to_owned(), &of_second),
        ("outcomes=retryable_failure,exhausted".to_owned(), &of_first),
        ("status_class=none".to_owned(), &of_second),
        ("status_class=5xx".to_owned(), &of_first),
        ("request_id=r2&period=1h".to_owned(), &of_second),
        (format!("delivery_id={}", first.id), &of_first),
    ] {
        assert_eq!(rows(&format!("?{query}")).await, (expected.clone(), 1), "{query}");
    }
    for query in
        ["events=async_job.cancelled", "end_time=2001-01-01T00:00:00Z", "start_time=2999-01-01T00:00:00Z"]
    {
        assert_eq!(rows(&format!("?{query}")).await, (vec![], 0), "{query}");
    }

    // The history outlives its endpoint, and one that is unknown has none.
    administrator.send(Method::DELETE, &format!("/{one}"), "").await;
    assert_eq!(administrator.get(&format!("/{one}/deliveries")).await, of_one);
    assert_eq!(rows("").await.1, 2);
    for unknown in [EndpointId::random().to_string(), "nothing".to_owned()] {
        let none = administrator.get(&format!("/{unknown}/deliveries")).await;
        assert_eq!((&none["deliveries"], &none["pagination"]["total_count"]), (&json!([]), &json!(0)));
    }
}

#[tokio::test]
async fn a_delivery_is_sent_again_once_it_is_not_under_way() {
    let (cluster, administrator, webhooks) = start().await;
    let (id, _) = administrator.create(&endpoint("again")).await;
    let mut delivery = Recorded::new(&webhooks, &id, "r");
    delivery.attempt(1, Outcome::Exhausted, 500, "").await;
    let row = administrator.get(&format!("/{id}/deliveries")).await["deliveries"][0]["id"].clone();
    let path = format!("/deliveries/{}/redeliver", row.as_str().unwrap());
    let mut redis = cluster.connect();

    // It is answered when an attempt is recorded, which is here as a worker does it.
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(administrator.post(&path, ""), async {
        eventually("it is queued", PATIENCE, async || {
            (redis.xlen::<_, usize>(REDELIVERED).unwrap() == 1).then_some(())
        })
        .await;
        delivery.attempt(1, Outcome::Delivered, 204, "").await;
    });
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json(), json!({"status": "queued", "webhook_id": delivery.id}));
    assert!(begun.elapsed() < Duration::from_secs(30));
    let stored: String = redis.hget(format!("{{hermod:0}}:hooks:job:{}", delivery.id), "request").unwrap();
    assert_eq!(Delivery::parse(&stored), Some(delivery.delivery.clone()), "what its job's end had queued");
    let rows = administrator.get(&format!("/{id}/deliveries")).await;
    assert_eq!(rows["deliveries"][0]["outcome"], "delivered");

    // Nobody has ended it: it is under way.
    assert_eq!(administrator.post(&path, "").await.error(409), "This delivery is already in flight");
    let _: () = redis.del(format!("{{hermod:0}}:hooks:job:{}", delivery.id)).unwrap();
    let begun = Instant::now();
    assert_eq!(administrator.post(&path, "").await.status, 202, "also if no attempt is recorded in time");
    assert!(begun.elapsed() >= Duration::from_secs(2));

    for unknown in ["x".to_owned(), format!("{id}-1-1"), id.clone()] {
        let unknown = administrator.post(&format!("/deliveries/{unknown}/redeliver"), "").await;
        assert_eq!(unknown.error(404), "Webhook delivery not found");
    }
    let mut off = endpoint("again");
    off["disabled"] = json!(true);
    administrator.send(Method::PUT, &format!("/{id}"), &off).await;
    assert_eq!(administrator.post(&path, "").await.error(400), "webhook endpoint \"again\" is disabled");
    administrator.send(Method::DELETE, &format!("/{id}"), "").await;
    assert_eq!(administrator.post(&path, "").await.error(400), "webhook endpoint no longer exists");
}

#[tokio::test]
async fn what_has_failed_since_is_sent_again() {
    let (cluster, administrator, webhooks) = start().await;
    let (id, _) = administrator.create(&endpoint("back")).await;
    let mut early = Recorded::new(&webhooks, &id, "early");
    early.attempt(1, Outcome::PermanentFailure, 404, "").await;
    let since = a_millisecond().await;
    let mut lost = Vec::new();
    for number in 0..20 {
        let mut failed = Recorded::new(&webhooks, &id, &format!("failed {number}"));
        failed.attempt(1, Outcome::RetryableFailure, 500, "").await;
        failed.attempt(2, Outcome::Exhausted, 500, "").await;
        lost.push(failed.id.to_string());
    }
    let mut mended = Recorded::new(&webhooks, &id, "mended");
    mended.attempt(1, Outcome::Exhausted, 500, "").await;
    mended.attempt(1, Outcome::Delivered, 200, "").await;
    let mut retried = Recorded::new(&webhooks, &id, "is tried again");
    retried.attempt(1, Outcome::RetryableFailure, 500, "").await;

    let path = format!("/{id}/recover");
    let body = json!({"since": since.to_string()});
    let answer = administrator.post(&path, &body).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"status": "queued", "count": 20})));
    let mut redis = cluster.connect();
    let entries: redis::streams::StreamRangeReply = redis.xrange_all(REDELIVERED).unwrap();
    let mut queued: Vec<String> = entries.ids.iter().map(|entry| entry.get("id").unwrap()).collect();
    queued.sort_unstable();
    lost.sort_unstable();
    assert_eq!(queued, lost);
    assert_eq!(administrator.post(&path, &body).await.json()["count"], 0, "those are under way");
    let all = json!({"since": "2026-01-01T00:00:00+02:00"});
    assert_eq!(administrator.post(&path, &all).await.json()["count"], 1, "and the early one is not");
    administrator.post("/nobody/recover", &body).await.error(404);
}

#[tokio::test]
async fn what_an_administrator_sends_again_arrives_under_its_id() {
    let cluster = Cluster::builder().config(with_login(json!({}))).start().await;
    let administrator = Administrator(cluster.api.clone());
    let mut body = endpoint("shop");
    body["allow_private_network"] = json!(true);
    let (id, secret) = administrator.create(&body).await;
    let shop = hermod_tests::Receiver::with_secret(&secret);
    shop.reacts(Reaction::Answer(404));
    body["url"] = json!(shop.url);
    assert_eq!(administrator.send(Method::PUT, "/shop", &body).await.status, 200);
    let since = Timestamp::now();
    let rows = async |total: usize| {
        eventually(&format!("{total} rows"), PATIENCE, async || {
            let found = administrator.get("/shop/deliveries").await;
            let is_all = found["pagination"]["total_count"] == json!(total);
            is_all.then(|| found["deliveries"].as_array().unwrap().clone())
        })
        .await
    };
    let submit = async || {
        let submission = cluster.api.submission(r#"{"model":"demo/echo","prompt":"x"}"#);
        let accepted = cluster.api.send(submission.header("x-bf-async-webhook", "shop")).await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
        accepted.json()
    };
    let first = submit().await;
    let refused = rows(1).await.remove(0);
    assert_eq!((&refused["async_job_id"], &refused["request_id"]), (&first["id"], &first["request_id"]));
    assert_eq!((&refused["outcome"], &refused["status_code"]), (&json!("permanent_failure"), &json!(404)));

    let path = format!("/deliveries/{}/redeliver", refused["id"].as_str().unwrap());
    let again = administrator.post(&path, "").await;
    assert_eq!((again.status, &again.json()["webhook_id"]), (202, &refused["webhook_id"]), "{again:?}");
    let second = rows(2).await.remove(0);
    assert_eq!((&second["webhook_id"], &second["attempt_no"]), (&refused["webhook_id"], &json!(1)));

    // The shop is mended: all that it has missed comes once, and what is delivered stays so.
    submit().await;
    rows(3).await;
    shop.reacts(Reaction::Answer(204));
    let recover = json!({"since": since.to_string()});
    let count = async || administrator.post("/shop/recover", &recover).await.json()["count"].clone();
    assert_eq!(count().await, 2);
    let newest = rows(5).await;
    assert!(newest[..2].iter().all(|row| row["outcome"] == "delivered"), "{newest:#?}");
    assert_eq!(count().await, 0);
    let ids: Vec<_> = shop.received().into_iter().map(|received| received.id).collect();
    let times = |id: &Value| ids.iter().filter(|received| json!(received) == *id).count();
    assert_eq!((ids.len(), times(&refused["webhook_id"])), (5, 3));
    let shown = administrator.get(&format!("/{id}")).await;
    assert_eq!(shown["consecutive_failures"], 0);
    assert!(shown["last_success_at"].is_string() && shown["last_failure_at"].is_string());
    cluster.assert_drained().await;
}
