//! What an operator sees and does: `hermod queue`, and what a worker does at its start.

use std::process::Command;

use hermod_tests::{Cluster, Logs, PATIENCE, Signal, binary, eventually, exit_of};
use redis::Commands;
use serde_json::json;

const QUEUE: &str = "{hermod:0}:queue";

/// Runs `hermod queue …`; gives its exit code and all that it printed.
pub(crate) async fn queue(cluster: &Cluster, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary("hermod"));
    command.arg("queue").args(args).env("REDIS_URL", cluster.redis_url());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

/// The number that a line of `hermod queue stats` begins with this word.
pub(crate) fn count(text: &str, word: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.and_then(|number| number.trim().parse().ok()).ok_or_else(|| format!("{word} in {text}")).unwrap()
}

#[tokio::test]
async fn stats_show_the_queue_and_its_workers() {
    let cluster = Cluster::builder().set("HERMOD_CONCURRENCY", 1).start().await;
    let empty = Cluster::builder().workers(0).start().await;
    let (code, text) = queue(&empty, &["stats"]).await;
    assert_eq!(code, Some(0));
    // Where Redis is may be said before the command, or behind it.
    let url = empty.redis_url();
    for args in [["--redis-url", &url, "stats"], ["stats", "--redis-url", &url]] {
        assert_eq!(queue(&cluster, &args).await, (code, text.clone()));
    }
    for word in ["waiting", "running", "dead"] {
        assert_eq!(count(&text, word), 0, "{text}");
    }
    for _ in 0..3 {
        cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    }
    cluster.called("hang", 1).await;
    let (code, text) = queue(&cluster, &["stats"]).await;
    assert_eq!(code, Some(0));
    assert_eq!((count(&text, "waiting"), count(&text, "running")), (2, 1), "{text}");
    assert!(text.contains("WORKER") && text.contains(" 1  "), "{text}");
}

#[tokio::test]
async fn a_paused_queue_accepts_jobs_and_runs_none() {
    let mut cluster = Cluster::start().await;
    assert_eq!(queue(&cluster, &["pause"]).await.0, Some(0));
    let heard = async |workers: usize, logs: &Logs| {
        eventually("the workers hear it", PATIENCE, async || {
            let lines = logs.with_message("the operator has paused the queue, or resumed it");
            (lines.iter().filter(|line| line["paused"] == true).count() == workers).then_some(())
        })
        .await;
    };
    heard(1, &cluster.logs).await;
    let job = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    // A worker that starts now finds the job there, and learns that it must not touch it.
    cluster.add_worker().await;
    heard(2, &cluster.logs).await;
    assert_eq!(cluster.api.poll(&job).await.json()["status"], "pending");
    assert!(queue(&cluster, &["stats"]).await.1.contains("paused"));
    assert_eq!(queue(&cluster, &["resume"]).await.0, Some(0));
    assert_eq!(cluster.ended(&job).await["status"], "completed");
}

#[tokio::test]
async fn a_dead_letter_can_be_seen_and_queued_again() {
    let mut cluster = Cluster::builder().set("HERMOD_MAX_ATTEMPTS", 1).start().await;
    let body = json!({"model": "demo/slow-2s", "prompt": "deadly"});
    let submission = cluster.api.submission(body.to_string()).header("x-bf-async-job-result-ttl", "5");
    let job = cluster.api.send(submission).await.json()["id"].as_str().unwrap().to_owned();
    cluster.called("slow-2s", 1).await;
    cluster.workers[0].signal(Signal::KILL);
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&job).await["error"]["error"]["code"], "job_attempts_exhausted");
    // Its record may expire: the letter has all that is needed.
    eventually("the record has expired", PATIENCE, async || {
        (cluster.api.poll(&job).await.status == 404).then_some(())
    })
    .await;
    let (_, list) = queue(&cluster, &["dead", "list"]).await;
    assert!(list.contains(&job) && list.contains("job_attempts_exhausted"), "{list}");
    let (_, letter) = queue(&cluster, &["dead", "show", &job]).await;
    assert!(letter.contains("deadly") && letter.contains("started"), "{letter}");

    let (code, text) = queue(&cluster, &["dead", "requeue", &job]).await;
    assert_eq!((code, text), (Some(0), format!("{job}  queued again\n")));
    assert_eq!(cluster.ended(&job).await["status"], "completed");
    assert_eq!(queue(&cluster, &["dead", "list"]).await.1, "no dead letters\n");
    let (code, text) = queue(&cluster, &["dead", "requeue", &job]).await;
    assert!(code == Some(1) && text.contains("not among the dead letters"), "{text}");
}

#[tokio::test]
async fn what_disagrees_is_found_and_mended() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    // The first one has an entry, the others wait in a lane, as their priority keeps them from staying in the stream.
    let submit = async |prompt: &str| {
        let body = json!({"model": "demo/echo", "prompt": prompt}).to_string();
        let answer = cluster.api.send(cluster.api.submission(body).header("x-hermod-priority", "2")).await;
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    let (gone, kept, orphan) = (submit("gone").await, submit("kept").await, submit("orphan").await);
    assert_eq!(queue(&cluster, &["check"]).await.0, Some(0));
    let mut redis = cluster.connect();
    assert_eq!(redis.zrem::<_, _, u64>("{hermod:0}:lane:", &orphan).unwrap(), 1);
    let _: u64 = redis.del(format!("{{hermod:0}}:job:{gone}")).unwrap();

    let (code, text) = queue(&cluster, &["check"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("2 records, 1 entries, 1 jobs in lanes")
            && text.contains("1 jobs that wait or run without"),
        "{text}"
    );
    assert!(text.contains("1 entries whose job is gone"), "{text}");
    assert!(text.contains("1 shards whose jobs in lanes are miscounted"), "{text}");
    let (code, text) = queue(&cluster, &["check", "--repair"]).await;
    assert!(code == Some(0) && text.contains("queued again") && text.contains("removed"), "{text}");
    assert_eq!(queue(&cluster, &["check"]).await.0, Some(0));
    cluster.add_worker().await;
    for job in [kept, orphan] {
        assert_eq!(cluster.ended(&job).await["status"], "completed");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_mends_what_disagrees_when_it_starts() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let orphan = cluster.api.submit(json!({"model": "demo/echo", "prompt": "orphan"})).await;
    let mut redis = cluster.connect();
    let _: u64 = redis.del(QUEUE).unwrap();
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&orphan).await["status"], "completed");
    eventually("the worker has said so", PATIENCE, async || {
        (cluster.logs.with_message("records and entries disagreed; mended").len() == 1).then_some(())
    })
    .await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused_unless_accepted() {
    let cluster = Cluster::builder().workers(0).start().await;
    let mut redis = cluster.connect();
    redis::cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("allkeys-lru").exec(&mut redis).unwrap();
    for role in ["api", "worker"] {
        let (mut process, logs) = cluster.spawn(role, &[]);
        let status = exit_of(&mut process).await;
        let said = logs.all().join("\n");
        assert!(!status.success() && said.contains("maxmemory-policy allkeys-lru"), "{role}: {said}");
    }
    let (mut process, logs) = cluster.spawn("worker", &[("HERMOD_ACCEPT_EVICTION", "true")]);
    eventually("it warns", PATIENCE, async || {
        (!logs.with_message("Redis throws accepted jobs away when it is full").is_empty()).then_some(())
    })
    .await;
    assert!(process.try_wait().unwrap().is_none());

    redis::cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("noeviction").exec(&mut redis).unwrap();
    redis::cmd("CONFIG").arg("SET").arg("appendonly").arg("no").exec(&mut redis).unwrap();
    let (_process, logs) = cluster.spawn("worker", &[]);
    eventually("it warns", PATIENCE, async || {
        logs.all().iter().any(|line| line.contains("keeps no append-only file")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bodies_in_memory_are_bounded() {
    let cluster = Cluster::builder()
        .set("HERMOD_MAX_BODY_BYTES", 1 << 20)
        .set("HERMOD_MAX_UPLOAD_BYTES", 1 << 20)
        .set("HERMOD_MAX_MEMORY_BYTES", 1 << 20)
        .start()
        .await;
    let address = cluster.api.url.trim_start_matches("http://");
    let head =
        format!("POST /v1/async/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 1 << 20);
    let body = json!({"model": "demo/echo", "prompt": "x".repeat(100_000)}).to_string();
    let mut stalled = Vec::new();
    eventually("there is no room", PATIENCE, async || {
        // One that has sent nearly all of a large body holds the room, unless another has it at that moment.
        let mut upload = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut upload, head.as_bytes()).unwrap();
        std::io::Write::write_all(&mut upload, &vec![b'x'; (1 << 20) - 1]).unwrap();
        stalled.push(upload);
        let answer = cluster.api.post(body.clone()).await;
        (answer.status == 429).then(|| answer.error(429))
    })
    .await;
    drop(stalled);
    eventually("there is room", PATIENCE, async || {
        (cluster.api.post(body.clone()).await.status == 202).then_some(())
    })
    .await;
}

/// Resident memory of a process, in MiB.
fn memory_mib(process: &hermod_tests::Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn memory_stays_flat_under_ten_times_the_load() {
    // What is accepted hangs, so all the rest is too much; 50 clients submit as fast as they are answered.
    let cluster =
        Cluster::builder().set("HERMOD_CONCURRENCY", 2).set("HERMOD_QUEUE_LIMIT", 100).start().await;
    let body = json!({"model": "demo/hang", "prompt": "x".repeat(200_000)}).to_string();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (api, body) = (cluster.api.clone(), body.clone());
        clients.spawn(async move {
            let mut refused = 0;
            for _ in 0..40 {
                match api.post(body.clone()).await.status {
                    202 => {}
                    429 => refused += 1,
                    status => panic!("{status}"),
                }
            }
            refused
        });
    }
    let refused: usize = clients.join_all().await.into_iter().sum();
    assert!(refused >= 2000 - 102, "most of it is too much: {refused}");
    let (api, worker) = (memory_mib(&cluster.api_processes[0]), memory_mib(&cluster.workers[0]));
    // All the bodies together are 400 MB; those that wait do so in Redis.
    assert!(api < 200 && worker < 200, "API {api} MiB, worker {worker} MiB");
}
