//! The processes under load: a private Redis, an API, and workers, as `hermod up` starts them.

use std::fs;
use std::io::Write;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::options::Options;
use hermod::process::{Process, Signal};
use hermod::redis_server::{self, RedisServer};

/// What Redis is started with; the same as with `hermod up`.
const REDIS_CONF: &str = include_str!("../../../deploy/redis.conf");
/// How long a process may take to say that it works, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// This program again, in another role.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    lines: Receiver<Value>,
}

impl Child {
    /// Starts it. Its lines are JSON; warnings and errors are passed on.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(name: &str, args: &[&str]) -> anyhow::Result<Self> {
        let (sender, lines) = mpsc::channel();
        let prefix = name.to_owned();
        let log = move |line: &str| {
            let parsed: Value =
                serde_json::from_str(line).unwrap_or_else(|_| json!({"level": "ERROR", "message": line}));
            if matches!(parsed["level"].as_str(), Some("WARN" | "ERROR")) {
                // A terminal that cannot be written to is no reason to stop.
                drop(writeln!(std::io::stderr().lock(), "{prefix}| {line}"));
            }
            drop(sender.send(parsed));
        };
        let process = Process::spawn(name, &std::env::current_exe()?, args, &[], log);
        Ok(Self { process: process.with_context(|| format!("cannot start {name}"))?, lines })
    }

    /// Waits for a line with this message.
    ///
    /// # Errors
    /// If it ends first, or does not say it within `patience`.
    pub(crate) fn wait_for(&self, message: &str, patience: Duration) -> anyhow::Result<Value> {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line["message"] == message => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} is not {message} after {patience:?}", self.process.name())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{} ended by itself; its last lines are above", self.process.name())
                }
            }
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// If it does not stop in time.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::TERM);
        self.process.wait(PATIENCE).with_context(|| format!("{} does not stop", self.process.name()))?;
        Ok(())
    }
}

/// A private Redis with nothing in it.
pub(crate) fn start_redis(folder: &TempDir, append_only: bool) -> anyhow::Result<RedisServer> {
    let server = redis_server::find(|text| drop(writeln!(std::io::stderr(), "{text}")))?;
    let conf = folder.path().join("redis.conf");
    fs::write(&conf, REDIS_CONF)?;
    let persistence = ["--appendonly", if append_only { "yes" } else { "no" }];
    RedisServer::start(&server, &folder.path().join("redis"), Some(&conf), &persistence, |_| {})
}

/// A whole service of the bench's own.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its API.
    pub(crate) api: Child,
    /// Its workers, if they run.
    pub(crate) workers: Vec<Child>,
    /// Where its API is.
    pub(crate) url: String,
    /// Where its Redis is.
    pub(crate) redis_url: String,
    shared: Vec<String>,
    redis: RedisServer,
    // Gone last, when nothing writes to it any more.
    _folder: TempDir,
}

impl Service {
    /// Starts Redis and the API, with `provider` as their only provider, and no worker.
    ///
    /// # Errors
    /// One sentence on what does not start.
    pub(crate) fn start(options: &Options, provider: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no folder for Redis")?;
        let redis = start_redis(&folder, options.append_only)?;
        let config = folder.path().join("config.json");
        let bench = json!({
            // A retry would hide what went wrong, and a limit would hide what a worker can do.
            "network_config": {"base_url": provider, "max_retries": 0},
            "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
        });
        fs::write(&config, json!({"providers": {"bench": bench}}).to_string())?;
        let redis_url = redis.url();
        let config = config.to_string_lossy().into_owned();
        let shared = ["--redis-url", &redis_url, "--config", &config, "--accept-no-persistence"];
        let shared =
            shared.into_iter().chain(["--log", "info", "--log-format", "json", "--grace-seconds", "5"]);
        let shared: Vec<String> = shared.map(str::to_owned).collect();
        let api = start("api", &["--listen", "127.0.0.1:0", "--queue-limit", "0"], &shared)?;
        let listening = api.wait_for("listening", PATIENCE)?;
        let url =
            format!("http://{}", listening["address"].as_str().context("the API does not say where it is")?);
        Ok(Self { api, workers: Vec::new(), url, redis_url, shared, redis, _folder: folder })
    }

    /// Starts workers, and waits until they work.
    ///
    /// # Errors
    /// If one does not.
    pub(crate) fn start_workers(&mut self, workers: usize, concurrency: u64) -> anyhow::Result<()> {
        let concurrency = concurrency.to_string();
        let args = ["--metrics-listen", "127.0.0.1:0", "--concurrency", &concurrency];
        for number in 1..=workers {
            self.workers.push(start(&format!("worker-{number}"), &args, &self.shared)?);
        }
        self.workers.iter().try_for_each(|worker| worker.wait_for("working", PATIENCE).map(drop))
    }

    /// Stops the workers.
    ///
    /// # Errors
    /// If one does not stop.
    pub(crate) fn stop_workers(&mut self) -> anyhow::Result<()> {
        self.workers.drain(..).try_for_each(Child::stop)
    }

    /// Stops all of it.
    ///
    /// # Errors
    /// If something does not stop.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.stop_workers()?;
        self.api.stop()?;
        self.redis.process.signal(Signal::TERM);
        self.redis.process.wait(PATIENCE).context("Redis does not stop")?;
        Ok(())
    }
}

fn start(name: &str, args: &[&str], shared: &[String]) -> anyhow::Result<Child> {
    let role = name.split('-').next().unwrap_or(name);
    let args: Vec<&str> =
        [role].into_iter().chain(args.iter().copied()).chain(shared.iter().map(String::as_str)).collect();
    Child::start(name, &args)
}
