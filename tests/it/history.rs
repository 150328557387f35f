//! What operators see of the past, of the fleet and of providers: `Admin`, and `hermod queue` over it.

use std::time::Duration;

use hermod_queue::{Admin, JobFilter, JobsIn, Minute, Outcome, Store};
use hermod_tests::{Cluster, PATIENCE, Servers, Signal, eventually, eventually_ok, exit_of};
use redis::Commands;
use serde_json::{Value, json};

use crate::cancel::cancel;
use crate::operator::queue;
use crate::shards::{all_complete, spread, submit, submit_to_all_shards};

const RECENT: &str = "{hermod:0}:recent";
const ENDS: &str = "{hermod:0}:ends";

fn admin(cluster: &Cluster) -> Admin {
    Admin::new(&Store::new(&cluster.redis_url().parse().unwrap()).unwrap())
}

/// Accepted, completed, failed and cancelled jobs of the last day.
async fn sums(admin: &Admin) -> [u64; 4] {
    let minutes = admin.minutes(1440).await.unwrap();
    assert_eq!(minutes.len(), 1440);
    let sum = |of: fn(&Minute) -> u64| minutes.iter().map(of).sum();
    [sum(|m| m.accepted), sum(|m| m.completed), sum(|m| m.failed), sum(|m| m.cancelled)]
}

/// The ids of jobs that have ended so, the newest first.
async fn recent(admin: &Admin, outcome: Option<Outcome>) -> Vec<String> {
    let filter = JobFilter { outcome, ..JobFilter::default() };
    let jobs = admin.recent(&filter, 1000).await.unwrap();
    jobs.iter().map(|job| job.view.id.to_string()).collect()
}

/// What `hermod queue … --json` prints.
async fn printed(cluster: &Cluster, args: &[&str]) -> Value {
    let (code, text) = queue(cluster, &[args, &["--json"]].concat()).await;
    assert_eq!(code, Some(0), "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn submit_with(cluster: &Cluster, model: &str, header: (&str, &str)) -> String {
    let body = json!({"model": model, "prompt": "x"}).to_string();
    let answer = cluster.api.send(cluster.api.submission(body).header(header.0, header.1)).await;
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn however_a_job_ends_it_is_counted_once() {
    let mut cluster =
        Cluster::builder().set("HERMOD_CONCURRENCY", 1).set("HERMOD_MAX_ATTEMPTS", 1).start().await;
    let admin = admin(&cluster);
    for _ in 0..3 {
        cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    }
    let failed = cluster.run(json!({"model": "demo/fail-400", "prompt": "x"})).await;
    let failed = failed["id"].as_str().unwrap();
    let delayed = submit_with(&cluster, "demo/echo", ("x-hermod-delay", "3600")).await;
    let running = cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    let waiting = cluster.api.submit(json!({"model": "demo/echo", "prompt": "x"})).await;

    for (state, id) in [(JobsIn::Waiting, &waiting), (JobsIn::Running, &running), (JobsIn::Delayed, &delayed)]
    {
        let jobs = admin.jobs_in(state, 10).await.unwrap();
        assert_eq!(jobs.iter().map(|job| job.view.id.to_string()).collect::<Vec<_>>(), [id.as_str()]);
        assert_eq!(jobs[0].worker.is_some() && jobs[0].started.is_some(), state == JobsIn::Running);
        assert_eq!(jobs[0].due.is_some(), state == JobsIn::Delayed);
    }
    assert!(admin.oldest_waiting().await.unwrap().unwrap() > Duration::ZERO);
    let stats = printed(&cluster, &["stats"]).await;
    assert!(stats["oldest_waiting_seconds"].as_f64() > Some(0.0), "{stats}");
    let text = queue(&cluster, &["stats"]).await.1;
    assert!(text.contains("oldest   has waited for") && text.contains("a minute "), "{text}");
    for id in [&waiting, &delayed, &running] {
        cancel(&cluster.api, id).await;
        cluster.ended(id).await;
        // Again, it changes nothing.
        cancel(&cluster.api, id).await;
    }
    assert_eq!(admin.oldest_waiting().await.unwrap(), None);

    // A job that is given up on, and queued again.
    let deadly = cluster.api.submit(json!({"model": "demo/slow-2s", "prompt": "x"})).await;
    cluster.called("slow-2s", 1).await;
    cluster.workers[0].signal(Signal::KILL);
    cluster.add_worker().await;
    cluster.ended(&deadly).await;
    let groups = printed(&cluster, &["dead", "list", "--by-error"]).await;
    assert_eq!((&groups[0]["reason"], &groups[0]["count"]), (&json!("job_attempts_exhausted"), &json!(1)));
    let letters = printed(&cluster, &["dead", "list"]).await;
    assert_eq!((&letters[0]["id"], &letters[0]["model"]), (&json!(deadly), &json!("demo/slow-2s")));
    for (filter, count) in [(["--error", "other"], 0), (["--model", "other"], 0), (["--model", "slow-2s"], 1)]
    {
        let text = queue(&cluster, &[&["dead", "requeue", "--all"][..], &filter].concat()).await;
        assert_eq!(text, (Some(0), format!("{count} queued again\n")));
    }
    assert_eq!(cluster.ended(&deadly).await["status"], "completed");

    assert_eq!(sums(&admin).await, [8, 4, 2, 3]);
    assert_eq!(recent(&admin, None).await.len(), 8, "the one that ended twice is listed once");
    assert_eq!(recent(&admin, Some(Outcome::Failed)).await, [failed]);
    assert_eq!(recent(&admin, Some(Outcome::Cancelled)).await, [&*running, &*delayed, &*waiting]);
    assert_eq!(recent(&admin, Some(Outcome::Completed)).await[0], deadly);
    let rows = printed(&cluster, &["recent", "--status", "cancelled", "--most", "1"]).await;
    assert_eq!(
        (&rows[0]["id"], &rows[0]["status_code"], &rows[0]["model"], &rows[1]),
        (&json!(running), &json!(499), &json!("demo/hang"), &Value::Null)
    );
    for filter in [["--model", "hang"], ["--endpoint", "completions"]] {
        assert!(!printed(&cluster, &[&["recent"][..], &filter].concat()).await[0].is_null(), "{filter:?}");
    }
    for filter in [["--model", "han"], ["--endpoint", "chat/completions"], ["--key", "vk-1"]] {
        assert_eq!(printed(&cluster, &[&["recent"][..], &filter].concat()).await, json!([]), "{filter:?}");
    }
    let (code, text) = queue(&cluster, &["recent", "--status", "done"]).await;
    assert!(code == Some(2) && text.contains("expected completed, failed or cancelled"), "{text}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_that_waited_too_long_is_counted_too() {
    let cluster =
        Cluster::builder().set("HERMOD_CONCURRENCY", 1).set("HERMOD_MAX_WAIT_SECONDS", 1).start().await;
    let admin = admin(&cluster);
    let ids = submit(&cluster, "demo/slow-3s", 1).await;
    cluster.called("slow-3s", 1).await;
    let late = submit(&cluster, "demo/echo", 3).await;
    all_complete(&cluster, &ids).await;
    for id in &late {
        assert_eq!(cluster.ended(id).await["error"]["error"]["code"], "job_deadline_exceeded");
    }
    assert_eq!(sums(&admin).await, [4, 1, 3, 0]);
    assert_eq!(admin.dead_groups().await.unwrap()[0].count, 3);
}

#[tokio::test]
async fn in_a_cluster_all_shards_count_and_killed_workers_change_nothing() {
    let mut cluster =
        Cluster::builder().servers(Servers::Cluster).set("HERMOD_SHARDS", 3).workers(2).start().await;
    let admin = admin(&cluster);
    let mut ids = submit_to_all_shards(&cluster, "demo/slow-500ms", 3, 30).await;
    cluster.workers[0].signal(Signal::KILL);
    cluster.add_worker().await;
    all_complete(&cluster, &ids).await;
    let all = u64::try_from(ids.len()).unwrap();
    assert_eq!(sums(&admin).await, [all, all, 0, 0]);
    let mut listed = recent(&admin, None).await;
    let jobs = admin.recent(&JobFilter::default(), 1000).await.unwrap();
    assert!(jobs.is_sorted_by_key(|job| std::cmp::Reverse(job.view.completed_at)));
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
    assert_eq!(spread(&listed).len(), 3);
    let servers = admin.servers().await.unwrap();
    assert_eq!(servers.len(), 3);
    assert!(servers.iter().all(|server| server.memory_bytes > 0 && server.aof_enabled), "{servers:?}");
    assert!(servers.iter().all(|server| server.persistence_ok && server.clients > 0), "{servers:?}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn the_latest_ends_are_bounded_and_expire() {
    let cluster = Cluster::start().await;
    let (admin, mut redis) = (admin(&cluster), cluster.connect());
    let lines: Vec<String> =
        (0..12_000).map(|number| format!("01a21f9f-f2c6-7649-8d75-{number:012} c 200 1")).collect();
    let _: u64 = redis.rpush(RECENT, lines).unwrap();
    // Ends are counted together, but not only once enough have come.
    let ids = submit(&cluster, "demo/echo", 300).await;
    all_complete(&cluster, &ids).await;
    assert!(redis.llen::<_, u64>(RECENT).unwrap() <= 10_000);
    assert!(redis.llen::<_, u64>(ENDS).unwrap() < 300);
    assert_eq!(sums(&admin).await[..2], [300, 300]);
    assert_eq!(redis.llen::<_, u64>(ENDS).unwrap(), 0, "who reads them counts them");
    let mut listed = recent(&admin, None).await;
    listed.sort();
    let mut ids = ids;
    ids.sort();
    assert_eq!(listed, ids, "what has no record any more is left out");
    for key in redis.keys::<_, Vec<String>>("{hermod:0}:counts:*").unwrap().iter().chain([&RECENT.to_owned()])
    {
        let ttl: i64 = redis.pttl(key).unwrap();
        assert!(ttl > 86_000_000 && ttl <= 90_000_000, "{key} expires in {ttl} ms");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn an_end_and_a_submit_cost_a_command_each() {
    let cluster = Cluster::start().await;
    let mut redis = cluster.connect();
    let run = async |jobs: usize| {
        for _ in 0..jobs {
            cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
        }
    };
    run(1).await;
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut redis).unwrap();
    run(100).await;
    let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut redis).unwrap();
    let calls = |command: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    // Nothing else needs these. A new minute, and counting, cost a few more.
    assert!(calls("lpush") >= 100 && calls("hincrby") >= 100, "{stats}");
    let all = calls("lpush") + calls("hincrby") + calls("lrange") + calls("ltrim");
    assert!(all <= 2 * 100 + 20, "{all} commands: {stats}");
}

#[tokio::test]
async fn what_others_have_written_at_its_keys_fails_no_job() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let (admin, mut redis) = (admin(&cluster), cluster.connect());
    let (seconds, _): (u64, u64) = redis::cmd("TIME").query(&mut redis).unwrap();
    let near = |length: u64| [seconds / length, seconds / length + 1];
    let mut keys: Vec<String> = ["ends", "recent", "workers"].map(str::to_owned).into();
    keys.extend(near(600).map(|period| format!("counts:{period}")));
    keys.extend(near(300).map(|period| format!("calls:{period}")));
    let keys: Vec<String> = keys.iter().map(|name| format!("{{hermod:0}}:{name}")).collect();
    for key in &keys {
        let _: () = redis.set(key, "odd").unwrap();
    }
    cluster.add_worker().await;
    cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    let running = cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    cluster.called("hang", 1).await;
    cancel(&cluster.api, &running).await;
    cluster.ended(&running).await;
    assert_eq!(sums(&admin).await, [0; 4]);
    assert!(recent(&admin, None).await.is_empty());
    assert!(admin.providers(60).await.unwrap().is_empty() && admin.fleet().await.unwrap().is_empty());

    let _: u64 = redis.del(&keys).unwrap();
    cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    assert_eq!(sums(&admin).await, [1, 1, 0, 0]);
    // Whatever Redis has lost, what comes is counted.
    redis::cmd("FLUSHALL").exec(&mut redis).unwrap();
    cluster.run(json!({"model": "demo/echo", "prompt": "x"})).await;
    assert_eq!(sums(&admin).await, [1, 1, 0, 0]);
    eventually("the worker is known again", PATIENCE, async || {
        (admin.fleet().await.unwrap().len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_operator_ends_a_cooldown_for_all_workers() {
    let cluster = Cluster::builder().workers(2).start().await;
    let name = "demo/retry-after-20 -";
    let body = json!({"model": "demo/retry-after-20", "prompt": "x", "fallbacks": ["demo/echo"]});
    let cooling = async |wanted: f64| {
        eventually("all workers know it", PATIENCE, async || {
            for worker in 0..2 {
                if cluster.worker_metric(worker, "hermod_cooldowns").await != wanted {
                    return None;
                }
            }
            Some(())
        })
        .await;
    };
    assert_eq!(queue(&cluster, &["cooldowns"]).await.1, "nothing cools down\n");
    cluster.run(body.clone()).await;
    cooling(1.0).await;
    let calls = cluster.calls_of("retry-after-20");
    let rows = printed(&cluster, &["cooldowns"]).await;
    assert_eq!((&rows[0]["name"], rows[0]["seconds"].as_f64()), (&json!(name), Some(20.0)), "{rows}");
    assert!(queue(&cluster, &["cooldowns"]).await.1.contains(name));

    let (code, text) = queue(&cluster, &["cooldowns", "end", "demo/other", "-"]).await;
    assert!(code == Some(1) && text.contains("nothing called demo/other - cools down"), "{text}");
    assert_eq!(queue(&cluster, &["cooldowns", "end", name]).await.0, Some(0));
    cooling(0.0).await;
    assert_eq!(queue(&cluster, &["cooldowns"]).await.1, "nothing cools down\n");
    cluster.run(body).await;
    assert!(cluster.calls_of("retry-after-20") > calls, "it is tried again");
}

#[tokio::test]
async fn workers_tell_of_themselves_until_they_are_gone() {
    let mut cluster = Cluster::builder().workers(2).set("HERMOD_CONCURRENCY", 3).start().await;
    let admin = admin(&cluster);
    let fleet = async |what: &str, is_so: &dyn Fn(&[hermod_queue::WorkerFigures]) -> bool| {
        eventually_ok(what, PATIENCE, async || {
            let fleet = admin.fleet().await.unwrap();
            if is_so(&fleet) { Ok(fleet) } else { Err(format!("{fleet:?}")) }
        })
        .await
    };
    let all = fleet("both are known", &|fleet| fleet.len() == 2).await;
    for worker in &all {
        assert_eq!((worker.slots, worker.draining), (3, false));
        assert_eq!(worker.version, env!("CARGO_PKG_VERSION"));
        assert!(worker.started_ms > 0 && worker.seen_ms >= worker.started_ms - 60_000, "{worker:?}");
    }
    fleet("one leads", &|fleet| fleet.iter().filter(|worker| worker.leads).count() == 1).await;
    let job = cluster.api.submit(json!({"model": "demo/hang", "prompt": "x"})).await;
    let running =
        |fleet: &[hermod_queue::WorkerFigures]| fleet.iter().map(|worker| worker.running).sum::<usize>();
    let all = fleet("one runs a job", &|fleet| running(fleet) == 1).await;
    let text = queue(&cluster, &["workers"]).await.1;
    assert!(text.contains("1 of 3") && text.contains("0 of 256") && text.contains("leads"), "{text}");

    let busy = all.iter().find(|worker| worker.running == 1).unwrap().name.clone();
    let starts = |index: usize| cluster.log_of_worker(index).with_message("the worker starts")[0].clone();
    let (busy, idle) = if starts(0)["worker"] == busy.as_str() { (0, 1) } else { (1, 0) };
    cluster.workers[busy].signal(Signal::TERM);
    fleet("it drains", &|fleet| fleet.iter().filter(|worker| worker.draining).count() == 1).await;
    assert!(queue(&cluster, &["workers"]).await.1.contains("drains"));
    cancel(&cluster.api, &job).await;
    exit_of(&mut cluster.workers[busy]).await;
    assert_eq!(admin.fleet().await.unwrap().len(), 1, "one that stops is gone at once");
    cluster.workers[idle].signal(Signal::KILL);
    fleet("one that is killed is gone", &|fleet| fleet.is_empty()).await;
    assert!(!cluster.connect().exists::<_, bool>("{hermod:0}:workers").unwrap());
}

#[tokio::test]
async fn calls_to_providers_are_summed_up_over_all_workers() {
    let cluster = Cluster::builder().workers(2).start().await;
    let admin = admin(&cluster);
    let mut ids = submit(&cluster, "demo/slow-400ms", 8).await;
    ids.extend(submit(&cluster, "demo/echo", 4).await);
    all_complete(&cluster, &ids).await;
    for _ in 0..2 {
        cluster.run(json!({"model": "demo/fail-400", "prompt": "x"})).await;
    }
    let figures = eventually_ok("all calls are told", PATIENCE, async || {
        let figures = admin.providers(60).await.unwrap();
        let calls: u64 = figures.iter().map(|of| of.calls).sum();
        if calls == 14 { Ok(figures) } else { Err(format!("{figures:?}")) }
    })
    .await;
    let of = |model: &str| figures.iter().find(|of| of.provider == "demo" && of.model == model).unwrap();
    assert_eq!((of("slow-400ms").calls, of("slow-400ms").errors), (8, 0));
    assert_eq!((of("echo").calls, of("fail-400").calls, of("fail-400").errors), (4, 2, 2));
    let slow = of("slow-400ms");
    assert!(slow.p50_ms >= Some(350) && slow.p50_ms <= slow.p95_ms, "{slow:?}");
    let rows = printed(&cluster, &["providers", "--minutes", "60"]).await;
    assert_eq!(rows.as_array().map(Vec::len), Some(3), "{rows}");
    let text = queue(&cluster, &["providers"]).await.1;
    assert!(text.contains("slow-400ms") && text.contains(" ms"), "{text}");
    cluster.assert_drained().await;
}
