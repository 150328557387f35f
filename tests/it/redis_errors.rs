//! Each error that Redis may give by name, provoked for real: the API says 503 (or still polls), nothing is lost,
//! and both sides recover by themselves.

use hermod_tests::{Cluster, Command, Monitor, PATIENCE, Signal, eventually};
use hermod_types::{JobId, Shard};
use redis::{Commands, Connection};
use serde_json::json;

const GOOD: &str = r#"{"model":"demo/echo","prompt":"x"}"#;

fn command(redis: &mut Connection, words: &str) {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    command.exec(redis).unwrap();
}

/// Asserts that a submit is refused, for this reason as our log has it.
async fn refused_because(cluster: &Cluster, reason: &str) {
    eventually(&format!("a submit is refused: {reason}"), PATIENCE, async || {
        let answer = cluster.api.post(GOOD).await;
        if answer.status != 503 {
            return None;
        }
        answer.error(503);
        assert!(!answer.text.contains("Redis"), "the client is not told about our insides");
        let event = answer.json()["event_id"].clone();
        let lines = cluster.logs.with_message("the queue is not available; the job was not accepted");
        let line = lines.into_iter().find(|line| line["event_id"] == event)?;
        line["cause"].as_str().unwrap().contains(reason).then_some(())
    })
    .await;
}

async fn works_again(cluster: &Cluster) {
    eventually("jobs are taken again", PATIENCE, async || {
        (cluster.api.post(GOOD).await.status == 202).then_some(())
    })
    .await;
    assert_eq!(cluster.run(serde_json::from_str(GOOD).unwrap()).await["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn oom_refuses_new_jobs_and_lets_accepted_ones_end() {
    let cluster = Cluster::builder().set("HERMOD_CONCURRENCY", 1).start().await;
    let running = cluster.api.submit(json!({"model": "demo/slow-5s", "prompt": "x"})).await;
    let waiting = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    cluster.called("slow-5s", 1).await;
    let mut redis = cluster.connect();
    command(&mut redis, "CONFIG SET maxmemory 1");
    refused_because(&cluster, "out of memory").await;
    for job in [&running, &waiting] {
        assert_eq!(cluster.ended(job).await["status"], "completed");
    }
    assert_eq!(cluster.calls().len(), 2, "leases are renewed, and nothing is paid for twice");
    cluster.api.post(GOOD).await.error(503);
    let changes = |message| cluster.logs.with_message(message).len();
    assert_eq!(
        (changes("Redis is away"), changes("Redis is back")),
        (1, 0),
        "one line, however many failures"
    );
    command(&mut redis, "CONFIG SET maxmemory 0");
    works_again(&cluster).await;
}

#[tokio::test]
async fn misconf_refuses_jobs_until_redis_can_persist() {
    let cluster = Cluster::start().await;
    let mut redis = cluster.connect();
    let (_, folder): (String, String) = redis::cmd("CONFIG").arg("GET").arg("dir").query(&mut redis).unwrap();
    // A snapshot cannot replace a folder.
    let obstacle = std::path::Path::new(&folder).join("dump.rdb");
    std::fs::create_dir(&obstacle).unwrap();
    command(&mut redis, "CONFIG SET appendonly no");
    command(&mut redis, "CONFIG SET stop-writes-on-bgsave-error yes");
    redis::cmd("CONFIG").arg("SET").arg("save").arg("3600 1").exec(&mut redis).unwrap();
    command(&mut redis, "BGSAVE");
    refused_because(&cluster, "cannot persist").await;
    std::fs::remove_dir(&obstacle).unwrap();
    command(&mut redis, "BGSAVE");
    works_again(&cluster).await;
}

#[tokio::test]
async fn readonly_refuses_jobs_until_a_primary_is_reached() {
    let cluster = Cluster::start().await;
    let ended = cluster.run(serde_json::from_str(GOOD).unwrap()).await;
    let mut redis = cluster.connect();
    command(&mut redis, "REPLICAOF 127.0.0.1 1");
    refused_because(&cluster, "read-only replica").await;
    let poll = cluster.api.poll(ended["id"].as_str().unwrap()).await;
    assert_eq!(poll.status, 200, "what is there can be read");
    command(&mut redis, "REPLICAOF NO ONE");
    works_again(&cluster).await;
}

#[tokio::test]
async fn busy_refuses_jobs_until_the_script_is_over() {
    let cluster = Cluster::start().await;
    let mut redis = cluster.connect();
    command(&mut redis, "CONFIG SET busy-reply-threshold 50");
    let mut hog = cluster.connect();
    let hogging =
        std::thread::spawn(move || redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut hog));
    refused_because(&cluster, "busy with a script").await;
    command(&mut redis, "SCRIPT KILL");
    assert!(hogging.join().unwrap().is_err());
    works_again(&cluster).await;
}

#[tokio::test]
async fn loading_refuses_jobs_until_the_data_is_there() {
    let mut cluster = Cluster::builder()
        .redis_options(&["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"])
        .start()
        .await;
    let mut redis = cluster.connect();
    for number in 0..100 {
        let mut set = redis::cmd("SET");
        set.arg(format!("ballast:{number}")).arg("x".repeat(2000)).arg("EX").arg(3600);
        set.exec(&mut redis).unwrap();
    }
    command(&mut redis, "BGREWRITEAOF");
    eventually("the file is rewritten", PATIENCE, async || {
        let info: String = redis::cmd("INFO").arg("persistence").query(&mut redis).unwrap();
        info.contains("aof_rewrite_in_progress:0").then_some(())
    })
    .await;
    cluster.kill_redis();
    cluster.start_redis_without_waiting();
    refused_because(&cluster, "loading its data").await;
    works_again(&cluster).await;
}

#[tokio::test]
async fn wrong_passwords_are_told_apart_from_an_absent_redis() {
    let cluster = Cluster::start().await;
    let mut redis = cluster.connect();
    command(&mut redis, "CONFIG SET requirepass secret");
    // Connections that were let in stay; new ones are not.
    command(&mut redis, "CLIENT KILL TYPE normal SKIPME yes");
    refused_because(&cluster, "denies access").await;
    command(&mut redis, "ACL SETUSER default nopass");
    works_again(&cluster).await;
}

#[tokio::test]
async fn a_submit_that_was_refused_does_not_run_later() {
    let mut cluster = Cluster::start().await;
    cluster.run(serde_json::from_str(GOOD).unwrap()).await;
    cluster.redis.as_mut().unwrap().process.signal(Signal::STOP);
    cluster.api.post(r#"{"model":"demo/echo","prompt":"ghost"}"#).await.error(503);
    cluster.redis.as_mut().unwrap().process.signal(Signal::CONT);
    works_again(&cluster).await;
    assert!(
        cluster.calls().iter().all(|call| !call.body.contains("ghost")),
        "its client was told that it is not"
    );
}

#[tokio::test]
async fn a_submit_has_no_last_millisecond() {
    let cluster = Cluster::builder().workers(0).start().await;
    let monitor = Monitor::start(&cluster);
    let id = cluster.api.submit(GOOD).await;
    let is_submit = |command: &Command| command.name() == "EVALSHA" && command.word(4).contains(&id);
    let submit = monitor.commands().into_iter().find(is_submit).unwrap();
    let place =
        |what: &[u8]| submit.0[4].windows(what.len()).position(|part| part == what).unwrap() + what.len();
    // Of the id's end, and of the time behind its name and the byte that says that it is a long number.
    let (id_end, latest) = (place(id.as_bytes()), place(b"latest") + 1);
    let mut redis = cluster.connect();
    // Redis was asked for its time after the client had gone, and the job came right behind the answer.
    for _ in 0..200 {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(&mut redis).unwrap();
        let mut late = submit.0[1..].to_vec();
        late[3][id_end - 36..id_end].copy_from_slice(JobId::new(Shard::default()).to_string().as_bytes());
        late[3][latest..latest + 8].copy_from_slice(&(seconds * 1000 + micros / 1000).to_be_bytes());
        redis::cmd("EVALSHA").arg(&late).exec(&mut redis).unwrap();
    }
    assert_eq!(redis.xlen::<_, u64>("{hermod:0}:queue").unwrap(), 1, "only the one that was in time");
}
