//! Fairness: what an owner has queued holds up nobody else. Starts are counted, not timed.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hermod_queue::governance::Waiting;
use hermod_queue::{
    Admin, Claimer, Delayed, JobOptions, JobRequest, JobsIn, KnownShards, Park, Queue, QueueSettings, Share,
    Source, Started, Store, Submission, WorkerName, WorkerQueue,
};
use hermod_tests::Cluster;
use hermod_types::{JobId, Operation, Shard, ShardCount, Timestamp, Ttl};
use redis::Commands;
use reqwest::Method;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::operator::{count, queue as operate};

/// A queue with a worker that takes jobs and does nothing with them.
pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) worker: WorkerQueue,
    claimer: Claimer,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::of(Cluster::builder().workers(0).start().await)
    }

    pub(crate) fn of(cluster: Cluster) -> Self {
        let store = Store::new(&cluster.redis_url().parse().unwrap()).unwrap();
        let tasks = TaskTracker::new();
        let queue = Queue::spawn(&store, &QueueSettings::default(), &tasks);
        let worker = WorkerQueue::new(&store, WorkerName::new("lab", 1), Duration::from_secs(60), &tasks);
        let claimer = worker.claimer(Shard::default()).unwrap();
        Self { cluster, store, queue, worker, claimer }
    }

    /// Submits a job of an owner, '' for none; the prompt names the owner.
    pub(crate) async fn try_submit(&self, owner: &str, share: Share) -> Submission {
        let request = JobRequest {
            operation: Operation::TextCompletion,
            targets: vec!["demo/echo".parse().unwrap()],
            body: json!({"prompt": owner}).to_string(),
            media_bytes: 0,
            ttl: Ttl::from_seconds(3600).unwrap(),
            owner: (!owner.is_empty()).then(|| owner.to_owned()),
            trace: None,
        };
        self.queue.submit(request, JobOptions { share, ..JobOptions::default() }).await.unwrap()
    }

    pub(crate) async fn submit(&self, owner: &str, share: Share) -> JobId {
        let submission = self.try_submit(owner, share).await;
        let Submission::Accepted(id) = submission else { unreachable!("{submission:?}") };
        id
    }

    pub(crate) async fn submit_many(&self, owner: &str, share: Share, jobs: usize) {
        let mut running = FuturesUnordered::new();
        for _ in 0..jobs {
            if running.len() == 256 {
                running.next().await;
            }
            running.push(self.submit(owner, share));
        }
        while running.next().await.is_some() {}
    }

    /// Takes up to so many jobs in one call.
    pub(crate) async fn claim(&mut self, slots: usize) -> Vec<Started> {
        self.claimer.claim(Source::Queue, slots, &[]).await.unwrap().jobs
    }

    /// The owners of the next so many jobs, as slots become free one claim after another.
    pub(crate) async fn owners(&mut self, jobs: usize, slots: usize) -> Vec<String> {
        let mut owners = Vec::new();
        while owners.len() < jobs {
            let started = self.claim(slots.min(jobs - owners.len())).await;
            assert!(!started.is_empty(), "{owners:?}");
            owners.extend(started.into_iter().map(|job| job.request.unwrap().owner.unwrap_or_default()));
        }
        owners
    }

    /// Takes the first job of an empty queue, which goes past the lanes.
    pub(crate) async fn begin(&mut self) -> Started {
        self.submit("first", Share::default()).await;
        self.claim(1).await.pop().unwrap()
    }

    /// The keys of lanes that there are.
    pub(crate) fn lane_keys(&self) -> Vec<String> {
        let mut redis = self.cluster.connect();
        let names = [
            "lanes",
            "streamed",
            "closed",
            "laned",
            "weights",
            "deadlines",
            "reasons",
            "lane:*",
            "sublanes:*",
        ];
        let keys = |name| redis.keys::<_, Vec<String>>(format!("{{hermod:0}}:{name}")).unwrap();
        names.into_iter().flat_map(keys).collect()
    }
}

pub(crate) fn of_priority(priority: u8) -> Share {
    Share { priority, ..Share::default() }
}

#[tokio::test]
async fn a_priority_orders_the_jobs_of_its_owner() {
    let mut lab = Lab::start().await;
    let first = lab.submit("a", of_priority(5)).await;
    let mut ids = Vec::new();
    for priority in [5, 3, 1, 3, 2, 4] {
        ids.push(lab.submit("a", of_priority(priority)).await);
    }
    let started = lab.claim(64).await;
    let order: Vec<JobId> = started.iter().map(|job| job.held.id).collect();
    // The first one found nobody waiting.
    assert_eq!(order, [first, ids[2], ids[4], ids[1], ids[3], ids[5], ids[0]]);
    assert_eq!(started.iter().map(|job| job.priority).collect::<Vec<_>>(), [5, 1, 2, 3, 3, 4, 5]);
    assert_eq!(lab.lane_keys(), [""; 0]);
}

#[tokio::test]
async fn the_priority_comes_in_a_header() {
    let cluster = Cluster::builder().workers(0).start().await;
    let submit = async |priority: &str| {
        let request = cluster.api.submission(r#"{"model":"demo/echo","prompt":"x"}"#);
        cluster.api.send(request.header("x-hermod-priority", priority)).await
    };
    for priority in ["0", "6", "high", "1.5", ""] {
        assert!(submit(priority).await.error(400).contains("x-hermod-priority"), "{priority:?}");
    }
    assert_eq!(submit("5").await.status, 202);
    let mut ids = Vec::new();
    for priority in ["5", "1"] {
        ids.push(submit(priority).await.json()["id"].as_str().unwrap().to_owned());
    }
    let waiting: Vec<String> = cluster.connect().zrange("{hermod:0}:lane:", 0, -1).unwrap();
    ids.reverse();
    assert_eq!(waiting, ids);
}

#[tokio::test]
async fn weights_share_the_starts() {
    let mut lab = Lab::start().await;
    lab.begin().await;
    lab.submit_many("heavy", Share { weight: 3.0, ..Share::default() }, 130).await;
    lab.submit_many("light", Share::default(), 60).await;
    // It went into the stream, where one that runs leaves a place.
    assert_eq!(lab.owners(1, 1).await, ["heavy"]);
    for slots in [1, 7, 8, 40] {
        let owners = lab.owners(40, slots).await;
        let heavy = owners.iter().filter(|owner| *owner == "heavy").count();
        assert_eq!(heavy, 30, "{slots} slots: {owners:?}");
    }
}

#[tokio::test]
async fn a_long_backlog_delays_another_owners_single_job_by_slots_and_active_owners() {
    const SLOTS: usize = 16;
    let mut lab = Lab::start().await;
    lab.begin().await;
    lab.submit_many("long", Share::default(), 20_000).await;
    let owners: Vec<String> = (0..4).map(|number| format!("other-{number}")).collect();
    for owner in &owners {
        lab.submit_many(owner, Share::default(), 100).await;
    }
    // They run, and each that ends is followed by the next.
    lab.owners(200, SLOTS).await;
    lab.submit("single", Share::default()).await;
    let started = lab.owners(100, SLOTS).await;
    let before = started.iter().position(|owner| owner == "single").unwrap();
    assert!(before <= SLOTS + owners.len() + 1, "{before} starts before it: {started:?}");
    for owner in owners.iter().map(String::as_str).chain(["long"]) {
        let starts = started.iter().filter(|other| *other == owner).count();
        assert!((19..=20).contains(&starts), "each has its share: {owner} {starts}");
    }
}

#[tokio::test]
async fn workers_start_another_owners_job_amid_a_backlog() {
    const SLOTS: usize = 4;
    let config = json!({"governance": {"virtual_keys": [
        {"id": "vk-1", "name": "one", "value": "sk-bf-one",
         "provider_configs": [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]},
    ]}});
    let mut cluster =
        Cluster::builder().config(config).set("HERMOD_CONCURRENCY", SLOTS).workers(0).start().await;
    let ids = crate::shards::submit(&cluster, "demo/echo", 200).await;
    let single = cluster.api.submission(r#"{"model":"demo/empty","prompt":"x"}"#);
    let answer = cluster.api.send(single.header("x-bf-vk", "sk-bf-one")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    cluster.add_worker().await;
    crate::shards::all_complete(&cluster, &ids).await;
    let before = cluster.calls().iter().position(|call| call.model == "empty").unwrap();
    assert!(before <= SLOTS + 2, "{before} calls before it");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_waits_in_a_lane_is_counted_cancelled_and_listed() {
    let mut lab = Lab::start().await;
    let api = lab.cluster.api.clone();
    let mut ids = Vec::new();
    for prompt in ["a", "b", "c"] {
        // One with a priority may not stay in the stream.
        let body = json!({"model": "demo/echo", "prompt": prompt}).to_string();
        let answer = api.send(api.submission(body).header("x-hermod-priority", "2")).await;
        ids.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    let text = operate(&lab.cluster, &["stats"]).await.1;
    assert_eq!(count(&text, "waiting"), 3, "{text}");
    assert!(text.contains("1 open, 0 wait for a limit"), "{text}");
    assert_eq!(operate(&lab.cluster, &["check"]).await.0, Some(0));
    let path = format!("/v1/async/completions/{}", ids[1]);
    let cancelled = api.send(api.request(Method::DELETE, &path)).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    assert_eq!(lab.cluster.queued(), 2);
    assert_eq!(operate(&lab.cluster, &["check"]).await.0, Some(0));
    let left: Vec<String> = lab.claim(8).await.iter().map(|job| job.held.id.to_string()).collect();
    assert_eq!(left, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(lab.lane_keys(), [""; 0]);

    // The last one of a lane.
    lab.submit("a", Share::default()).await;
    let last = lab.submit("b", Share { weight: 2.0, ..Share::default() }).await;
    lab.queue.cancel(last, Operation::TextCompletion).await.unwrap();
    assert_eq!(lab.claim(8).await.len(), 1);
    assert_eq!(lab.lane_keys(), [""; 0]);
}

#[tokio::test]
async fn a_backlog_of_one_owner_stays_in_the_stream_and_takes_turns_with_those_who_come() {
    let mut lab = Lab::start().await;
    lab.submit_many("a", Share::default(), 300).await;
    assert_eq!(lab.lane_keys(), ["{hermod:0}:lanes", "{hermod:0}:streamed"]);
    assert_eq!(lab.claim(10).await.len(), 10);
    let waiting = Waiting::new(&lab.store, ShardCount::ONE, &KnownShards::default());
    assert_eq!((waiting.of("a").await.unwrap(), waiting.of("b").await.unwrap()), (290, 0));
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(lab.submit("b", Share::default()).await);
    }
    let urgent = lab.submit("a", of_priority(1)).await;
    let late = lab.submit("a", Share::default()).await;
    let started = lab.claim(8).await;
    let of = |owner: &str| {
        let its = started.iter().filter(|job| job.request.as_ref().unwrap().owner.as_deref() == Some(owner));
        its.map(|job| job.held.id).collect::<Vec<_>>()
    };
    assert_eq!(of("b"), expected, "each has its share");
    assert_eq!(of("a").len(), 5);
    assert!(of("a").contains(&urgent) && !of("a").contains(&late), "its own jobs start in their order");
    let admin = Admin::new(&lab.store);
    let listed = async |state| {
        let jobs = admin.jobs_in(state, 400).await.unwrap();
        jobs.into_iter().map(|job| job.view.id).collect::<Vec<_>>()
    };
    let (waiting, running) = (listed(JobsIn::Waiting).await, listed(JobsIn::Running).await);
    assert_eq!(running.len(), 10 + 8);
    assert!(
        expected.iter().all(|id| running.contains(id)) && waiting.contains(&late),
        "{running:?} {waiting:?}"
    );
    assert!(!waiting.iter().any(|id| running.contains(id)), "{running:?} {waiting:?}");
    // What b's entries were given for stands behind the backlog, and is read once more: nothing starts twice.
    let mut seen: Vec<JobId> = started.iter().map(|job| job.held.id).collect();
    while seen.len() < 8 + 290 - 4 + 1 {
        let more = lab.claim(64).await;
        seen.extend(more.iter().map(|job| job.held.id));
        assert!(more.iter().all(|job| job.held.fence == 1));
    }
    assert_eq!(seen.last(), Some(&late));
    assert_eq!(lab.claim(64).await.len(), 0);
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), seen.len());
    assert_eq!(lab.lane_keys(), [""; 0], "the stream is nobody's lane any more");
}

#[tokio::test]
async fn a_backlog_in_the_stream_moves_to_its_owners_lane_once_that_is_closed() {
    let mut lab = Lab::start().await;
    lab.begin().await;
    // There is room in the stream for it.
    lab.submit("c", Share::default()).await;
    let mut of_a = Vec::new();
    for _ in 0..300 {
        of_a.push(lab.submit("a", Share::default()).await);
    }
    assert_eq!(lab.lane_keys(), ["{hermod:0}:lanes", "{hermod:0}:streamed"]);
    lab.submit("b", Share::default()).await;
    let started = lab.claim(8).await;
    let owner = |job: &Started| job.request.as_ref().unwrap().owner.clone().unwrap();
    let owners: Vec<_> = started.iter().map(owner).collect();
    assert!(owners.contains(&"b".to_owned()), "its entry stands behind the backlog: {owners:?}");
    let late = lab.submit("d", Share::default()).await;
    let refused = started.iter().find(|job| owner(job) == "a").unwrap().held.clone();
    let until = Timestamp::from_millis(Timestamp::now().as_millis() + 200_000);
    let park = Park::new(until, "rate_limited");
    assert_eq!(lab.worker.park(&refused, park).await.unwrap(), Delayed::Delayed);

    let mut others = Vec::new();
    for _ in 0..6 {
        others.extend(lab.claim(64).await);
    }
    let started_all = started.iter().chain(&others);
    assert!(others.iter().all(|job| owner(job) != "a"), "its lane is closed");
    assert!(others.iter().any(|job| job.held.id == late));
    assert_eq!(started_all.clone().filter(|job| ["b", "c", "d"].contains(&&*owner(job))).count(), 3);
    let mut redis = lab.cluster.connect();
    // With the very first, and without the one that was given back.
    let running = started_all.count();
    assert_eq!(
        redis.xlen::<_, usize>("{hermod:0}:queue").unwrap(),
        running,
        "those who run keep their entries"
    );
    let of_others = started.iter().filter(|job| owner(job) == "a" && job.held.id != refused.id).count();
    assert_eq!(redis.zcard::<_, usize>("{hermod:0}:lane:a").unwrap(), 300 - of_others);
    assert!(Admin::new(&lab.store).check(false).await.unwrap().agree());

    // Its own order stays.
    assert!(lab.worker.open(Shard::default(), "a").await.unwrap());
    let mut ids = Vec::new();
    while ids.len() < 300 - of_others {
        ids.extend(lab.claim(64).await.iter().map(|job| job.held.id));
    }
    let started: Vec<_> = started.iter().map(|job| job.held.id).collect();
    let expected: Vec<_> = of_a.into_iter().filter(|id| *id == refused.id || !started.contains(id)).collect();
    assert_eq!(ids, expected);
    assert_eq!(lab.lane_keys(), [""; 0]);
}

#[tokio::test]
async fn an_owner_has_no_more_waiting_jobs_than_it_may() {
    let mut lab = Lab::start().await;
    let share = Share { max_waiting: Some(3), ..Share::default() };
    for _ in 0..3 {
        lab.submit("a", share).await;
    }
    assert_eq!(lab.try_submit("a", share).await, Submission::QueueLimited);
    lab.submit("b", share).await;
    assert_eq!(lab.claim(2).await.len(), 2);
    lab.submit("a", share).await;
    lab.submit("b", share).await;
    assert_eq!(lab.claim(8).await.len(), 4);
    assert_eq!(lab.lane_keys(), [""; 0]);
    let none = Share { max_waiting: Some(0), ..share };
    assert_eq!(lab.try_submit("a", none).await, Submission::QueueLimited);
}
