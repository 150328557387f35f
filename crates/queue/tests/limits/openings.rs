use futures_util::future::join_all;
use hermod_queue::{
    Claimer, Delayed, Ended, Held, JobOptions, JobRequest, Park, Queue, QueueSettings, Settled, Source,
    Submission, WorkerName, WorkerQueue,
};
use hermod_types::{Operation, Timestamp, Ttl};
use tokio_util::task::TaskTracker;

use super::*;

async fn submit(queue: &Queue, owner: &str) {
    let request = JobRequest {
        operation: Operation::TextCompletion,
        targets: vec!["demo/echo".parse().unwrap()],
        body: r#"{"prompt":"x"}"#.to_owned(),
        media_bytes: 0,
        ttl: Ttl::from_seconds(60).unwrap(),
        owner: Some(owner.to_owned()),
        trace: None,
    };
    let submission = queue.submit(request, JobOptions::default()).await.unwrap();
    assert!(matches!(submission, Submission::Accepted(_)), "{submission:?}");
}

async fn claim(claimer: &mut Claimer) -> Vec<Held> {
    let claimed = claimer.claim(Source::Queue, 64, &[]).await.unwrap();
    claimed.jobs.into_iter().map(|job| job.held).collect()
}

#[tokio::test]
async fn whoever_waits_is_told_of_room_whichever_end_of_a_batch_has_made_it() {
    let server = Server::start();
    let (store, tasks) = (server.store(), TaskTracker::new());
    let queue = Queue::spawn(&store, &QueueSettings::default(), &tasks);
    let worker = WorkerQueue::new(&store, WorkerName::new("worker", 1), Duration::from_secs(60), &tasks);
    let mut claimer = worker.claimer(Shard::default()).unwrap();
    let limits = Limits::of_worker(&worker, &store, &tasks);
    let one = limit("key:k", Measure::Running, 1);
    for _ in 0..20 {
        submit(&queue, "other").await;
    }
    let mut running = claim(&mut claimer).await;
    submit(&queue, "k").await;
    let runs = claim(&mut claimer).await.pop().unwrap();
    assert_eq!(ask(&limits, runs.id, 1, &[(&one, 1)]).await, Admission::Admitted);
    submit(&queue, "k").await;
    let waits = claim(&mut claimer).await.pop().unwrap();
    assert_eq!(exceeded(&ask(&limits, waits.id, 1, &[(&one, 1)]).await), [0]);
    let until = Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000);
    let park = Park::new(until, "rate_limited");
    assert_eq!(worker.park(&waits, park).await.unwrap(), Delayed::Delayed);

    // The first goes alone, and the others in batches, in which it is neither first nor last.
    running.insert(10, runs.clone());
    let ends = running.into_iter().map(|held| {
        let owed = (held.id == runs.id).then(|| owed(1, &[&one], 1, 1));
        let (worker, limits) = (&worker, &limits);
        async move {
            let (outcome, ttl) = ("{}".to_owned(), Ttl::from_seconds(60).unwrap());
            let ended =
                Ended { held, code: 200, outcome, media: None, ttl, given_up: None, cancelled: false, owed };
            let finished = worker.finish(Arc::new(ended)).await.unwrap();
            assert_eq!(finished.settled, Settled::Done);
            limits.open(finished.openings);
        }
    });
    join_all(ends).await;
    // There is no leader here who would open its lane.
    let opened = async {
        loop {
            if let Some(held) = claim(&mut claimer).await.pop() {
                return held.id;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), opened).await.unwrap(), waits.id);
}
