//! Uploads while Redis fails, is full, or has given up on them: refused and gone, or run with all of their bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use hermod_tests::{Cluster, FormBody, PATIENCE, eventually, lasts};
use hermod_types::Operation;
use redis::{Commands, Connection};

use crate::operator::queue;
use crate::uploads::{leaves_nothing, pattern, recording};

const MIB: usize = 1 << 20;

/// Asserts that each call of the provider had all of the file.
async fn every_call_has(cluster: &Cluster, calls: usize, file: &[u8]) {
    let received = cluster.calls();
    assert_eq!(received.len(), calls);
    for call in received {
        let parts = call.parts().await.unwrap();
        let found = parts.iter().find(|part| part.name == "file").unwrap();
        assert!(found.content == file, "{} bytes of {}", found.content.len(), file.len());
    }
}

/// How many pieces of media were read, in a Redis that logs all commands as slow.
fn media_reads(redis: &mut Connection) -> usize {
    let log: redis::Value = redis::cmd("SLOWLOG").arg("GET").arg(-1).query(redis).unwrap();
    let redis::Value::Array(entries) = log else { unreachable!("{log:?}") };
    let text = entries.iter().map(|entry| format!("{entry:?}"));
    text.filter(|entry| entry.contains("\"HGET\"") && entry.contains(":media:")).count()
}

fn limit_memory(redis: &mut Connection, bytes: u64) {
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec(redis).unwrap();
}

fn used_memory(redis: &mut Connection) -> u64 {
    let info: String = redis::cmd("INFO").arg("memory").query(redis).unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    used.trim().parse().unwrap()
}

#[tokio::test]
async fn each_call_of_an_upload_has_all_of_it_though_redis_and_a_worker_died_between() {
    let mut cluster = Cluster::builder().workers(0).task("hang").start().await;
    let path = cluster
        .api
        .accepted(cluster.api.form_to(Operation::Transcription, recording("switch/task", MIB)))
        .await;
    cluster.kill_redis();
    cluster.start_redis().await;
    cluster.add_worker().await;
    cluster.called("hang", 1).await;
    cluster.switch("echo");
    drop(cluster.take_worker(0));
    cluster.kill_redis();
    cluster.start_redis().await;
    cluster.add_worker().await;
    assert_eq!(cluster.api.ended_at(&path).await["status"], "completed");
    every_call_has(&cluster, 2, &pattern(MIB)).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_call_that_sends_an_upload_waits_for_redis() {
    let builder = Cluster::builder().proxied().redis_options(&["--slowlog-log-slower-than", "0"]);
    let mut cluster = builder.start().await;
    let file = 2 * MIB;
    // Slow enough that some of it is still in Redis when Redis dies.
    cluster.worker_links[0].narrow(Some(500_000));
    let form = recording("demo/echo", file);
    let path = cluster.api.accepted(cluster.api.form_to(Operation::Transcription, form)).await;
    eventually("some of it is on its way", PATIENCE, async || {
        (media_reads(&mut cluster.connect()) >= 2).then_some(())
    })
    .await;
    cluster.kill_redis();
    lasts(Duration::from_secs(1)).await;
    cluster.worker_links[0].narrow(None);
    cluster.start_redis().await;
    let job = cluster.api.ended_at(&path).await;
    assert_eq!(job["result"]["text"], format!("a recording of {file} bytes named talk.mp3"), "{job}");
    // The provider keeps no call that broke off; the journal does.
    assert_eq!(job["result"]["extra_fields"]["attempts"].as_array().map_or(1, Vec::len), 1, "{job}");
    every_call_has(&cluster, 1, &pattern(file)).await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_upload_that_redis_has_no_room_for_is_refused_and_leaves_nothing() {
    let cluster = Cluster::builder().workers(0).start().await;
    let (api, mut redis) = (&cluster.api, cluster.connect());
    // Room for some pieces of it, not for all. The API knows of no limit, so that it finds out while the body comes.
    let limit = used_memory(&mut redis) + 2 * u64::try_from(MIB).unwrap();
    limit_memory(&mut redis, limit);
    for _ in 0..2 {
        let refused = api.send(api.form_to(Operation::Transcription, recording("demo/echo", 8 * MIB))).await;
        refused.error(503);
        assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
        leaves_nothing(&cluster).await;
    }
    // What is small still has its place.
    api.accepted(api.form_to(Operation::Transcription, recording("demo/echo", 300_000))).await;
}

#[tokio::test]
async fn an_upload_over_the_limit_of_bytes_is_refused_and_leaves_nothing() {
    let cluster = Cluster::builder().workers(0).set("HERMOD_QUEUE_LIMIT_BYTES", MIB).start().await;
    let api = &cluster.api;
    let upload = |bytes| api.form_to(Operation::Transcription, recording("demo/echo", bytes));
    let refused = api.send(upload(2 * MIB)).await;
    assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    refused.error(429);
    // Its length is not announced, so it is known when all of it has come.
    let chunks: Vec<_> =
        recording("demo/echo", 2 * MIB).finish().chunks(100_000).map(<[u8]>::to_vec).collect();
    let chunks = futures_util::stream::iter(chunks.into_iter().map(std::io::Result::Ok));
    let chunked = api.submission_to(Operation::Transcription).header("content-type", FormBody::CONTENT_TYPE);
    api.send(chunked.body(reqwest::Body::wrap_stream(chunks))).await.error(429);
    leaves_nothing(&cluster).await;
    api.accepted(upload(300_000)).await;
}

#[tokio::test]
async fn an_upload_that_redis_dies_under_is_refused_and_what_came_expires() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let whole = recording("demo/echo", 4 * MIB).finish();
    let (first, rest) = whole.split_at(2 * MIB);
    let mut stream = TcpStream::connect(cluster.api.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /v1/async/audio/transcriptions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        FormBody::CONTENT_TYPE,
        whole.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(first).unwrap();
    let keys = eventually("pieces are in Redis", PATIENCE, async || {
        let mut redis = cluster.connect();
        let keys: Vec<String> = redis.keys("*:staged:*").unwrap();
        (redis.hlen::<_, usize>(keys.first()?).unwrap() >= 6).then_some(keys)
    })
    .await;
    cluster.kill_redis();
    // The API may answer, and close, before it has read all.
    drop(stream.write_all(rest));
    drop(stream.shutdown(Shutdown::Write));
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8(answer).unwrap()
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    cluster.start_redis().await;
    let mut redis = cluster.connect();
    let left: Vec<String> = redis.keys("*:staged:*").unwrap();
    assert!(left.is_empty() || left == keys, "{left:?}");
    cluster.assert_drained().await;
    assert_eq!(redis.xlen::<_, u64>("{hermod:0}:queue").unwrap_or_default(), 0, "no job was made of it");
}

#[tokio::test]
async fn a_dead_letter_of_an_upload_runs_with_all_of_it_when_it_is_queued_again() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_WAIT_SECONDS", 1).start().await;
    let form = recording("demo/echo", MIB + 77).field("response_format", "text");
    let submission = cluster.api.form_to(Operation::Transcription, form);
    // The record goes before the letter does.
    let path = cluster.api.accepted(submission.header("x-bf-async-job-result-ttl", "2")).await;
    let id = path.rsplit('/').next().unwrap();
    lasts(Duration::from_millis(1200)).await;
    cluster.add_worker().await;
    assert_eq!(cluster.api.ended_at(&path).await["error"]["error"]["code"], "job_deadline_exceeded");
    eventually("the record has expired", PATIENCE, async || {
        (cluster.api.get(&path).await.status == 404).then_some(())
    })
    .await;
    cluster.kill_redis();
    cluster.start_redis().await;
    assert_eq!(queue(&cluster, &["dead", "requeue", id]).await.0, Some(0));
    eventually("it has run", PATIENCE, async || {
        let answer = cluster.api.get(&path).await;
        (answer.status == 200 && answer.json()["status"] == "completed").then_some(())
    })
    .await;
    every_call_has(&cluster, 1, &pattern(MIB + 77)).await;
    let media: Vec<String> = cluster.connect().keys("*:media:*").unwrap();
    assert_eq!(media, Vec::<String>::new(), "they go with the job's end");
    cluster.assert_drained().await;
}
