//! `hermod up`: all of Hermod on one machine, with nothing configured.

use std::fs;
use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::{Args, value_parser};
use hermod_service::Shutdown;
use serde_json::{Map, Value, json};
use tokio_util::task::TaskTracker;

use crate::client::Healthcheck;
use crate::demo::{self, Demo};
use crate::process::{Process, Signal};
use crate::redis_server::{self, RedisServer};

/// How long the API may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked whether all processes still run.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// What Redis is started with; the same as with docker-compose.
const REDIS_CONF: &str = include_str!("../../../deploy/redis.conf");

/// Who may administer.
enum Administration {
    /// Whoever can read this file.
    SetupToken(PathBuf),
    /// Whom the user has configured.
    Configured,
}

/// `hermod up`
#[derive(Args, Clone, Debug)]
pub struct Up {
    /// Where the API listens.
    #[arg(long, env = "HERMOD_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Worker processes.
    #[arg(long, default_value_t = 2, value_name = "PROCESSES")]
    workers: usize,
    /// Bifrost's config.json; the demo provider is added to it.
    #[arg(long, env = "HERMOD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where Redis keeps its data.
    #[arg(long, default_value = "hermod-data", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// What the processes log: a level, or a filter such as `info,hermod_worker=debug`.
    #[arg(long, env = "HERMOD_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// Time that running jobs have after Ctrl-C; then they wait for the next start.
    #[arg(long, env = "HERMOD_GRACE_SECONDS", default_value_t = 30, value_parser = value_parser!(u64).range(..=86_400), value_name = "SECONDS")]
    grace_seconds: u64,
}

impl Up {
    /// Runs until Ctrl-C.
    ///
    /// # Errors
    /// One sentence on what kept it from starting, or which process ended by itself.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        // On this one thread, with which the kernel ends the children should we be killed.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let tasks = TaskTracker::new();
            let shutdown = Shutdown::on_signals(&tasks)?;
            let outcome = self.up(&shutdown).await;
            shutdown.stop();
            outcome.map(|()| ExitCode::SUCCESS)
        })
    }

    async fn up(&self, shutdown: &Shutdown) -> anyhow::Result<()> {
        drop(TcpListener::bind(self.listen).with_context(|| {
            format!("{} cannot be listened on; choose another address with --listen", self.listen)
        })?);
        ensure!(self.workers > 0, "--workers: expected at least 1");
        let demo_listener = TcpListener::bind("127.0.0.1:0")?;
        demo_listener.set_nonblocking(true)?;
        let demo_address = demo_listener.local_addr()?;
        let (config, opened) = self.write_config(demo_address)?;

        let server = redis_server::find(say)?;
        let redis_conf = self.data_dir.join("redis.conf");
        fs::write(&redis_conf, REDIS_CONF)?;
        let mut redis =
            RedisServer::start(&server, &self.data_dir.join("redis"), Some(&redis_conf), &[], redis_log)?;
        let demo = Demo::default().serve(demo_listener)?;
        let demo_handle = demo.handle();
        let demo_task = tokio::task::LocalSet::new();
        let demo_join = demo_task.spawn_local(demo);

        let run = async {
            let mut api = self.spawn_self("api", &["--listen", &self.listen.to_string()], &redis, &config)?;
            let mut workers = Vec::new();
            for number in 1..=self.workers {
                let name = format!("worker-{number}");
                workers.push(self.spawn_self(
                    &name,
                    &["--metrics-listen", "127.0.0.1:0"],
                    &redis,
                    &config,
                )?);
            }
            let ended = self.watch(&mut api, &mut workers, demo_address, &mut redis, &opened, shutdown).await;
            say("stopping: jobs that run are ended first; Ctrl-C again to release them at once");
            self.stop(&mut api, &mut workers, shutdown).await;
            ended
        };
        let outcome = demo_task.run_until(run).await;
        demo_task.run_until(demo_handle.stop(false)).await;
        drop(demo_task.run_until(demo_join).await);
        stop_redis(redis);
        say("stopped");
        outcome
    }

    /// The user's configuration with the demo provider in it, and with a setup token where it says nothing of administrators.
    fn write_config(&self, demo: SocketAddr) -> anyhow::Result<(PathBuf, Administration)> {
        let mut config = match &self.config {
            Some(path) => {
                let text =
                    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?
            }
            None => usual_config(),
        };
        let root = config.as_object_mut().context("the configuration is not a JSON object")?;
        let providers = root.entry("providers").or_insert_with(|| json!({}));
        let providers = providers.as_object_mut().context("providers is not a JSON object")?;
        let has_demo = providers.contains_key("demo");
        providers.entry("demo").or_insert_with(|| {
            json!({
                "network_config": {
                    "base_url": format!("http://{demo}"),
                    "max_retries": 2,
                    "retry_backoff_initial": 200,
                    "default_request_timeout_in_seconds": 60,
                },
                "keys": [
                    {"name": "first", "value": "first", "weight": 1},
                    {"name": "second", "value": "second", "weight": 1},
                ],
                "custom_provider_config": {"base_provider_type": "openai"},
            })
        });
        if !has_demo {
            add_demo_prices(root)?;
        }
        fs::create_dir_all(&self.data_dir)
            .with_context(|| format!("cannot make {}", self.data_dir.display()))?;
        let administration = if has_administrator(root) {
            Administration::Configured
        } else {
            let file = self.data_dir.join("setup-token");
            root.insert("setup_token".to_owned(), setup_token(&file)?.into());
            Administration::SetupToken(file)
        };
        let path = self.data_dir.join("config.json");
        write_private(&path, &serde_json::to_string_pretty(&config)?)?;
        Ok((path, administration))
    }

    /// Starts this program again in the role that `name` begins with.
    fn spawn_self(
        &self,
        name: &str,
        args: &[&str],
        redis: &RedisServer,
        config: &Path,
    ) -> anyhow::Result<Process> {
        let role = name.split('-').next().unwrap_or(name);
        let (url, config) = (redis.url(), config.to_string_lossy());
        let grace = self.grace_seconds.to_string();
        let shared =
            ["--redis-url", &url, "--config", &config, "--log", &self.log, "--grace-seconds", &grace];
        let prefix = name.to_owned();
        let log = move |line: &str| log_line(&prefix, line);
        let args = [role].into_iter().chain(args.iter().copied()).chain(shared);
        Process::spawn(name, &std::env::current_exe()?, args, &[], log)
            .with_context(|| format!("cannot start {name}"))
    }

    /// Says what runs, and returns at a signal or when a process has ended by itself.
    async fn watch(
        &self,
        api: &mut Process,
        workers: &mut [Process],
        demo: SocketAddr,
        redis: &mut RedisServer,
        administration: &Administration,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let mut announced = false;
        while !shutdown.drain.is_cancelled() {
            let own = [&mut *api, &mut redis.process].into_iter();
            for process in own.chain(workers.iter_mut()) {
                if let Some(status) = process.try_wait()? {
                    bail!("{} ended by itself ({status}); its last lines are above", process.name());
                }
            }
            if !announced {
                let ready = Healthcheck { url: format!("http://{}/readyz", self.listen) }.run().await;
                announced = ready.is_ok_and(|code| code == ExitCode::SUCCESS);
                if announced {
                    self.announce(demo, redis, administration);
                }
                ensure!(
                    announced || Instant::now() < deadline,
                    "the API is not ready after {READY_TIMEOUT:?}"
                );
            }
            shutdown.drain.run_until_cancelled(tokio::time::sleep(WATCH_INTERVAL)).await;
        }
        Ok(())
    }

    fn announce(&self, demo: SocketAddr, redis: &RedisServer, administration: &Administration) {
        let url = format!("http://{}", self.listen);
        say(&format!(
            "
  Hermod is up; Ctrl-C stops all of it.

    API            {url}{}
    workers        {}
    demo provider  http://{demo}   (models: echo, slow-2s, fail-503, flaky-30, hang, …)
    Redis          {}

  Submit a job, and see its result:

    curl -s {url}/v1/async/completions -d '{{\"model\":\"demo/slow-2s\",\"prompt\":\"Hello\"}}'
    curl -s {url}/v1/async/completions/<id>

  A chat, and any other call, in the same way under its own path:

    curl -s {url}/v1/async/chat/completions -d '{{\"model\":\"demo/echo\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'
    curl -s {url}/v1/async/chat/completions/<id>

  Be told of the end of a job, by a webhook:

{}
",
            self.page(administration),
            self.workers,
            redis.url(),
            administration.commands(),
        ));
    }

    /// Where the operator's page is, and what opens it; empty where there is none.
    fn page(&self, administration: &Administration) -> String {
        if std::env::var_os("HERMOD_UI").is_some_and(|ui| ui == "off") {
            return String::new();
        }
        let elsewhere = std::env::var_os("HERMOD_OPS_LISTEN").and_then(|address| address.into_string().ok());
        let address = elsewhere.unwrap_or_else(|| self.listen.to_string());
        let is_local = address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
        let opens = match administration {
            Administration::SetupToken(_) if is_local => String::new(),
            Administration::SetupToken(file) => format!("   (setup token: {})", file.display()),
            Administration::Configured => "   (your login)".to_owned(),
        };
        format!("\n    page           http://{address}/ui{opens}")
    }

    /// Stops the API first, then the workers; a second signal makes the workers release what still runs.
    async fn stop(&self, api: &mut Process, workers: &mut [Process], shutdown: &Shutdown) {
        api.signal(Signal::TERM);
        workers.iter_mut().for_each(|worker| worker.signal(Signal::TERM));
        // The grace time, and what a worker needs to release its jobs and to leave the queue.
        let deadline = Instant::now() + Duration::from_secs(self.grace_seconds + 20);
        let mut hurried = false;
        while Instant::now() < deadline {
            let mut all = std::iter::once(&mut *api).chain(workers.iter_mut());
            if all.all(|process| !matches!(process.try_wait(), Ok(None))) {
                return;
            }
            if shutdown.now.is_cancelled() && !hurried {
                hurried = true;
                api.signal(Signal::TERM);
                workers.iter_mut().for_each(|worker| worker.signal(Signal::TERM));
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
        say("some processes did not stop in time and are killed; their jobs run again at the next start");
    }
}

impl Administration {
    /// What its user types next.
    fn commands(&self) -> String {
        let opens = match self {
            Self::SetupToken(file) => format!("    export HERMOD_SETUP_TOKEN=$(cat '{}')\n", file.display()),
            Self::Configured => String::new(),
        };
        format!("{opens}    hermod webhooks --help")
    }
}

/// Whether a configuration, or the environment, says who administers.
fn has_administrator(config: &Map<String, Value>) -> bool {
    let is_given = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let login = config.get("governance").and_then(|governance| governance.get("auth_config"));
    let login = login.or_else(|| config.get("auth_config"));
    let is_enabled = |login: &Value| login.get("is_enabled") == Some(&Value::Bool(true));
    is_given(config.get("setup_token"))
        || login.is_some_and(is_enabled)
        || std::env::var_os("BIFROST_SETUP_TOKEN").is_some_and(|token| !token.is_empty())
}

/// Its calls cost something, so that budgets can be tried.
fn add_demo_prices(config: &mut Map<String, Value>) -> anyhow::Result<()> {
    let governance = config.entry("governance").or_insert_with(|| json!({}));
    let governance = governance.as_object_mut().context("governance is not a JSON object")?;
    let prices = governance.entry("pricing_overrides").or_insert_with(|| json!([]));
    prices
        .as_array_mut()
        .context("governance.pricing_overrides is not an array")?
        .push(demo::pricing("demo"));
    Ok(())
}

/// What the file holds; a random one where there is none yet.
fn setup_token(file: &Path) -> anyhow::Result<String> {
    let kept = fs::read_to_string(file).unwrap_or_default();
    if !kept.trim().is_empty() {
        return Ok(kept.trim().to_owned());
    }
    let token = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    write_private(file, &token)?;
    Ok(token)
}

/// Writes a file that its user alone can read, as it may hold secrets.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, "").with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(fs::write(path, text)?)
}

/// Redis writes its data on SIGTERM.
fn stop_redis(mut redis: RedisServer) {
    redis.process.signal(Signal::TERM);
    if redis.process.wait(Duration::from_secs(20)).is_none() {
        say("Redis did not stop in time and is killed; its append-only file has what it accepted");
    }
}

/// The configuration of who has none: OpenAI, if its variable is set.
fn usual_config() -> Value {
    let has_key = std::env::var_os("OPENAI_API_KEY").is_some_and(|key| !key.is_empty());
    if has_key {
        json!({"providers": {"openai": {"keys": [{"name": "OPENAI_API_KEY", "value": "env.OPENAI_API_KEY"}]}}})
    } else {
        json!({})
    }
}

/// Redis talks at length; what matters is a warning.
fn redis_log(line: &str) {
    if line.contains(" # ") && !line.contains("overcommit") {
        log_line("redis", line);
    }
}

fn log_line(name: &str, line: &str) {
    let mut terminal = std::io::stderr().lock();
    let dim = if terminal.is_terminal() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    // A terminal that cannot be written to is no reason to stop.
    drop(writeln!(terminal, "{}{name:<9}|{} {line}", dim.0, dim.1));
}

fn say(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}
