use std::time::Duration;

use anyhow::ensure;
use clap::{Args, value_parser};
use hermod_governance::{LiveRules, Prices, Rules};
use hermod_providers::Providers;
use hermod_queue::{Store, WorkerName};
use hermod_service::{
    ConfigSettings, LogSettings, Metrics, RedisSettings, SecretSettings, Shutdown, TraceSettings, Tracing,
    check_file_keys,
};
use hermod_types::{Shard, ShardCount};
use hermod_webhooks::{Sender, Vault};
use tokio_util::task::TaskTracker;

use crate::context::JobLimits;
use crate::deliveries::{DeliverySettings, Recipients};
use crate::server::{Drained, Worker, run};

/// The longest time that can be set, in seconds: 30 days.
const LONGEST: u64 = 30 * 24 * 3600;

/// How a worker process is set up: flags, each with an environment variable.
#[derive(Args, Clone, Debug)]
pub struct WorkerSettings {
    #[command(flatten)]
    redis: RedisSettings,
    #[command(flatten)]
    config: ConfigSettings,
    #[command(flatten)]
    secrets: SecretSettings,
    /// Jobs that it runs at once.
    #[arg(long, env = "HERMOD_CONCURRENCY", default_value_t = 256, value_name = "JOBS")]
    concurrency: usize,
    /// Deliveries of webhooks that it has at once, besides jobs; 0 for none.
    #[arg(long, env = "HERMOD_DELIVERY_CONCURRENCY", default_value_t = 256, value_name = "DELIVERIES")]
    delivery_concurrency: usize,
    /// Shards that it serves until Redis has said how many there are; more than one only in a Cluster.
    #[arg(long, env = "HERMOD_SHARDS", default_value_t = 1, value_parser = value_parser!(u16).range(1..=i64::from(Shard::LIMIT)), value_name = "SHARDS")]
    shards: u16,
    /// Bytes of requests and answers in memory beyond which it claims no more jobs.
    #[arg(long, env = "HERMOD_MAX_MEMORY_BYTES", default_value_t = 1 << 30, value_name = "BYTES")]
    max_memory_bytes: usize,
    /// Time without renewal after which a job is another worker's.
    #[arg(long, env = "HERMOD_LEASE_SECONDS", default_value_t = 10, value_parser = value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    lease_seconds: u64,
    /// Starts of one job before it is given up.
    #[arg(long, env = "HERMOD_MAX_ATTEMPTS", default_value_t = 5, value_name = "STARTS")]
    max_attempts: u64,
    /// The longest that a job may wait in one go; one that waited longer fails.
    #[arg(long, env = "HERMOD_MAX_WAIT_SECONDS", default_value_t = 24 * 3600, value_parser = value_parser!(u64).range(1..=LONGEST), value_name = "SECONDS")]
    max_wait_seconds: u64,
    /// The longest that one start of a job may run, with all its retries and fallbacks.
    #[arg(long, env = "HERMOD_MAX_RUN_SECONDS", default_value_t = 3600, value_parser = value_parser!(u64).range(1..=LONGEST), value_name = "SECONDS")]
    max_run_seconds: u64,
    /// Time that running jobs have after SIGTERM; then they are released.
    #[arg(long, env = "HERMOD_GRACE_SECONDS", default_value_t = 30, value_parser = value_parser!(u64).range(..=LONGEST), value_name = "SECONDS")]
    grace_seconds: u64,
    /// Where its health and metrics are.
    #[arg(long, env = "HERMOD_METRICS_LISTEN", default_value = "0.0.0.0:9091", value_name = "ADDRESS")]
    metrics_listen: String,
    #[command(flatten)]
    trace: TraceSettings,
    #[command(flatten)]
    log: LogSettings,
}

impl WorkerSettings {
    /// Runs a worker process until it is told to stop.
    ///
    /// # Errors
    /// One sentence on what kept it from starting.
    pub fn run(self) -> anyhow::Result<Drained> {
        self.log.init()?;
        ensure!(self.concurrency > 0, "HERMOD_CONCURRENCY: expected at least 1");
        ensure!(self.max_memory_bytes > 0, "HERMOD_MAX_MEMORY_BYTES: expected at least 1");
        ensure!(self.max_attempts > 0, "HERMOD_MAX_ATTEMPTS: expected at least 1");
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let redis = self.redis.url()?;
        let config = self.config.load()?;
        let store = Store::new(&redis)?;
        let shards = ShardCount::new(self.shards).unwrap_or(ShardCount::ONE);
        store.allow(shards)?;
        let name = WorkerName::new(host.trim(), std::process::id());
        let tracing = Tracing::start("hermod-worker", name.as_str(), self.trace)?;
        let deliveries = DeliverySettings {
            concurrency: self.delivery_concurrency,
            recipients: Recipients::new(&config),
            vault: Vault::new(self.secrets.key())?,
            sender: Sender::new()?,
            history: config.webhook_history,
            tracing: tracing.clone(),
        };
        let kinds = config.providers.iter().map(|(name, provider)| (name.clone(), provider.kind));
        let kinds: Vec<_> = kinds.collect();
        let providers = Providers::new(&config)?;
        let rules = LiveRules::new(Rules::new(config.definitions));
        let prices = Prices::new(kinds, rules.clone());
        let worker = Worker {
            name,
            providers,
            rules,
            prices,
            pricing: config.pricing,
            store,
            tolerance: self.redis.tolerance(),
            metrics: Metrics::install()?,
            tracing: tracing.clone(),
            concurrency: self.concurrency,
            memory: self.max_memory_bytes,
            shards,
            lease: Duration::from_secs(self.lease_seconds),
            limits: JobLimits {
                attempts: self.max_attempts,
                wait: Duration::from_secs(self.max_wait_seconds),
                run: Duration::from_secs(self.max_run_seconds),
            },
            deliveries,
            grace: Duration::from_secs(self.grace_seconds),
        };
        let listener = hermod_service::bind(&self.metrics_listen, "HERMOD_METRICS_LISTEN")?;
        tracing::info!(%redis, worker = worker.name.as_str(), "the worker starts");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let grace = worker.grace;
        let outcome = runtime.block_on(async move {
            let tasks = TaskTracker::new();
            let shutdown = Shutdown::on_signals(&tasks)?;
            let rules = worker.rules.current();
            check_file_keys(&worker.store, rules.definitions(), &shutdown).await?;
            let drained = run(worker, listener, shutdown.clone()).await?;
            shutdown.stop();
            Ok(drained)
        });
        tracing.stop(grace);
        outcome
    }
}
