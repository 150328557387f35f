use std::convert::Infallible;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use hermod_queue::{ByteLimit, KnownShards, QueueSettings, Store};
use hermod_service::{ConfigSettings, LogSettings, Metrics, RedisSettings, SecretSettings, Shutdown};
use hermod_types::{Shard, ShardCount, Ttl};
use hermod_webhooks::{Sender, Vault};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::TaskTracker;

use crate::body::BodyLimits;
use crate::server::{ApiServer, Listeners};
use crate::ui::UiSettings;

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// How an API process is set up: flags, each with an environment variable.
#[derive(Args, Clone, Debug)]
pub struct ApiSettings {
    #[command(flatten)]
    redis: RedisSettings,
    #[command(flatten)]
    config: ConfigSettings,
    #[command(flatten)]
    secrets: SecretSettings,
    /// Where to listen.
    #[arg(long, env = "HERMOD_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    listen: String,
    /// Where `/metrics`, `/readyz` and the full `/health` are; they are then nowhere else.
    #[arg(long, env = "HERMOD_OPS_LISTEN", value_name = "ADDRESS")]
    ops_listen: Option<String>,
    /// Waiting jobs beyond which a submit gets 429; 0 for no limit.
    #[arg(long, env = "HERMOD_QUEUE_LIMIT", default_value_t = 1_000_000, value_name = "JOBS")]
    queue_limit: u64,
    /// Bytes of waiting jobs beyond which a submit gets 429; 0 for no limit. Unset: a half of Redis's `maxmemory`.
    #[arg(long, env = "HERMOD_QUEUE_LIMIT_BYTES", value_name = "BYTES")]
    queue_limit_bytes: Option<u64>,
    /// The longest that a result is kept; a client that wants more gets this.
    #[arg(long, env = "HERMOD_MAX_TTL_SECONDS", default_value_t = 30 * 24 * 3600, value_parser = value_parser!(u64).range(1..), value_name = "SECONDS")]
    max_ttl_seconds: u64,
    /// The longest that a job may wait; the same as the workers'. A job whose limits cannot admit it by then is refused.
    #[arg(long, env = "HERMOD_MAX_WAIT_SECONDS", default_value_t = 24 * 3600, value_parser = value_parser!(u64).range(1..=30 * 24 * 3600), value_name = "SECONDS")]
    max_wait_seconds: u64,
    /// Shards that new jobs are spread over; more than one only in a Redis Cluster.
    #[arg(long, env = "HERMOD_SHARDS", default_value_t = 1, value_parser = value_parser!(u16).range(1..=i64::from(Shard::LIMIT)), value_name = "SHARDS")]
    shards: u16,
    /// Whether jobs can be listed.
    #[arg(long, env = "HERMOD_LISTS", value_enum, default_value_t = Switch::On)]
    lists: Switch,
    /// The largest body of a submit to an endpoint for text: completions, embeddings, speech, rerank.
    #[arg(long, env = "HERMOD_MAX_BODY_BYTES", default_value_t = 10 << 20, value_name = "BYTES")]
    max_body_bytes: usize,
    /// The largest body of a submit to the other endpoints, which carry media.
    #[arg(long, env = "HERMOD_MAX_UPLOAD_BYTES", default_value_t = 100 << 20, value_name = "BYTES")]
    max_upload_bytes: usize,
    /// The largest sum of bodies, and of pieces of large results, in memory at one time; beyond it a request gets 429.
    /// An eighth of it is for those of up to 64 KiB. One body of the largest size always fits in.
    #[arg(long, env = "HERMOD_MAX_MEMORY_BYTES", default_value_t = 256 << 20, value_name = "BYTES")]
    max_memory_bytes: usize,
    /// Time that open requests have after SIGTERM.
    #[arg(long, env = "HERMOD_GRACE_SECONDS", default_value_t = 30, value_parser = value_parser!(u64).range(..=86_400), value_name = "SECONDS")]
    grace_seconds: u64,
    /// The longest that a client waits for a Response that it wants at once; then it is answered 202. OpenAI's SDKs wait 600 s.
    #[arg(long, env = "HERMOD_SYNC_SECONDS", default_value_t = 540, value_parser = value_parser!(u64).range(..=86_400), value_name = "SECONDS")]
    sync_seconds: u64,
    /// Opens the administration, `/api`, to requests with this value in header `X-Bifrost-Setup-Token`, while config.json has no
    /// login (`governance.auth_config`). Overrules its `setup_token`.
    #[arg(
        long,
        env = "BIFROST_SETUP_TOKEN",
        hide_env_values = true,
        value_parser = |token: &str| Ok::<_, Infallible>(SecretString::from(token)),
        value_name = "TOKEN"
    )]
    setup_token: Option<SecretString>,
    #[command(flatten)]
    ui: UiSettings,
    #[command(flatten)]
    log: LogSettings,
}

impl ApiSettings {
    /// Runs an API process until it is told to stop.
    ///
    /// # Errors
    /// One sentence on what kept it from starting.
    pub fn run(self) -> anyhow::Result<()> {
        self.log.init()?;
        let redis = self.redis.url()?;
        let shards = ShardCount::new(self.shards).unwrap_or(ShardCount::ONE);
        let store = Store::new(&redis)?;
        store.allow(shards)?;
        let mut config = self.config.load_for_api()?;
        if let Some(token) = self.setup_token.filter(|token| !token.expose_secret().is_empty()) {
            config.setup_token = Some(token);
        }
        let server = ApiServer {
            config,
            limits: BodyLimits { text: self.max_body_bytes, media: self.max_upload_bytes },
            max_memory_bytes: self.max_memory_bytes,
            queue: QueueSettings {
                limit: (self.queue_limit > 0).then_some(self.queue_limit),
                limit_bytes: ByteLimit::default(),
                shards,
                known: KnownShards::default(),
                lists: self.lists == Switch::On,
            },
            queue_limit_bytes: self.queue_limit_bytes,
            max_ttl: Ttl::from_seconds(self.max_ttl_seconds).unwrap_or(Ttl::MAX),
            longest_sync: Duration::from_secs(self.sync_seconds),
            longest_wait: Duration::from_secs(self.max_wait_seconds),
            grace: Duration::from_secs(self.grace_seconds),
            metrics: Metrics::install()?,
            store,
            vault: Vault::new(self.secrets.key())?,
            sender: Sender::new()?,
            tolerance: self.redis.tolerance(),
            ui: self.ui,
        };
        let listeners = Listeners {
            public: hermod_service::bind(&self.listen, "HERMOD_LISTEN")?,
            operators: self
                .ops_listen
                .as_ref()
                .map(|address| hermod_service::bind(address, "HERMOD_OPS_LISTEN"))
                .transpose()?,
        };
        tracing::info!(%redis, "hermod-api starts");
        actix_web::rt::System::new().block_on(async move {
            let tasks = TaskTracker::new();
            let shutdown = Shutdown::on_signals(&tasks)?;
            server.serve(listeners, shutdown.clone()).await?;
            shutdown.stop();
            Ok(())
        })
    }
}
