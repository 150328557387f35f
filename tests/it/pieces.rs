//! What is large goes to Redis and comes back in pieces, and no writer that dies leaves any.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hermod_queue::{
    Ended, Held, JobRequest, OutcomeRef, PIECE_BYTES, Queue, QueueSettings, Settled, Source, Store,
    Submission, Upload, WorkerName, WorkerQueue,
};
use hermod_tests::{Cluster, PATIENCE, eventually, lasts};
use hermod_types::{JobId, Operation, Shard, Ttl};
use redis::{Commands, Connection};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::operator::queue as operate;

const MIB: usize = 1 << 20;

/// The commands that Redis runs, from now on.
struct Monitor {
    thread: JoinHandle<Vec<Vec<Vec<u8>>>>,
    redis: Connection,
}

impl Monitor {
    const END: &str = "the monitor ends";

    fn start(cluster: &Cluster) -> Self {
        let url = cluster.redis_url();
        let mut stream = UnixStream::connect(url.strip_prefix("unix://").unwrap()).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        lines.read_line(&mut String::new()).unwrap();
        let thread = std::thread::spawn(move || {
            let mut commands = Vec::new();
            loop {
                let mut line = String::new();
                assert!(lines.read_line(&mut line).unwrap() > 0);
                if line.contains(Self::END) {
                    return commands;
                }
                commands.push(words(line.as_bytes()));
            }
        });
        Self { thread, redis: cluster.connect() }
    }

    /// The words of each command so far.
    fn commands(mut self) -> Vec<Vec<Vec<u8>>> {
        let _: String = redis::cmd("ECHO").arg(Self::END).query(&mut self.redis).unwrap();
        self.thread.join().unwrap()
    }
}

/// The words of a command as a monitor shows them: `1700000000.1 [0 unix:…] "HSET" "key" "\x00"`.
fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut bytes = line.iter().copied();
    let mut words = Vec::new();
    while bytes.any(|byte| byte == b'"') {
        let mut word = Vec::new();
        while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
            word.push(if byte == b'\\' { escaped(&mut bytes) } else { byte });
        }
        words.push(word);
    }
    words
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> u8 {
    match bytes.next().unwrap() {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'x' => {
            let digits = String::from_utf8(vec![bytes.next().unwrap(), bytes.next().unwrap()]).unwrap();
            u8::from_str_radix(&digits, 16).unwrap()
        }
        other => other,
    }
}

fn name(command: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&command[0]).to_uppercase()
}

/// Bytes of the largest command.
fn largest(commands: &[Vec<Vec<u8>>]) -> usize {
    commands.iter().map(|command| command.iter().map(Vec::len).sum()).max().unwrap()
}

/// Repeats the commands with one of these names, in their order; those of scripts included.
fn repeat(redis: &mut Connection, commands: &[Vec<Vec<u8>>], names: &[&str]) {
    for command in commands.iter().filter(|command| names.contains(&name(command).as_str())) {
        let mut repeated = redis::cmd(&name(command));
        command[1..].iter().for_each(|word| drop(repeated.arg(word.as_slice())));
        let _: redis::Value = repeated.query(redis).unwrap();
    }
}

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
    }
}

struct Client {
    store: Store,
    queue: Queue,
}

impl Client {
    fn of(cluster: &Cluster) -> Self {
        let store = Store::new(&cluster.redis_url().parse().unwrap()).unwrap();
        let queue = Queue::spawn(&store, &QueueSettings::default(), &TaskTracker::new());
        Self { store, queue }
    }

    async fn upload(&self, bytes: &[u8]) -> Upload {
        let mut upload = self.queue.upload(None).await.unwrap().unwrap();
        for part in bytes.chunks(100_000) {
            upload.push(Bytes::copy_from_slice(part)).await.unwrap();
        }
        upload
    }

    async fn submit(&self, bytes: &[u8], request: JobRequest) -> JobId {
        let upload = self.upload(bytes).await;
        let Submission::Accepted(id) = self.queue.submit_upload(upload, request).await.unwrap() else {
            panic!("it is not accepted")
        };
        id
    }

    /// A worker in this process that holds the job that waits.
    async fn worker(&self) -> (WorkerQueue, Held, JobRequest) {
        let name = WorkerName::new("test", std::process::id());
        let worker = WorkerQueue::new(&self.store, name, Duration::from_secs(60), &TaskTracker::new());
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
    assert!(largest(&commands) < PIECE_BYTES + 1024, "{} bytes", largest(&commands));
    let pieces = commands.iter().filter(|command| name(command) == "HSET" && command[3].len() == PIECE_BYTES);
    assert_eq!(pieces.count(), 39 + 79, "all but the last of a body of 10 MiB, and of an outcome of 20");
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
    assert!(largest(&commands) < PIECE_BYTES + 1024, "{} bytes", largest(&commands));
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
        };
        assert_eq!(worker.finish(Arc::new(ended)).await.unwrap(), Settled::Done);
        assert!(!redis.exists::<_, bool>(media_key(id)).unwrap(), "it is gone with the job's end");
        assert!(reader.read(0, 1).await.is_err(), "what is gone is not empty");
        let record = client.queue.find(id).await.unwrap().unwrap();
        assert_eq!(record.media.as_deref(), Some("[[9,600000]]"));
        let Some(OutcomeRef::Stored(stored)) = record.outcome() else { panic!("it is large") };
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
    repeat(&mut redis, &commands, &["HSET", "EXPIRE"]);
    let left = staged(&mut redis);
    assert_eq!(left.len(), 2, "a body and media: {left:?}");
    assert!(left.iter().all(|key| (1..=600).contains(&ttl(&mut redis, key))), "they go by themselves");
    assert_eq!(ttl(&mut redis, &media_key(id)), -1, "the job's own stay as long as it waits");
    assert_eq!(ttl(&mut redis, &format!("{{hermod:0}}:body:{id}")), -1);

    let monitor = Monitor::start(&cluster);
    repeat(&mut redis, &commands, &["EVALSHA"]);
    assert!(monitor.commands().len() > 1, "the script is sent again");
    assert_eq!(staged(&mut redis), Vec::<String>::new(), "what a repetition wrote is gone at once");
    assert_eq!(redis.xlen::<_, u64>("{hermod:0}:queue").unwrap(), 1, "the job is there once");

    // The same of its end: it must not be given an expiry of ten minutes, nor lose it.
    let monitor = Monitor::start(&cluster);
    cluster.add_worker().await;
    let job = cluster.ended(&id.to_string()).await;
    assert_eq!(job["status"], "completed", "{job}");
    let commands = monitor.commands();
    repeat(&mut redis, &commands, &["HSET", "EXPIRE"]);
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
    let refused = client.queue.submit_upload(upload, request(Operation::ImageEdit, "{}")).await.unwrap();
    assert_eq!((refused, staged(&mut redis)), (Submission::TooLate, Vec::new()));
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
        .filter(|command| name(command) == "HSET" && command[3].len() == PIECE_BYTES)
        .map(|command| String::from_utf8(command[1].clone()).unwrap())
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
    worker.release(&[held]).await.unwrap();
    cluster.add_worker().await;
    eventually("it has run", PATIENCE, async || {
        (cluster.api.poll(&id.to_string()).await.json()["status"] == "completed").then_some(())
    })
    .await;
    cluster.assert_drained().await;
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
