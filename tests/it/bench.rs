//! The benchmark: a small run ends, counts every job, and reports what cannot be otherwise. Nothing here is timed.

use hermod_tests::{Cluster, binary, redis_binary};
use serde_json::Value;

struct Ran {
    status: Option<i32>,
    stdout: String,
    stderr: String,
    report: Option<Value>,
}

/// Runs `hermod-bench`, and reads its report.
async fn bench(args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut command = std::process::Command::new(binary("hermod-bench"));
    command.args(args).arg("--json").arg(&file).env("REDIS_SERVER", redis_binary());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let report = std::fs::read(&file).ok().and_then(|json| serde_json::from_slice(&json).ok());
    Ran { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr), report }
}

fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).ok_or_else(|| format!("{path} in {report:#}")).unwrap()
}

#[tokio::test]
async fn a_run_of_its_own_counts_every_job_and_what_it_costs() {
    let args = ["--jobs", "300", "--concurrency", "8", "--rate", "100", "--rate-seconds", "1", "--reference"];
    let more = ["--in-flight", "20", "--in-flight-seconds", "3", "--waiting", "400", "--pollers", "5"];
    let others = ["--low-rate", "20", "--sizes", "20k"];
    let all: Vec<&str> = args.into_iter().chain(more).chain(others).collect();
    let ran = bench(&all).await;
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let report = ran.report.unwrap();

    assert_eq!(
        report["jobs"],
        serde_json::json!({"accepted": 400, "completed": 400, "failed": 0, "lost": 0, "doubled": 0})
    );
    for (path, requests) in [
        ("/submit", 300.0),
        ("/poll", 300.0),
        ("/open_loop/submit", 100.0),
        ("/reference/submit", 300.0),
        ("/reference/poll", 300.0),
        ("/pollers/paced", 200.0),
        ("/waiting/submit", 300.0),
    ] {
        assert_eq!(number(&report, &format!("{path}/requests")), requests, "{path}");
        assert_eq!(number(&report, &format!("{path}/failed")), 0.0, "{path}");
        let at = |quantile: &str| number(&report, &format!("{path}/latency_ms/{quantile}"));
        assert!(at("p50") > 0.0 && at("p50") <= at("p99") && at("p99") <= at("max"), "{path}");
    }
    // A submit and a run need some commands, and a record is no smaller than what it holds.
    let by_command = &report["submit"]["cost"]["redis"]["by_command"];
    // Into the stream, or into a lane.
    let placed = ["xadd", "zadd"].into_iter().filter_map(|command| by_command[command].as_f64()).sum::<f64>();
    assert!(placed >= 1.0, "{by_command}");
    assert!(number(&report, "/life/redis/commands") > 2.0);
    assert!(number(&report, "/life/redis/cpu_us") > 0.0);
    assert!(number(&report, "/life/redis/bytes_in") > 1024.0 * 2.0);
    assert!(number(&report, "/memory_per_job/waiting") > 1024.0);
    assert!(number(&report, "/memory_per_job/ended") > 1024.0);
    // One poll is one HMGET, whoever polls what.
    for path in ["/poll", "/pollers/paced", "/pollers/flat_out"] {
        let hmget = number(&report, &format!("{path}/cost/redis/by_command/hmget"));
        assert!(hmget > 0.0 && hmget <= 1.05, "{path}: {hmget}");
    }
    for figure in ["pickup_ms/p50", "stored_ms/p50"] {
        assert!(number(&report, &format!("/open_loop/{figure}")) > 0.0, "{figure}");
    }
    assert!(number(&report, "/in_flight/worker_memory") > 0.0);
    assert!(number(&report, "/reference/ratios/submit_throughput") > 0.0);
    assert!(number(&report, "/low_rate/polls") >= 1.0);
    assert!(number(&report, "/low_rate/cost/redis/by_command/hmget") >= 1.0);
    assert_eq!((number(&report, "/sizes/0/bytes"), number(&report, "/sizes/0/jobs")), (20_480.0, 300.0));
    let words = ["submits a second", "worker CPU µs a job", "0 lost, 0 doubled", "in flight", "many wait"];
    for word in words.into_iter().chain(["low rate", "20480"]) {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
}

#[tokio::test]
async fn a_running_service_is_loaded_from_outside() {
    let cluster = Cluster::start().await;
    let redis_url = cluster.redis_url();
    let common = ["--url", &cluster.api.url, "--jobs", "200", "--rate", "50", "--rate-seconds", "1"];
    let args: Vec<&str> =
        common.into_iter().chain(["--redis-url", &redis_url, "--model", "demo/echo"]).collect();
    let ran = bench(&args).await;
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let report = ran.report.unwrap();
    assert_eq!(number(&report, "/jobs/completed"), 250.0);
    assert!(number(&report, "/drain/cost/redis/commands") > 1.0);
    assert!(report["submit"]["cost"].get("api_cpu_us").is_none(), "nothing is known of its processes");

    let failing: Vec<&str> = common.into_iter().chain(["--model", "demo/fail-400"]).collect();
    let ran = bench(&failing).await;
    assert_eq!(ran.status, Some(1), "jobs that fail are told by the exit status too");
    let report = ran.report.unwrap();
    // On a machine that is busy with other things a submit may be refused; what was accepted has ended.
    assert_eq!(number(&report, "/jobs/failed"), number(&report, "/jobs/accepted"), "{report:#}");
    assert!(number(&report, "/jobs/failed") > 0.0, "{report:#}");
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_small_fleet_is_watched_idle_with_slow_jobs_and_after_outages() {
    let args = ["--fleet", "3", "--fleet-on", "redis", "--fleet-jobs", "30", "--fleet-seconds", "2"];
    let outage = ["--outage-seconds", "1", "--recovery-seconds", "5"];
    let all: Vec<&str> = args.into_iter().chain(outage).collect();
    let ran = bench(&all).await;
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let report = ran.report.unwrap();
    let on = &report["on"][0];
    assert_eq!((number(on, "/workers"), number(on, "/servers"), number(on, "/shards")), (3.0, 1.0, 1.0));
    assert_eq!((number(on, "/jobs/accepted"), number(on, "/jobs/completed")), (30.0, 30.0));
    for path in ["/one_worker/commands", "/idle/commands", "/loaded/commands", "/job_with_all/commands"] {
        assert!(number(on, path) > 0.0, "{path}: {on:#}");
    }
    let connections = |path: &str| number(on, &format!("/{path}/connections/0"));
    assert!(
        connections("idle") > connections("one_worker") && connections("one_worker") > connections("api")
    );
    for path in ["/idle_outage", "/loaded_outage"] {
        let each_second = on.pointer(&format!("{path}/commands")).and_then(Value::as_array).unwrap();
        assert_eq!((each_second.len(), number(on, &format!("{path}/ready_workers"))), (5, 3.0), "{on:#}");
    }
    for word in ["of each worker", "≤ 3", "one job, all idle", "30 completed", "commands in each second"] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
}

#[tokio::test]
async fn each_kind_of_endpoint_is_measured_against_its_target() {
    let small = ["--endpoints", "--jobs", "20", "--concurrency", "4", "--rounds", "1", "--rate-seconds", "1"];
    let files = ["--files", "3", "--upload-bytes", "200k", "--transcription-bytes", "100k"];
    let before = binary("hermod-bench");
    let others = ["--speech-bytes", "300k", "--before", before.to_str().unwrap()];
    let all: Vec<&str> = small.into_iter().chain(files).chain(others).collect();
    let ran = bench(&all).await;
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let report = ran.report.unwrap();

    let jobs = |name: &str| number(&report, &format!("/jobs/{name}"));
    // Twice each of six kinds; a second of small jobs alone, and one beside uploads; the files; the speeches.
    let known = 2.0 * 6.0 * 20.0 + 200.0 + 2.0 * 200.0 + 2.0 * 3.0 + 21.0;
    assert!(jobs("accepted") > known, "some were uploaded beside the small ones: {report:#}");
    assert_eq!((jobs("completed"), jobs("failed")), (jobs("accepted"), 0.0), "{report:#}");
    assert_eq!((jobs("lost"), jobs("doubled")), (0.0, 0.0));

    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5 + 2 + 4 + 4, "{report:#}");
    for (words, unit) in [
        ("against before: commands", "×"),
        ("chat against a text completion: API", "×"),
        ("over Anthropic", "×"),
        ("over Gemini", "×"),
        ("over Bedrock", "×"),
        ("over Cohere", "×"),
        ("pickup p99", "ms"),
        ("API's memory, 3 uploads", "MiB"),
        ("worker's memory, 3 transcriptions", "MiB"),
        ("CPU of a speech", "×"),
    ] {
        let row = rows.iter().find(|row| row["figure"].as_str().unwrap().contains(words));
        assert!(row.is_some(), "{words}: {report:#}");
        let row = row.unwrap();
        assert_eq!(row["unit"], unit, "{row}");
        // So few jobs may cost less than the kernel counts.
        let is_met = row["measured"].as_f64().is_some_and(|measured| measured <= number(row, "/target"));
        assert_eq!(row["is_met"], is_met, "{row}");
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
    }
    let commands = number(&rows[0], "/measured");
    assert!(commands > 0.5 && commands < 2.0, "the same build, in turns: {commands}");
}

/// The row whose figure holds these words, which the text shows, too.
fn row<'a>(ran: &Ran, report: &'a Value, words: &str) -> &'a Value {
    let rows = report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["figure"].as_str().unwrap().contains(words));
    assert!(row.is_some(), "{words}: {report:#}");
    let row = row.unwrap();
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
    row
}

#[tokio::test]
async fn webhooks_and_waiting_clients_are_measured_against_their_targets() {
    let small = ["--delivery", "--jobs", "30", "--concurrency", "4", "--rounds", "1"];
    let waiting = ["--waiters", "40", "--idle-seconds", "1", "--ends-rate", "20", "--ends-seconds", "1"];
    let before = binary("hermod-bench");
    let others = ["--before", before.to_str().unwrap()];
    let all: Vec<&str> = small.into_iter().chain(waiting).chain(others).collect();
    let ran = bench(&all).await;
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let report = ran.report.as_ref().unwrap();

    // Twice each of four kinds, and three kinds one after another; twice each of three kinds; the waiting.
    let known = 2 * 4 * 30 + 3 * 30 + 2 * 3 * 30 + 2 * 40;
    assert_eq!(
        report["jobs"],
        serde_json::json!({"accepted": known, "completed": known, "failed": 0, "lost": 0, "doubled": 0})
    );
    for words in
        ["against before: commands", "against before: worker CPU", "against before: API CPU of a poll"]
    {
        assert_eq!(row(&ran, report, words)["unit"], "×");
    }
    for name in ["lists", "Idempotency-Key", "x-stainless-retry-count"] {
        for what in ["Redis CPU", "commands", "API CPU of the submit", "memory of Redis"] {
            row(&ran, report, &format!("{name} adds to a job: {what}"));
        }
    }
    for name in ["Idempotency-Key", "x-stainless-retry-count"] {
        let keys = row(&ran, report, &format!("{name} adds to a job: keys"));
        let more = number(keys, "/measured");
        // Some keys are not of jobs, such as those of the history.
        assert!((more - 1.0).abs() < 0.2, "{keys}");
        row(&ran, report, &format!("{name} adds to a submit: round trips"));
    }
    for name in ["a webhook", "a webhook with the result"] {
        row(&ran, report, &format!("{name}: jobs delivered a second"));
        for what in ["Redis CPU", "commands", "round trips", "worker CPU", "API CPU of the submit"] {
            row(&ran, report, &format!("{name} adds to a job: {what}"));
        }
    }
    let got = |name: &str| {
        number(row(&ran, report, &format!("{name} adds to a job: what the receiver gets")), "/measured")
    };
    assert!(
        got("a webhook") > 100.0 && got("a webhook with the result") > got("a webhook") + 1000.0,
        "{report:#}"
    );
    assert_eq!(number(row(&ran, report, "deliveries that came again"), "/measured"), 0.0, "{report:#}");
    for name in ["40 waiting polls", "40 event streams"] {
        for what in
            ["memory of the API", "CPU of the API while", "commands a second more", "p99 of being told"]
        {
            row(&ran, report, &format!("{name}: {what}"));
        }
        let files = row(&ran, report, &format!("{name}: open files of the API"));
        assert!(number(files, "/measured") >= 1.0, "each has a connection: {files}");
        let told = row(&ran, report, &format!("{name}: p99 of being told"));
        assert!(number(told, "/measured") > 0.0, "{told}");
    }
    // So few of anything may cost less than the kernel counts, or than varies.
    for row in report["rows"].as_array().unwrap() {
        let measured = row["measured"].as_f64();
        let is_met =
            row["target"].as_f64().is_none_or(|target| measured.is_some_and(|measured| measured <= target));
        assert_eq!(row["is_met"], is_met, "{row}");
    }
}

#[tokio::test]
async fn what_cannot_be_run_is_said_in_a_sentence() {
    for (args, sentence) in [
        (vec!["--url", "http://127.0.0.1:9"], "nothing listens on 127.0.0.1:9"),
        (vec!["--url", "https://example.com"], "expected http://"),
        (vec!["--concurrency", "0"], "--concurrency: expected at least 1"),
        (vec!["--prompt-bytes", "3"], "--prompt-bytes: expected at least 32"),
        (vec!["--result-bytes", "3"], "--result-bytes: expected at least"),
        (vec!["--model", "openai/gpt"], "without --url the only provider is bench"),
        (vec!["--url", "http://127.0.0.1:9", "--in-flight", "5"], "leave out --url"),
        (vec!["--endpoints", "--before", "/nowhere/bench"], "--before: there is no /nowhere/bench"),
        (vec!["--before", "/nowhere/bench"], "--before: expected beside --endpoints or --delivery"),
        (
            vec!["--fleet", "2", "--worker-concurrency", "10"],
            "2 workers of --worker-concurrency 10 run 20 jobs",
        ),
        (
            vec!["--url", "http://127.0.0.1:9", "--redis-url", "http://:hunter2@x"],
            "--redis-url: expected redis://",
        ),
    ] {
        let ran = bench(&args).await;
        assert_eq!(ran.status, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(sentence), "{}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2") && ran.stderr.trim().lines().count() == 1, "{}", ran.stderr);
    }
}
