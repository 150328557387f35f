//! The processes under load: an API and workers, as `hermod up` starts them.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hermod::process::{Process, Signal};
use serde_json::{Value, json};

use crate::servers::Servers;

/// How long a process may take to say that it works, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a service is set up beyond its provider.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) shards: u16,
    /// Receivers, as they stand in config.json.
    pub(crate) webhooks: Vec<Value>,
    /// What else stands there, by its top-level members; null for nothing.
    pub(crate) more: Value,
    /// Environment variables of its processes.
    pub(crate) environment: &'static [(&'static str, &'static str)],
}

impl Default for Setup {
    fn default() -> Self {
        Self { shards: 1, webhooks: Vec::new(), more: Value::Null, environment: &[] }
    }
}

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
    pub(crate) fn start(
        name: &str,
        args: &[&str],
        environment: &[(&str, &str)],
        quiet: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let (sender, lines) = mpsc::channel();
        let (prefix, quiet) = (name.to_owned(), Arc::clone(quiet));
        let log = move |line: &str| {
            let parsed: Value =
                serde_json::from_str(line).unwrap_or_else(|_| json!({"level": "ERROR", "message": line}));
            if matches!(parsed["level"].as_str(), Some("WARN" | "ERROR")) && !quiet.load(Ordering::Relaxed) {
                // A terminal that cannot be written to is no reason to stop.
                drop(writeln!(std::io::stderr().lock(), "{prefix}| {line}"));
            }
            drop(sender.send(parsed));
        };
        let process = Process::spawn(name, &std::env::current_exe()?, args, environment, log);
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

/// A worker that runs.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) child: Child,
    /// Where its health and metrics are.
    pub(crate) address: String,
}

/// A whole service of the benchmark's own.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) api: Child,
    pub(crate) workers: Vec<Worker>,
    /// Where its API is.
    pub(crate) url: String,
    pub(crate) servers: Servers,
    /// While set, what processes warn of is not passed on: it is known that Redis is away.
    pub(crate) quiet: Arc<AtomicBool>,
    shared: Vec<String>,
    environment: &'static [(&'static str, &'static str)],
}

impl Service {
    /// Starts an API with `provider` as its only provider, in the form of OpenAI and of those with a chat of their own.
    ///
    /// # Errors
    /// One sentence on what does not start.
    pub(crate) fn start(servers: Servers, setup: &Setup, provider: &str) -> anyhow::Result<Self> {
        let config = servers.folder().join("config.json");
        // A retry would hide what went wrong, and a limit would hide what a worker can do.
        let network =
            json!({"base_url": provider, "max_retries": 0, "default_request_timeout_in_seconds": 3600});
        let keyless = json!({"base_provider_type": "openai", "is_key_less": true});
        let plain = json!({"network_config": &network, "keys": [{"value": "hermod-bench"}]});
        // It signs each request, as with most of its users.
        let signing =
            json!({"access_key": "hermod-bench", "secret_key": "hermod-bench", "region": "us-east-1"});
        let providers = json!({
            "bench": {"network_config": &network, "custom_provider_config": keyless},
            "anthropic": &plain,
            "gemini": &plain,
            "bedrock": {"network_config": &network, "keys": [{"bedrock_key_config": signing}]},
            "cohere": &plain,
        });
        let mut content = json!({"providers": providers});
        if !setup.webhooks.is_empty() {
            content["webhooks"] = setup.webhooks.clone().into();
        }
        for (name, member) in setup.more.as_object().into_iter().flatten() {
            content[name] = member.clone();
        }
        fs::write(&config, content.to_string())?;
        let (config, shards) = (config.to_string_lossy().into_owned(), setup.shards.to_string());
        let shared = ["--redis-url", &servers.url, "--config", &config, "--shards", &shards];
        let shared = shared.into_iter().chain(["--accept-no-persistence", "--grace-seconds", "5"]);
        let shared: Vec<String> =
            shared.chain(["--log", "info", "--log-format", "json"]).map(str::to_owned).collect();
        let quiet = Arc::<AtomicBool>::default();
        let args = ["api", "--listen", "127.0.0.1:0", "--queue-limit", "0"];
        let args: Vec<&str> = args.into_iter().chain(shared.iter().map(String::as_str)).collect();
        let api = Child::start("api", &args, setup.environment, &quiet)?;
        let listening = api.wait_for("listening", PATIENCE)?;
        let url =
            format!("http://{}", listening["address"].as_str().context("the API does not say where it is")?);
        let environment = setup.environment;
        Ok(Self { api, workers: Vec::new(), url, servers, quiet, shared, environment })
    }

    /// Starts so many more workers, and waits until they work.
    ///
    /// # Errors
    /// If one does not.
    pub(crate) fn start_workers(&mut self, workers: usize, concurrency: u64) -> anyhow::Result<()> {
        let concurrency = concurrency.to_string();
        let args = ["worker", "--metrics-listen", "127.0.0.1:0", "--concurrency", &concurrency];
        let args: Vec<&str> = args.into_iter().chain(self.shared.iter().map(String::as_str)).collect();
        let first = self.workers.len() + 1;
        let started: Vec<Child> = (first..first + workers)
            .map(|number| Child::start(&format!("worker-{number}"), &args, self.environment, &self.quiet))
            .collect::<anyhow::Result<_>>()?;
        for child in started {
            let working = child.wait_for("working", PATIENCE)?;
            let address =
                working["address"].as_str().context("a worker does not say where it is")?.to_owned();
            self.workers.push(Worker { child, address });
        }
        Ok(())
    }

    /// # Errors
    /// If a worker does not stop.
    pub(crate) fn stop_workers(&mut self) -> anyhow::Result<()> {
        // All at once, and then each is waited for.
        self.workers.iter_mut().for_each(|worker| worker.child.process.signal(Signal::TERM));
        self.workers.drain(..).try_for_each(|worker| worker.child.stop())
    }

    /// Stops all of it.
    ///
    /// # Errors
    /// If something does not stop.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.stop_workers()?;
        self.api.stop()?;
        self.servers.stop()
    }
}
