//! Results too large to hold in memory for each client that asks: they are sent piece by piece.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use hermod_tests::{Cluster, Process, eventually};
use redis::{Commands, Connection};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// What these tests are about is not how fast a disk is.
const FAST_REDIS: &[&str] = &["--appendfsync", "no"];

/// Reads of pieces that Redis has answered.
fn pieces_read(redis: &mut Connection) -> u64 {
    let stats: String = redis::cmd("INFO").arg("commandstats").query(redis).unwrap();
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hget:calls="));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

/// Resident memory of a process, in MiB.
fn memory_mib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Submits a job whose result has about so many bytes, and waits for its end.
async fn result_of(cluster: &Cluster, bytes: usize) -> String {
    let job = cluster.run(json!({"model": "demo/echo", "prompt": "é".repeat(bytes / 2)})).await;
    assert_eq!(job["status"], "completed", "{:.300}", job.to_string());
    assert_eq!(job["result"]["choices"][0]["text"].as_str().map(str::len), Some(bytes / 2 * 2));
    job["id"].as_str().unwrap().to_owned()
}

/// Asks for a result with a socket that takes little, and does not read.
async fn ask_and_not_read(cluster: &Cluster, id: &str) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let address = cluster.api.url.trim_start_matches("http://").parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = format!("GET /v1/async/completions/{id} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_large_result_comes_whole_and_with_its_length() {
    let cluster = Cluster::builder().redis_options(FAST_REDIS).start().await;
    let mut redis = cluster.connect();
    // Around the border of what is a large outcome, and of one and two pieces.
    for bytes in [15_000, 17_000, 262_000, 262_200, 524_000, 524_300, 3 << 20] {
        let id = result_of(&cluster, bytes).await;
        let answer = cluster.api.poll(&id).await;
        assert_eq!(answer.header("content-length"), answer.text.len().to_string(), "{bytes}");
        assert_eq!(answer.header("content-type"), "application/json");
        let before = pieces_read(&mut redis);
        let path = format!("/v1/async/completions/{id}");
        let head = cluster.api.send(cluster.api.request(Method::HEAD, &path)).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), answer.header("content-length"));
        assert_eq!(pieces_read(&mut redis), before, "a HEAD needs no piece");
    }
    assert!(pieces_read(&mut redis) > 10);
}

#[tokio::test]
async fn nothing_is_read_of_another_clients_result() {
    let keys = [("vk-a", "sk-bf-a"), ("vk-b", "sk-bf-b")];
    let allowed = json!([{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]);
    let keys = keys.map(|(id, value)| {
        json!({"id": id, "name": id, "value": value, "is_active": true, "provider_configs": allowed})
    });
    let cluster = Cluster::builder().config(json!({"governance": {"virtual_keys": keys}})).start().await;
    let body = json!({"model": "demo/echo", "prompt": "x".repeat(1 << 20)}).to_string();
    let submission = cluster.api.submission(body).header("x-bf-vk", "sk-bf-a");
    let id = cluster.api.send(submission).await.json()["id"].as_str().unwrap().to_owned();
    let poll_as = async |key| cluster.api.send(cluster.api.request_poll(&id).header("x-bf-vk", key)).await;
    eventually("it has ended", Duration::from_secs(20), async || {
        (poll_as("sk-bf-a").await.status == 200).then_some(())
    })
    .await;
    let mut redis = cluster.connect();
    let before = pieces_read(&mut redis);
    assert!(before > 0);
    poll_as("sk-bf-b").await.error(404);
    cluster.api.poll(&id).await.error(404);
    assert_eq!(pieces_read(&mut redis), before);
}

#[tokio::test]
async fn an_answer_whose_result_expires_is_broken_off() {
    let cluster = Cluster::builder().redis_options(FAST_REDIS).start().await;
    let id = result_of(&cluster, 9 << 20).await;
    let mut redis = cluster.connect();
    let begun = pieces_read(&mut redis);
    let stream = ask_and_not_read(&cluster, &id).await;
    let mut seen = 0;
    // At least the first piece is read, before which there is no status.
    eventually("its buffers are full", Duration::from_secs(20), async || {
        let before = std::mem::replace(&mut seen, pieces_read(&mut redis));
        (seen > begun && seen == before).then_some(())
    })
    .await;
    let outcomes: Vec<String> = redis.keys("{hermod:0}:outcome:*").unwrap();
    let _: u64 = redis.del(&outcomes).unwrap();
    let mut stream: TcpStream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let mut received = Vec::new();
    drop(stream.read_to_end(&mut received));
    let text = String::from_utf8_lossy(&received);
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("\r\ncontent-length: 943"), "{text:.300}");
    assert!(received.len() < 9 << 20, "{} bytes came", received.len());
    assert!(!text.ends_with('}'));
    eventually("it is logged", Duration::from_secs(5), async || {
        (cluster.logs.with_message("a result broke off while it was sent").len() == 1).then_some(())
    })
    .await;
    cluster.api.poll(&id).await.error(404);
}

#[tokio::test]
async fn clients_that_do_not_read_cost_a_piece_each() {
    let cluster = Cluster::builder().redis_options(FAST_REDIS).start().await;
    let id = result_of(&cluster, 9 << 20).await;
    let before = memory_mib(&cluster.api_processes[0]);
    let mut deaf = Vec::new();
    for _ in 0..60 {
        deaf.push(ask_and_not_read(&cluster, &id).await);
    }
    let mut redis = cluster.connect();
    eventually("all have a piece", Duration::from_secs(20), async || {
        (pieces_read(&mut redis) > 36 + 60).then_some(())
    })
    .await;
    // The whole results are 540 MiB.
    let after = memory_mib(&cluster.api_processes[0]);
    assert!(after < before + 60, "{before} MiB before, {after} MiB after");
    assert_eq!(cluster.api.poll(&id).await.status, 200);
}

#[tokio::test]
async fn pieces_are_counted_in_the_memory_limit() {
    // For large ones there are then 10 MiB: a body of the largest size must fit in.
    let cluster = Cluster::builder()
        .set("HERMOD_MAX_UPLOAD_BYTES", 10 << 20)
        .set("HERMOD_MAX_MEMORY_BYTES", 1 << 20)
        .redis_options(FAST_REDIS)
        .start()
        .await;
    let large = result_of(&cluster, 9 << 20).await;
    let small = result_of(&cluster, 40_000).await;
    // All in less than the 30 s after which a client that takes nothing is given up.
    let mut deaf = Vec::new();
    eventually("there is no room", Duration::from_secs(20), async || {
        loop {
            let mut stream = ask_and_not_read(&cluster, &large).await;
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.unwrap();
            if &status == b"HTTP/1.1 429" {
                return Some(());
            }
            deaf.push(stream);
        }
    })
    .await;
    assert_eq!(deaf.len(), 40, "10 MiB of pieces");
    let refused = cluster.api.poll(&large).await;
    assert!(refused.error(429).contains("HERMOD_MAX_MEMORY_BYTES"));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(cluster.api.poll(&small).await.status, 200, "small ones have a share of their own");
    drop(deaf);
    eventually("there is room", Duration::from_secs(20), async || {
        (cluster.api.poll(&large).await.status == 200).then_some(())
    })
    .await;
}
