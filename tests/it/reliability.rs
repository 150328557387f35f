//! An accepted job always ends, whatever dies on the way.

use std::time::Duration;

use hermod_tests::{Cluster, LEASE, PATIENCE, Signal, eventually, exit_of, lasts};
use redis::Commands;
use serde_json::json;

use crate::operator::queue;

const QUEUE: &str = "{hermod:0}:queue";

#[tokio::test]
async fn a_job_whose_worker_is_killed_is_finished_by_another() {
    let mut cluster = Cluster::start().await;
    let job = cluster.api.submit(json!({"model": "demo/slow-1s", "prompt": "x"})).await;
    cluster.called("slow-1s", 1).await;
    cluster.workers[0].signal(Signal::KILL);
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&job).await["status"], "completed");
    assert_eq!(cluster.calls().len(), 2);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_may_run_longer_than_the_lease() {
    let cluster = Cluster::builder().workers(2).start().await;
    let job = cluster.run(json!({"model": "demo/slow-7s", "prompt": "x"})).await;
    assert_eq!(job["status"], "completed");
    assert_eq!(cluster.calls().len(), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_that_was_frozen_past_its_lease_writes_nothing() {
    let mut cluster = Cluster::start().await;
    // The answer is there when the worker wakes: only the fence keeps it out.
    let job = cluster.api.submit(json!({"model": "demo/slow-3s", "prompt": "x"})).await;
    cluster.called("slow-3s", 1).await;
    cluster.workers[0].signal(Signal::STOP);
    cluster.add_worker().await;
    let first_end = cluster.ended(&job).await;
    cluster.workers[0].signal(Signal::CONT);
    eventually("the worker notices", PATIENCE, async || {
        (cluster.worker_metric(0, "hermod_leases_lost_total").await >= 1.0
            || cluster.worker_metric(0, "hermod_stale_results_total").await >= 1.0)
            .then_some(())
    })
    .await;
    assert_eq!(cluster.worker_metric(0, "hermod_jobs_ended_total").await, 0.0);
    assert_eq!(cluster.api.poll(&job).await.json(), first_end, "the result is written once");
    assert_eq!(cluster.calls().len(), 2);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_that_kills_every_worker_is_given_up() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_ATTEMPTS", 2).start().await;
    let job = cluster.api.submit(json!({"model": "demo/hang", "prompt": "deadly"})).await;
    for round in 0..2 {
        cluster.add_worker().await;
        cluster.called("hang", round + 1).await;
        cluster.workers[round].signal(Signal::KILL);
    }
    cluster.add_worker().await;
    let ended = cluster.ended(&job).await;
    let error = &ended["error"];
    assert_eq!(
        (&error["error"]["code"], &error["is_bifrost_error"]),
        (&json!("job_attempts_exhausted"), &json!(true))
    );
    assert_eq!(cluster.calls().len(), 2);
    let (_, letter) = queue(&cluster, &["dead", "show", &job]).await;
    assert_eq!(letter.lines().filter(|line| line.starts_with("started ")).count(), 2, "{letter}");
    assert!(letter.contains("deadly"), "{letter}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn who_takes_a_job_over_does_not_pay_again_for_targets_that_failed() {
    let mut cluster = Cluster::start().await;
    let job = cluster
        .api
        .submit(
            json!({"model": "demo/fail-503", "prompt": "x", "fallbacks": ["demo/slow-2s", "demo/fail-500"]}),
        )
        .await;
    cluster.called("slow-2s", 1).await;
    cluster.workers[0].signal(Signal::KILL);
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&job).await["result"]["extra_fields"]["fallback_index"], 1);
    assert_eq!((cluster.calls_of("fail-503"), cluster.calls_of("slow-2s")), (1, 2));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_primarys_error_survives_its_worker() {
    let mut cluster = Cluster::start().await;
    let job = cluster
        .api
        .submit(
            json!({"model": "demo/fail-418", "prompt": "x", "fallbacks": ["demo/slow-2s", "demo/fail-500"]}),
        )
        .await;
    cluster.called("slow-2s", 1).await;
    cluster.workers[0].signal(Signal::KILL);
    cluster.stop_provider().await;
    cluster.add_worker().await;
    assert_eq!(cluster.ended(&job).await["status_code"], 418);
}

#[tokio::test]
async fn redis_may_be_killed_while_jobs_wait_and_run() {
    let mut cluster =
        Cluster::builder().set("HERMOD_CONCURRENCY", 2).set("HERMOD_LEASE_SECONDS", 30).start().await;
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(cluster.api.submit(json!({"model": "demo/slow-1s", "prompt": "x"})).await);
    }
    // Both slots are taken, so no claim is on its way: its answer would be lost, and the job wait for a lease.
    cluster.called("slow-1s", 2).await;
    cluster.kill_redis();
    // Longer than the calls take: their results wait for Redis.
    lasts(Duration::from_millis(1500)).await;
    cluster.start_redis().await;
    for job in &jobs {
        assert_eq!(cluster.ended(job).await["status"], "completed");
    }
    assert_eq!(cluster.calls().len(), 6, "nothing was paid for twice");
    for message in ["Redis is away", "Redis is back"] {
        let lines = cluster.logs.with_message(message);
        // A process may take the first moments of a Redis that starts for one more outage.
        assert!((2..=4).contains(&lines.len()), "one line a change of state and process: {lines:#?}");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_outage_longer_than_the_lease_costs_no_result_that_is_there() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(cluster.api.submit(json!({"model": "demo/slow-1s", "prompt": "x"})).await);
    }
    cluster.called("slow-1s", 10).await;
    cluster.kill_redis();
    lasts(LEASE * 2).await;
    cluster.start_redis().await;
    for job in &jobs {
        assert_eq!(cluster.ended(job).await["status"], "completed");
    }
    assert_eq!(cluster.calls().len(), 10, "their results waited for Redis");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_damaged_record_is_not_the_others_matter() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await);
    }
    let mut redis = cluster.connect();
    let key = |job: &str| format!("{{hermod:0}}:job:{job}");
    let _: () = redis.hset(key(&jobs[1]), "holder", "garbage").unwrap();
    let _: () = redis.set(key(&jobs[2]), "not a hash").unwrap();
    let _: () = redis.hset(key(&jobs[3]), "request", "garbage").unwrap();
    cluster.add_worker().await;
    for (index, job) in jobs.iter().enumerate().filter(|(index, _)| *index != 2) {
        let ended = cluster.ended(job).await;
        let damaged = [1, 3].contains(&index);
        assert!(damaged || ended["status"] == "completed", "{ended}");
    }
    cluster.api.poll(&jobs[2]).await.error(500);
    let _: () = redis.del(key(&jobs[2])).unwrap();
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_api_that_dies_takes_no_accepted_job_along() {
    let mut cluster = Cluster::builder().apis(2).start().await;
    let job = cluster.api.submit(json!({"model": "demo/slow-500ms", "prompt": "x"})).await;
    cluster.api_processes[0].signal(Signal::KILL);
    let other = cluster.add_api().await;
    assert_eq!(other.ended(&job, PATIENCE).await["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_api_that_is_told_to_stop_answers_what_it_has_begun() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut cluster = Cluster::start().await;
    let body = br#"{"model":"demo/echo","prompt":"x"}"#;
    let mut stream =
        tokio::net::TcpStream::connect(cluster.api.url.trim_start_matches("http://")).await.unwrap();
    let head = "POST /v1/async/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length:";
    stream.write_all(format!("{head} {}\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    // It says so when it begins to read the body.
    let mut answer = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    cluster.api_processes[0].signal(Signal::TERM);
    eventually("it drains", PATIENCE, async || {
        (!cluster.logs.with_message("draining").is_empty()).then_some(())
    })
    .await;
    stream.write_all(body).await.unwrap();
    let mut answer = [0; "HTTP/1.1 202".len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 202");
    assert_eq!(exit_of(&mut cluster.api_processes[0]).await.code(), Some(0));
}

#[tokio::test]
async fn lost_scripts_are_loaded_again() {
    let cluster = Cluster::start().await;
    cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut cluster.connect()).unwrap();
    assert_eq!(cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_lost_group_is_made_again_and_no_running_job_is_run_twice() {
    let cluster = Cluster::builder().workers(2).start().await;
    let running = cluster.api.submit(json!({"model": "demo/slow-4s", "prompt": "x"})).await;
    cluster.called("slow-4s", 1).await;
    redis::cmd("XGROUP").arg("DESTROY").arg(QUEUE).arg("workers").exec(&mut cluster.connect()).unwrap();
    assert_eq!(cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await["status"], "completed");
    assert_eq!(cluster.ended(&running).await["status"], "completed");
    assert_eq!(cluster.calls_of("slow-4s"), 1);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn killed_connections_are_replaced() {
    let cluster = Cluster::start().await;
    for _ in 0..5 {
        redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec(&mut cluster.connect()).unwrap();
        assert_eq!(cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await["status"], "completed");
    }
    assert_eq!(cluster.calls().len(), 5);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn entries_that_name_no_job_are_removed() {
    let cluster = Cluster::start().await;
    let mut redis = cluster.connect();
    for entry in [("id", "garbage"), ("other", "field"), ("id", "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6000")] {
        let _: String = redis.xadd(QUEUE, "*", &[entry]).unwrap();
    }
    assert_eq!(cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await["status"], "completed");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_that_waited_too_long_fails_with_its_deadline() {
    let mut cluster = Cluster::builder().workers(0).set("HERMOD_MAX_WAIT_SECONDS", 1).start().await;
    let job = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;
    lasts(Duration::from_millis(1200)).await;
    cluster.add_worker().await;
    let ended = cluster.ended(&job).await;
    assert_eq!(
        (&ended["status_code"], &ended["error"]["error"]["code"]),
        (&json!(504), &json!("job_deadline_exceeded"))
    );
    assert!(cluster.calls().is_empty());
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_that_runs_too_long_fails_with_its_deadline() {
    let cluster = Cluster::builder().set("HERMOD_MAX_RUN_SECONDS", 2).start().await;
    let ended = cluster.run(json!({"model": "demo/hang", "prompt": "x", "fallbacks": ["demo/drip"]})).await;
    let error = &ended["error"];
    assert_eq!(
        (&ended["status_code"], &error["error"]["code"]),
        (&json!(504), &json!("job_deadline_exceeded"))
    );
    assert_eq!(error["extra_fields"]["model_requested"], "hang");
    assert_eq!(cluster.calls().len(), 2, "the second target had its share");
    cluster.assert_drained().await;
}
