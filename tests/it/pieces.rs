//! What is large goes to Redis and comes back in pieces, and no writer that dies leaves any.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hermod_queue::{
    Ended, Held, JobOptions, JobRequest, OutcomeRef, PIECE_BYTES, Queue, QueueSettings, Settled, Source,
    Store, Submission, Upload, WorkerName, WorkerQueue,
};
use hermod_tests::{Cluster, Command, Monitor, PATIENCE, Servers, eventually, lasts};
use hermod_types::{JobId, Operation, Shard, Ttl};
use redis::{Commands, Connection};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::operator::queue as operate;

const MIB: usize = 1 << 20;

fn media_key(id: JobId) -> String {
    format!("{{hermod:0}}:media:{id}")
}

fn staged(redis: &mut Connection) -> Vec<String> {
    redis.keys("{hermod:0}:staged:*").unwrap()
}

fn ttl(redis: &mut Connection, key: &str) -> i64 {
    redis.ttl(key).unwrap()
}

/// Bytes that differ from place to place.
fn pattern(bytes: usize) -> Vec<u8> {
    (0_u64..).flat_map(u64::to_le_bytes).take(bytes).collect()
}

fn request(operation: Operation, body: &str) -> JobRequest {
    JobRequest {
        operation,
        targets: vec!["demo/echo".parse().unwrap()],
        body: body.to_owned(),
        media_bytes: 0,
        ttl: Ttl::from_seconds(3600).unwrap(),
        owner: None,
        trace: None,
    }
}

struct Client {
    store: Store,
    queue: Queue,
}

impl Client {
    fn of(cluster: &Cluster) -> Self {
        Self::with(cluster, &QueueSettings::default())
    }

    fn with(cluster: &Cluster, settings: &QueueSettings) -> Self {
        let store = Store::new(&cluster.redis_url().parse().unwrap()).unwrap();
        let queue = Queue::spawn(&store, settings, &TaskTracker::new());
        Self { store, queue }
    }

    async fn upload(&self, bytes: &[u8]) -> Upload {
        let mut upload = self.queue.upload(None, None).await.unwrap().unwrap();
        for part in bytes.chunks(100_000) {
            upload.push(Bytes::copy_from_slice(part)).await.unwrap();
        }
        upload
    }

    async fn submit(&self, bytes: &[u8], request: JobRequest) -> JobId {
        let upload = self.upload(bytes).await;
        let submitted = self.queue.submit_upload(upload, request, JobOptions::default()).await.unwrap();
        let Submission::Accepted(id) = submitted else { unreachable!("{submitted:?}") };
        id
    }

    /// A worker in this process that holds the job that waits.
    async fn worker(&self) -> (WorkerQueue, Held, JobRequest) {
        let name = WorkerName::new("test", std::process::id());
        let worker =
            WorkerQueue::<JobRequest>::new(&self.store, name, Duration::from_secs(60), &TaskTracker::new());
        let mut claimer = worker.claimer(Shard::default()).unwrap();
        let started = claimer.claim(Source::Queue, 1, &[]).await.unwrap().jobs.pop().unwrap();
        (worker, started.held, started.request.unwrap())
    }
}

#[tokio::test]
async fn no_command_carries_more_than_a_piece() {
    let cluster = Cluster::start().await;
    let monitor = Monitor::start(&cluster);
    let prompt = "x".repeat(10 * MIB - 1000);
    let id = cluster.api.submit(json!({"model": "demo/echo", "prompt": prompt, "n": 2})).await;
    let job = cluster.api.ended(&id, 2 * PATIENCE).await;
    assert_eq!(job["result"]["choices"][1]["text"].as_str(), Some(prompt.as_str()));
    let commands = monitor.commands();
    assert!(Command::largest(&commands) < PIECE_BYTES + 1024, "{} bytes", Command::largest(&commands));
    let pieces =
        commands.iter().filter(|command| command.name() == "HSET" && command.0[3].len() == PIECE_BYTES);
    assert_eq!(pieces.count(), 39 + 79, "all but the last of a body of 10 MiB, and of an outcome of 20");
    let reads_of = |what: &str| {
        let is_read = |command: &&Command| command.name() == "HGET" && command.word(1).contains(what);
        commands.iter().filter(is_read).count()
    };
    assert_eq!((reads_of(":body:"), reads_of(":outcome:")), (40, 80), "each piece is read once");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn pieces_are_where_their_shard_is() {
    let cluster = Cluster::builder().servers(Servers::Cluster).set("HERMOD_SHARDS", 8).start().await;
    let prompt = "x".repeat(MIB);
    for _ in 0..8 {
        let job = cluster.run(json!({"model": "demo/echo", "prompt": prompt})).await;
        assert_eq!(job["result"]["choices"][0]["text"].as_str(), Some(prompt.as_str()));
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_large_outcome_is_kept_by_a_full_redis() {
    let cluster = Cluster::start().await;
    let prompt = "x".repeat(MIB);
    let id = cluster.api.submit(json!({"model": "demo/slow-2s", "prompt": prompt})).await;
    cluster.called("slow-2s", 1).await;
    let mut redis = cluster.connect();
    let monitor = Monitor::start(&cluster);
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).exec(&mut redis).unwrap();
    let job = cluster.ended(&id).await;
    assert_eq!(job["result"]["choices"][0]["text"].as_str(), Some(prompt.as_str()));
    let commands = monitor.commands();
    assert!(Command::largest(&commands) < PIECE_BYTES + 1024, "{} bytes", Command::largest(&commands));
    assert_eq!(cluster.calls().len(), 1);
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(0).exec(&mut redis).unwrap();
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_with_media_goes_from_end_to_end() {
    let cluster = Cluster::builder().workers(0).start().await;
    let (client, mut redis) = (Client::of(&cluster), cluster.connect());
    // Not a multiple of anything, a whole number of pieces, and less than one.
    for bytes in [3 * PIECE_BYTES + 77, 2 * PIECE_BYTES, 5] {
        let media = pattern(bytes);
        let body = json!({"prompt": "y".repeat(20_000)}).to_string();
        let id = client.submit(&media, request(Operation::Transcription, &body)).await;
        assert_eq!((ttl(&mut redis, &media_key(id)), staged(&mut redis)), (-1, Vec::new()));
        let record = client.queue.find(id).await.unwrap().unwrap();
        assert_eq!((record.operation, record.outcome().is_none()), (Operation::Transcription, true));

        let (worker, held, request) = client.worker().await;
        let size = u64::try_from(bytes).unwrap();
        assert_eq!((request.operation, request.media_bytes), (Operation::Transcription, size));
        assert_eq!((held.id, held.media_bytes()), (id, size));
        assert_eq!(worker.body(&held).await.unwrap(), Some(body.into_bytes()));
        let reader = worker.media(&held).unwrap();
        assert_eq!(reader.bytes(), size);
        let mut read = Vec::new();
        loop {
            // Now more than a piece, now less.
            let most = if read.len() % 3 == 0 { usize::MAX } else { 1000 };
            let part = reader.read(u64::try_from(read.len()).unwrap(), most).await.unwrap();
            assert!(part.len() <= most);
            if part.is_empty() {
                break;
            }
            read.extend_from_slice(&part);
        }
        assert_eq!(read, media);

        let outcome = format!("{{\"text\":\"{}\"}}", "z".repeat(600_000));
        let ended = Ended {
            held: held.clone(),
            code: 200,
            outcome: outcome.clone(),
            media: Some("[[9,600000]]".to_owned()),
            ttl: Ttl::from_seconds(60).unwrap(),
            given_up: None,
            cancelled: false,
            owed: None,
        };
        assert_eq!(worker.finish(Arc::new(ended)).await.unwrap().settled, Settled::Done);
        assert!(!redis.exists::<_, bool>(media_key(id)).unwrap(), "it is gone with the job's end");
        assert!(reader.read(0, 1).await.is_err(), "what is gone is not empty");
        let record = client.queue.find(id).await.unwrap().unwrap();
        assert_eq!(record.media.as_deref(), Some("[[9,600000]]"));
        let Some(OutcomeRef::Stored(stored)) = record.outcome() else { unreachable!("it is large") };
        assert_eq!(stored.bytes, u64::try_from(outcome.len()).unwrap());
        let reader = hermod_queue::OutcomeReader::new(&client.store);
        for (start, length) in [(0, 1), (200_000, 100_000), (262_144, 262_144), (1, 600_010), (600_010, 1)] {
            let part = reader.read(stored, start, length).await.unwrap().unwrap();
            let (start, length) = (usize::try_from(start).unwrap(), usize::try_from(length).unwrap());
            assert_eq!(part, &outcome.as_bytes()[start..start + length]);
        }
        assert!(reader.read(stored, 0, stored.bytes + 1).await.unwrap().is_none(), "there is no more");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn what_was_kept_is_not_touched_by_a_repetition() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let (client, mut redis) = (Client::of(&cluster), cluster.connect());
    let monitor = Monitor::start(&cluster);
    let body = json!({"prompt": "y".repeat(20_000)}).to_string();
    let id = client.submit(&pattern(300_000), request(Operation::TextCompletion, &body)).await;
    let commands = monitor.commands();
    Command::repeat(&commands, &["HSET", "EXPIRE"], &mut redis);
    let left = staged(&mut redis);
    assert_eq!(left.len(), 2, "a body and media: {left:?}");
    assert!(left.iter().all(|key| (1..=600).contains(&ttl(&mut redis, key))), "they go by themselves");
    assert_eq!(ttl(&mut redis, &media_key(id)), -1, "the job's own stay as long as it waits");
    assert_eq!(ttl(&mut redis, &format!("{{hermod:0}}:body:{id}")), -1);

    let monitor = Monitor::start(&cluster);
    Command::repeat(&commands, &["EVALSHA"], &mut redis);
    assert!(monitor.commands().len() > 1, "the script is sent again");
    assert_eq!(staged(&mut redis), Vec::<String>::new(), "what a repetition wrote is gone at once");
    assert_eq!(redis.xlen::<_, u64>("{hermod:0}:queue").unwrap(), 1, "the job is there once");

    // The same of its end: it must not be given an expiry of ten minutes, nor lose it.
    let monitor = Monitor::start(&cluster);
    cluster.add_worker().await;
    let job = cluster.ended(&id.to_string()).await;
    assert_eq!(job["status"], "completed", "{job}");
    let commands = monitor.commands();
    Command::repeat(&commands, &["HSET", "EXPIRE"], &mut redis);
    let outcome = redis.keys::<_, Vec<String>>("{hermod:0}:outcome:*").unwrap().pop().unwrap();
    assert!(ttl(&mut redis, &outcome) > 3000);
    assert!(staged(&mut redis).iter().all(|key| (1..=600).contains(&ttl(&mut redis, key))));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_upload_that_comes_to_nothing_leaves_nothing() {
    let cluster = Cluster::builder().workers(0).start().await;
    let (client, mut redis) = (Client::of(&cluster), cluster.connect());
    let media = pattern(3 * PIECE_BYTES);
    client.upload(&media).await.discard().await.unwrap();
    assert_eq!(staged(&mut redis), Vec::<String>::new());

    drop(client.upload(&media).await);
    eventually("it is removed when its client goes", PATIENCE, async || {
        staged(&mut redis).is_empty().then_some(())
    })
    .await;

    // As if the process had died.
    std::mem::forget(client.upload(&media).await);
    let left = staged(&mut redis);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!((1..=600).contains(&ttl(&mut redis, &left[0])), "it expires");
    let _: u64 = redis.del(&left).unwrap();

    // A piece that Redis has lost is noticed before the job is taken.
    let upload = client.upload(&media).await;
    let left = staged(&mut redis);
    let _: u64 = redis.hdel(&left[0], 1).unwrap();
    let refused = client
        .queue
        .submit_upload(upload, request(Operation::ImageEdit, "{}"), JobOptions::default())
        .await
        .unwrap();
    assert_eq!((refused, staged(&mut redis)), (Submission::TooLate, Vec::new()));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_submit_that_fails_leaves_no_pieces() {
    let cluster = Cluster::builder().workers(0).start().await;
    let (client, mut redis) = (Client::of(&cluster), cluster.connect());
    // With nothing left to write but the record, which a full Redis does not take.
    let upload = client.upload(&pattern(2 * PIECE_BYTES)).await;
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).exec(&mut redis).unwrap();
    let request = request(Operation::TextCompletion, "{}");
    assert!(client.queue.submit_upload(upload, request.clone(), JobOptions::default()).await.is_err());
    eventually("media are removed", PATIENCE, async || staged(&mut redis).is_empty().then_some(())).await;

    // A client that goes while its submit waits for Redis.
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(0).exec(&mut redis).unwrap();
    let upload = client.upload(&pattern(2 * PIECE_BYTES)).await;
    let large = JobRequest { body: json!({"prompt": "y".repeat(MIB)}).to_string(), ..request };
    let mut submit = Box::pin(client.queue.submit_upload(upload, large, JobOptions::default()));
    eventually("its body is on its way", PATIENCE, async || {
        assert!(futures_util::poll!(&mut submit).is_pending());
        (staged(&mut redis).len() == 2).then_some(())
    })
    .await;
    drop(submit);
    eventually("both are removed", PATIENCE, async || staged(&mut redis).is_empty().then_some(())).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn uploads_go_on_together() {
    let cluster = Cluster::builder().workers(0).start().await;
    let client = Client::of(&cluster);
    let monitor = Monitor::start(&cluster);
    let media = pattern(20 * PIECE_BYTES);
    let uploads = (0..6).map(|_| client.submit(&media, request(Operation::Transcription, "{}")));
    let ids = futures_util::future::join_all(uploads).await;
    let writes: Vec<String> = monitor
        .commands()
        .iter()
        .filter(|command| command.name() == "HSET" && command.0[3].len() == PIECE_BYTES)
        .map(|command| command.word(1))
        .collect();
    assert_eq!(writes.len(), 120);
    for id in ids {
        let of_it = writes.iter().take(60).filter(|key| key.contains(&id.to_string())).count();
        assert!((8..=12).contains(&of_it), "half of it is there when half of all is: {of_it}");
    }
}

#[tokio::test]
async fn a_dead_letter_keeps_its_media() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_WAIT_SECONDS", 2).start().await;
    let (client, mut redis) = (Client::of(&cluster), cluster.connect());
    let media = pattern(2 * PIECE_BYTES);
    let body = r#"{"prompt":"x"}"#;
    let id = client.submit(&media, request(Operation::TextCompletion, body)).await;
    lasts(Duration::from_secs(3)).await;
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&id.to_string()).await["error"]["error"]["code"], "job_deadline_exceeded");
    drop(cluster.take_worker(0));
    assert!(ttl(&mut redis, &media_key(id)) > 3600, "as long as its letter");
    let bytes: usize = redis.hget("{hermod:0}:dead_bytes", id.to_string()).unwrap();
    assert!((media.len()..media.len() + 1000).contains(&bytes), "media count: {bytes}");

    assert_eq!(operate(&cluster, &["dead", "requeue", &id.to_string()]).await.0, Some(0));
    assert_eq!(ttl(&mut redis, &media_key(id)), -1);
    let (worker, held, _) = client.worker().await;
    assert_eq!(worker.media(&held).unwrap().read(0, 100).await.unwrap(), media[..100]);
    worker.release(&[held.into()]).await.unwrap();
    cluster.add_worker().await;
    eventually("it has run", PATIENCE, async || {
        (cluster.api.poll(&id.to_string()).await.json()["status"] == "completed").then_some(())
    })
    .await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_dead_letter_beyond_the_bound_costs_the_others_nothing() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_WAIT_SECONDS", 2).start().await;
    let (client, mut redis) = (Client::of(&cluster), cluster.connect());
    let request = request(Operation::TextCompletion, r#"{"prompt":"x"}"#);
    let small = client.submit(b"small", request.clone()).await;
    let large = client.submit(b"large", request).await;
    // 300 MiB of media, as its record has it.
    let record = format!("{{hermod:0}}:job:{large}");
    let stored: String = redis.hget(&record, "request").unwrap();
    let _: u64 =
        redis.hset(&record, "request", stored.replace("\"media\":5", "\"media\":314572800")).unwrap();
    lasts(Duration::from_secs(3)).await;
    cluster.add_worker().await;
    for id in [small, large] {
        assert_eq!(cluster.ended(&id.to_string()).await["error"]["error"]["code"], "job_deadline_exceeded");
    }
    let kept: Vec<String> = redis.zrange("{hermod:0}:dead", 0, -1).unwrap();
    assert_eq!(kept, [small.to_string()]);
    let media: Vec<String> = redis.keys("{hermod:0}:media:*").unwrap();
    assert_eq!(media, [media_key(small)]);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_full_queue_takes_no_upload() {
    let cluster = Cluster::builder().workers(0).start().await;
    let settings = QueueSettings::default();
    settings.limit_bytes.set(1_000_000);
    let client = Client::with(&cluster, &settings);
    let request = request(Operation::Transcription, "{}");
    client.submit(&pattern(700_000), request.clone()).await;
    let upload = client.upload(&pattern(700_000)).await;
    let refused = client.queue.submit_upload(upload, request, JobOptions::default()).await.unwrap();
    assert_eq!(refused, Submission::Full, "media count");
    assert_eq!(staged(&mut cluster.connect()), Vec::<String>::new(), "what is refused takes no memory");
    assert!(client.queue.upload(Some(700_000), None).await.unwrap().is_none(), "it is told before it comes");
    assert!(
        client.queue.upload(Some(200_000), None).await.unwrap().is_some(),
        "there is room for a smaller one"
    );
}

#[tokio::test]
async fn media_without_a_record_are_found() {
    let cluster = Cluster::builder().workers(0).start().await;
    let (client, mut redis) = (Client::of(&cluster), cluster.connect());
    let kept = client.submit(b"x", request(Operation::Transcription, "{}")).await;
    let lost = media_key(JobId::new(Shard::default()));
    let _: u64 = redis.hset(&lost, 0, "x").unwrap();
    assert_eq!(operate(&cluster, &["check"]).await.0, Some(1));
    assert_eq!(ttl(&mut redis, &lost), -1, "a check alone changes nothing");
    assert_eq!(operate(&cluster, &["check", "--repair"]).await.0, Some(0));
    assert!((1..=600).contains(&ttl(&mut redis, &lost)));
    assert_eq!(ttl(&mut redis, &media_key(kept)), -1, "those of a job that waits are let be");
}
