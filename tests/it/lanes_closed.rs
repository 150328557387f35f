//! Lanes that wait for a limit: they hold up nobody, and what waits in them is started in time, or ends.

use std::time::Duration;

use hermod_queue::{Delayed, Held, Park, Share, Started};
use hermod_tests::{PATIENCE, eventually};
use hermod_types::{JobId, Shard, Timestamp};
use redis::Commands;

use crate::lanes::Lab;
use crate::operator::{count, queue as operate};

const LANE: &str = "{hermod:0}:lane:a";

fn far() -> Timestamp {
    Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000)
}

async fn park(lab: &Lab, held: &Held, lane: Option<&str>, until: Timestamp) -> Delayed {
    let lane = lane.map(str::to_owned);
    let park = Park { lane, ..Park::new(until, "rate_limited") };
    lab.worker.park(held, park).await.unwrap()
}

/// A job of owner `a` that runs, and one behind it.
async fn two_of_a(lab: &mut Lab) -> (Started, JobId) {
    lab.begin().await;
    lab.submit("a", Share::default()).await;
    // The stream takes no second one while one runs.
    let next = lab.submit("a", Share { priority: 4, ..Share::default() }).await;
    (lab.claim(1).await.pop().unwrap(), next)
}

#[tokio::test]
async fn a_job_that_is_not_admitted_waits_at_its_place_and_holds_up_nobody() {
    let mut lab = Lab::start().await;
    let (started, next) = two_of_a(&mut lab).await;
    let (id, until) = (started.held.id, far());
    assert_eq!(park(&lab, &started.held, None, until).await, Delayed::Delayed);
    assert_eq!(park(&lab, &started.held, None, until).await, Delayed::Delayed, "it may be said again");
    let record = lab.queue.find(id).await.unwrap().unwrap();
    let waits_for = record.waiting_for.unwrap();
    assert_eq!((waits_for.kind.as_str(), waits_for.until), ("rate_limited", until));
    let behind = lab.queue.find(next).await.unwrap().unwrap().waiting_for;
    assert_eq!(behind.map(|reason| reason.until), Some(until), "those behind it wait for the same");
    let text = operate(&lab.cluster, &["stats"]).await.1;
    assert_eq!(count(&text, "waiting"), 2, "{text}");
    assert!(text.contains("0 open, 1 wait for a limit"), "{text}");
    assert_eq!(operate(&lab.cluster, &["check"]).await.0, Some(0));

    let late = lab.submit("a", Share { priority: 1, ..Share::default() }).await;
    lab.submit("b", Share::default()).await;
    assert_eq!(lab.owners(1, 8).await, ["b"]);
    assert!(lab.claim(8).await.is_empty(), "what is closed is given to nobody");

    lab.worker.open(Shard::default(), "a").await.unwrap();
    let mut order = Vec::new();
    while order.len() < 3 {
        order.extend(lab.claim(8).await);
    }
    assert_eq!(order.iter().map(|job| job.held.id).collect::<Vec<_>>(), [late, id, next]);
    assert_eq!(
        (order[1].held.fence, order[1].attempt),
        (2, 1),
        "a start that came to nothing does not count"
    );
    assert!(lab.queue.find(id).await.unwrap().unwrap().waiting_for.is_none());
    assert_eq!(park(&lab, &started.held, None, until).await, Delayed::Lost, "it is another start's");
    assert!(lab.lane_keys().is_empty(), "{:?}", lab.lane_keys());
}

#[tokio::test]
async fn a_narrow_limit_holds_up_its_own_jobs_only() {
    let mut lab = Lab::start().await;
    let (started, next) = two_of_a(&mut lab).await;
    assert_eq!(park(&lab, &started.held, Some("provider:x"), far()).await, Delayed::Delayed);
    assert_eq!(lab.claim(8).await.pop().unwrap().held.id, next);
    let limited = Share { max_waiting: Some(2), ..Share::default() };
    lab.submit("a", limited).await;
    let refused = lab.try_submit("a", limited).await;
    assert_eq!(refused, hermod_queue::Submission::QueueLimited, "what waits for it counts, too");
    assert_eq!(lab.claim(8).await.len(), 1);
    lab.worker.open(Shard::default(), "a\nprovider:x").await.unwrap();
    assert_eq!(lab.claim(8).await.pop().unwrap().held.id, started.held.id);
    assert!(lab.lane_keys().is_empty(), "{:?}", lab.lane_keys());
}

#[tokio::test]
async fn a_job_that_waits_for_a_limit_can_be_cancelled() {
    let mut lab = Lab::start().await;
    let (started, next) = two_of_a(&mut lab).await;
    park(&lab, &started.held, Some("model:y"), far()).await;
    for id in [started.held.id, next] {
        let became = lab.queue.cancel(id, hermod_types::Operation::TextCompletion).await.unwrap();
        assert_eq!(became, hermod_queue::Cancelled::Cancelled);
        let record = lab.queue.find(id).await.unwrap().unwrap();
        assert!(record.is_cancelled() && record.waiting_for.is_none());
    }
    assert!(lab.lane_keys().is_empty(), "{:?}", lab.lane_keys());
}

#[tokio::test]
async fn one_that_is_to_be_cancelled_is_not_parked() {
    let mut lab = Lab::start().await;
    let (started, _) = two_of_a(&mut lab).await;
    lab.queue.cancel(started.held.id, hermod_types::Operation::TextCompletion).await.unwrap();
    assert_eq!(park(&lab, &started.held, None, far()).await, Delayed::Cancelled);
}

#[tokio::test]
async fn a_lane_opens_at_its_time() {
    let mut lab = Lab::start().await;
    let (started, next) = two_of_a(&mut lab).await;
    let soon = Timestamp::from_millis(Timestamp::now().as_millis() + 1500);
    park(&lab, &started.held, None, soon).await;
    assert!(lab.claim(8).await.is_empty());
    lab.cluster.add_worker().await;
    for id in [started.held.id, next] {
        eventually("it has ended", PATIENCE, async || {
            lab.queue.find(id).await.unwrap().unwrap().status_code().map(drop)
        })
        .await;
    }
    assert!(Timestamp::now() >= soon);
    assert!(lab.lane_keys().is_empty(), "{:?}", lab.lane_keys());
}

#[tokio::test]
async fn a_backlog_goes_on_once_the_only_job_of_its_closed_lane_is_cancelled() {
    let mut lab = Lab::start().await;
    lab.submit_many("a", Share::default(), 300).await;
    let refused = lab.claim(1).await.pop().unwrap().held;
    assert_eq!(park(&lab, &refused, None, far()).await, Delayed::Delayed);
    lab.queue.cancel(refused.id, hermod_types::Operation::TextCompletion).await.unwrap();
    // A claim that reads once more what it has started itself may give nothing, and says that there is more.
    let mut started = 0;
    for _ in 0..20 {
        started += lab.claim(64).await.len();
    }
    assert_eq!(started, 299);
    assert!(lab.lane_keys().is_empty(), "{:?}", lab.lane_keys());
}

#[tokio::test]
async fn all_lanes_can_be_opened_at_once() {
    let mut lab = Lab::start().await;
    lab.begin().await;
    for number in 0..300 {
        lab.submit(&format!("owner-{number}"), Share::default()).await;
    }
    let mut held = Vec::new();
    while held.len() < 300 {
        held.extend(lab.claim(64).await.into_iter().map(|job| job.held));
    }
    for held in &held {
        assert_eq!(park(&lab, held, None, far()).await, Delayed::Delayed);
    }
    assert!(lab.claim(64).await.is_empty());
    lab.worker.open_all(Shard::default()).await.unwrap();
    let mut started = 0;
    while started < 300 {
        started += lab.claim(64).await.len();
    }
    assert!(lab.lane_keys().is_empty(), "{:?}", lab.lane_keys());
}

#[tokio::test]
async fn a_job_leaves_a_closed_lane_at_its_latest_start() {
    let mut lab = Lab::start().await;
    let (started, _) = two_of_a(&mut lab).await;
    park(&lab, &started.held, None, far()).await;
    assert!(lab.claim(8).await.is_empty());
    let urgent = lab.submit("a", Share { max_wait: Some(Duration::from_secs(1)), ..Share::default() }).await;
    lab.cluster.add_worker().await;
    eventually("a worker has taken it", PATIENCE, async || {
        let record = lab.queue.find(urgent).await.unwrap().unwrap();
        record.status_code().map(drop)
    })
    .await;
    let left: u64 = lab.cluster.connect().zcard(LANE).unwrap();
    assert_eq!(left, 2, "the others wait");
}

/// Commands of a job of `b` from its submit to its claim: the least of a few, as others may do something meanwhile.
async fn commands_of_one(lab: &mut Lab) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..5 {
        let mut redis = lab.cluster.connect();
        redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut redis).unwrap();
        lab.submit("b", Share::default()).await;
        assert_eq!(lab.owners(1, 1).await, ["b"]);
        let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut redis).unwrap();
        let calls = stats
            .lines()
            .filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok());
        least = least.min(calls.sum());
    }
    least
}

#[tokio::test]
async fn however_many_jobs_wait_for_their_limits_those_of_others_cost_the_same() {
    let mut lab = Lab::start().await;
    let started = lab.begin().await;
    let free = commands_of_one(&mut lab).await;
    assert_eq!(park(&lab, &started.held, None, far()).await, Delayed::Delayed);
    for waiting in [0, 400] {
        lab.submit_many("first", Share::default(), waiting).await;
        let cost = commands_of_one(&mut lab).await;
        // Whether all lanes are closed, and whether one is its own.
        assert_eq!(cost, free + 2, "a job goes straight into the stream past {waiting} that wait");
    }
}
