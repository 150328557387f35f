//! Jobs that run are cancelled: their workers hear of it, drop the call, and end them, whatever fails meanwhile.

use std::net::TcpListener;
use std::time::Duration;

use hermod_tests::{Builder, Cluster, PATIENCE, Servers, Signal, eventually, exit_of, lasts};
use redis::Commands;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::cancel::{LONG_LEASE, api_metric, cancel, delete, is_requested, journal_of_cancelled};
use crate::shards::{spread, submit_to_all_shards};

/// A cluster in which nothing tells a worker of a cancel but its channel: no lease is renewed in time.
fn without_renewals() -> Builder {
    Cluster::builder().set("HERMOD_LEASE_SECONDS", LONG_LEASE)
}

/// Asserts that the job has ended as cancelled while one call was under way; returns its journal.
fn dropped(job: &Value) -> Value {
    let journal = journal_of_cancelled(job);
    let last = journal.as_array().and_then(|attempts| attempts.last()).unwrap();
    assert_eq!((&last["error_type"], &last["may_be_billed"]), (&json!("request_cancelled"), &json!(true)));
    assert!(last.get("status").is_none() && last["started_at"].is_string(), "{last}");
    journal
}

/// A provider that reads requests and never answers. Each message is a connection: that it has brought a request, then that
/// it was closed.
fn silent_provider() -> (String, mpsc::UnboundedReceiver<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (events, seen) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let events = events.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let mut has_asked = false;
                while let Ok(1..) = stream.read(&mut buffer).await {
                    if !std::mem::replace(&mut has_asked, true) {
                        events.send(true).ok();
                    }
                }
                events.send(false).ok();
                stream.shutdown().await.ok();
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn the_provider_sees_its_connection_closed_and_no_fallback_is_called() {
    let (address, mut seen) = silent_provider();
    let config = json!({"providers": {"silent": {
        "network_config": {"base_url": address, "max_retries": 3},
        "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
    }}});
    let cluster = without_renewals().config(config).start().await;
    let body = json!({"model": "demo/fail-503", "fallbacks": ["silent/model", "demo/echo"], "prompt": "x"});
    for delete_it in [false, true] {
        let id = cluster.api.submit(body.clone()).await;
        assert_eq!(seen.recv().await, Some(true), "the call is under way");
        let answer =
            if delete_it { delete(&cluster.api, &id).await } else { cancel(&cluster.api, &id).await };
        is_requested(&answer);
        assert_eq!(seen.recv().await, Some(false), "the connection is closed");
        let job = cluster.ended(&id).await;
        let journal = dropped(&job);
        let targets: Vec<_> = journal.as_array().unwrap().iter().map(|attempt| &attempt["target"]).collect();
        assert_eq!(targets, ["demo/fail-503", "silent/model"]);
        assert_eq!(cancel(&cluster.api, &id).await.json(), job, "once more is the same");
        assert_eq!(
            cluster.api.poll(&id).await.json()["cancel_requested_at"],
            answer.json()["cancel_requested_at"]
        );
    }
    assert_eq!(cluster.calls_of("echo"), 0);
    assert_eq!(cluster.worker_metric(0, "hermod_jobs_cancelled_total").await, 2.0);
    assert_eq!(api_metric(&cluster.api, "hermod_jobs_cancelled_total").await, 0.0);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn waits_of_a_running_job_end_too() {
    let provider = |concurrency: usize| {
        json!({"network_config": {"max_retries": 1}, "concurrency_and_buffer_size": {"concurrency": concurrency},
               "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true}})
    };
    let config = json!({"providers": {"patient": provider(9), "narrow": provider(1)}});
    let cluster = without_renewals().config(config).start().await;
    let api = &cluster.api;
    // The wait for a retry, which is too short to make it a delayed job.
    let retries = api.submit(json!({"model": "patient/retry-after-4", "prompt": "x"})).await;
    cluster.called("retry-after-4", 1).await;
    is_requested(&cancel(api, &retries).await);
    // The wait until the provider has less to do.
    let first = api.submit(json!({"model": "narrow/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    let second = api.submit(json!({"model": "narrow/hang", "prompt": "x"})).await;
    eventually("it is started", PATIENCE, async || {
        (api.poll(&second).await.json()["status"] == "processing").then_some(())
    })
    .await;
    is_requested(&cancel(api, &second).await);
    assert_eq!(journal_of_cancelled(&cluster.ended(&second).await), Value::Null, "it was not called");
    is_requested(&cancel(api, &first).await);
    dropped(&cluster.ended(&first).await);
    let tried = journal_of_cancelled(&cluster.ended(&retries).await);
    assert_eq!(tried.as_array().unwrap().iter().map(|attempt| &attempt["status"]).collect::<Vec<_>>(), [503]);
    // The place at the provider is free again.
    assert_eq!(cluster.run(json!({"model": "narrow/echo", "prompt": "x"})).await["status"], "completed");
    assert_eq!((cluster.calls_of("hang"), cluster.calls_of("retry-after-4")), (1, 1));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_that_drains_still_hears_of_cancels() {
    let mut cluster = without_renewals().set("HERMOD_GRACE_SECONDS", 600).start().await;
    let id = cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    cluster.workers[0].signal(Signal::TERM);
    eventually("it drains", PATIENCE, async || {
        (!cluster.log_of_worker(0).with_message("draining").is_empty()).then_some(())
    })
    .await;
    is_requested(&cancel(&cluster.api, &id).await);
    dropped(&cluster.ended(&id).await);
    assert_eq!(exit_of(&mut cluster.take_worker(0)).await.code(), Some(0), "it had nothing left to wait for");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_cancel_that_was_said_while_the_link_was_down_is_learnt_when_it_is_back() {
    let cluster = without_renewals().proxied().start().await;
    let id = cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    let link = &cluster.worker_links[0];
    link.block(true);
    is_requested(&cancel(&cluster.api, &id).await);
    // What was on its way is lost with the connections.
    link.cut();
    link.block(false);
    dropped(&cluster.ended(&id).await);
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_worker_that_may_not_listen_learns_of_a_cancel_with_its_renewal() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let user = ["SETUSER", "deaf", "on", ">pass", "~*", "resetchannels", "+@all"];
    redis::cmd("ACL").arg(&user).exec(&mut cluster.connect()).unwrap();
    let url = format!("{}?user=deaf&pass=pass", cluster.redis_url());
    let (worker, logs) = cluster.spawn("worker", &[("REDIS_URL", &url)]);
    let id = cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    eventually("it may not listen", PATIENCE, async || {
        (!logs.with_message("Redis does not let us subscribe").is_empty()).then_some(())
    })
    .await;
    is_requested(&cancel(&cluster.api, &id).await);
    dropped(&cluster.ended(&id).await);
    drop(worker);
    cluster.add_worker().await;
    cluster.assert_drained().await;
}

#[tokio::test]
async fn whoever_follows_a_dead_worker_ends_its_cancelled_job_without_a_call() {
    let mut cluster = Cluster::builder().proxied().start().await;
    let body = json!({"model": "demo/fail-503", "fallbacks": ["demo/hang", "demo/echo"], "prompt": "x"});
    let id = cluster.api.submit(body).await;
    cluster.called("hang", 1).await;
    cluster.worker_links[0].block(true);
    is_requested(&cancel(&cluster.api, &id).await);
    drop(cluster.take_worker(0));
    is_requested(&cluster.api.poll(&id).await);
    cluster.add_worker().await;
    let journal = journal_of_cancelled(&cluster.ended(&id).await);
    assert_eq!(journal[0]["target"], "demo/fail-503", "what its record knew: {journal}");
    assert_eq!((cluster.calls_of("hang"), cluster.calls_of("echo")), (1, 0));
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_result_that_comes_after_the_cancel_loses() {
    let cluster = Cluster::builder().proxied().start().await;
    let body = json!({"model": "demo/slow-2s", "prompt": "x".repeat(100_000)});
    let id = cluster.api.submit(body).await;
    cluster.called("slow-2s", 1).await;
    cluster.worker_links[0].block(true);
    is_requested(&cancel(&cluster.api, &id).await);
    // The provider answers meanwhile, and the worker cannot write it.
    lasts(Duration::from_secs(3)).await;
    cluster.worker_links[0].block(false);
    let journal = journal_of_cancelled(&cluster.ended(&id).await);
    assert_eq!((&journal[0]["status"], journal[0].get("may_be_billed")), (&json!(200), None), "{journal}");
    let staged: Vec<String> = cluster.connect().keys("*:outcome:*").unwrap();
    assert!(staged.is_empty(), "nothing is left of the result: {staged:?}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn jobs_of_all_shards_are_cancelled() {
    let cluster =
        without_renewals().servers(Servers::Cluster).set("HERMOD_SHARDS", 6).workers(2).start().await;
    let ids = submit_to_all_shards(&cluster, "demo/hang", 6, 12).await;
    cluster.called("hang", ids.len()).await;
    for id in &ids {
        is_requested(&cancel(&cluster.api, id).await);
    }
    for id in &ids {
        dropped(&cluster.ended(id).await);
    }
    assert_eq!(spread(&ids).len(), 6);
    for id in &ids {
        assert_eq!(delete(&cluster.api, id).await.status, 204);
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_cancel_and_an_end_agree_on_who_came_first() {
    const CLIENTS: usize = 8;
    const JOBS: usize = 40;
    let cluster = Cluster::builder().workers(2).set("HERMOD_CONCURRENCY", 3).start().await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let api = cluster.api.clone();
        clients.spawn(async move {
            let mut said = Vec::new();
            for job in 0..JOBS {
                let id = api.submit(json!({"model": "demo/slow-20ms", "prompt": "x"})).await;
                // Some wait then, some run, some end in this moment, and some have ended.
                lasts(Duration::from_millis(u64::try_from((job * 7 + client * 3) % 80).unwrap())).await;
                let (one, other) = tokio::join!(cancel(&api, &id), cancel(&api, &id));
                said.push((id, [one, other]));
            }
            said
        });
    }
    let said = clients.join_all().await.concat();
    let mut cancelled = 0;
    for (id, answers) in &said {
        let job = cluster.ended(id).await;
        let is_completed = job["status"] == "completed";
        if !is_completed {
            journal_of_cancelled(&job);
            cancelled += 1;
        }
        for answer in answers {
            match answer.status {
                200 => assert_eq!(answer.json(), job),
                202 => assert!(!is_completed, "{id} was to be cancelled: {job}"),
                _ => assert!(is_completed && answer.error(409) == "job has already ended", "{job}"),
            }
        }
    }
    assert!(cancelled > 0 && cancelled < said.len(), "{cancelled} of {} were cancelled", said.len());
    let mut ended = 0.0;
    for worker in 0..2 {
        ended += cluster.worker_metric(worker, "hermod_jobs_ended_total").await;
        assert_eq!(cluster.worker_metric(worker, "hermod_leases_lost_total").await, 0.0);
    }
    let while_waiting = api_metric(&cluster.api, "hermod_jobs_cancelled_total").await;
    assert_eq!(ended + while_waiting, f64::from(u32::try_from(said.len()).unwrap()), "each ended once");
    cluster.assert_drained().await;
}
