//! Load through real API processes and workers, while they, Redis, and the network between them are broken;
//! then the books: was every accepted job ended, once, and was its client told?
//!
//! ```sh
//! cargo run --release -p hermod-tests --bin chaos -- --seed 1 --minutes 2
//! cargo run --release -p hermod-tests --bin chaos -- --seed 1 --minutes 2 --cluster
//! cargo run --release -p hermod-tests --bin chaos -- --seed 1 --minutes 3 --defaults
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers: it prints, and panics when it cannot go on"
)]

mod books;
mod calls;
mod deliveries;
mod drain;
mod events;
mod faults;
mod habits;
mod job;
mod keys;
mod load;
mod receivers;
mod usage;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hermod_tests::{Cluster, Servers};
use serde_json::json;

use crate::faults::Faults;
use crate::load::Load;
use crate::receivers::Receivers;

/// Breaks Hermod under load, and keeps the books.
#[derive(Parser)]
struct Settings {
    /// Makes the same faults in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// Faults a minute: 50, or 4 with --defaults.
    #[arg(long)]
    faults_a_minute: Option<f64>,
    /// Kinds of faults; all unless told, or kill-worker alone with --defaults.
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Clients that submit at once.
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// `appendfsync` of Redis.
    #[arg(long, value_enum, default_value_t = Fsync::Always, conflicts_with = "cluster")]
    fsync: Fsync,
    /// A Redis Cluster of three nodes, with six shards, instead of one server.
    #[arg(long)]
    cluster: bool,
    /// The lease that workers have by default; the books show how soon the jobs of killed workers run again.
    #[arg(long)]
    defaults: bool,
}

/// What is done to Hermod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
enum Fault {
    /// Kill a worker, and start another.
    KillWorker,
    /// Kill an API process, and start another.
    KillApi,
    /// Kill Redis, or a node of the Cluster, and start it again on what it has written.
    KillRedis,
    /// Freeze a worker past its lease.
    Freeze,
    /// Cut one worker off from Redis for longer than its lease; not with --cluster.
    Partition,
    /// Cut every connection to Redis.
    Cut,
    /// Delay what goes between Redis and everybody; in a Cluster, pause a node.
    Delay,
    /// Lose the scripts.
    FlushScripts,
    /// Lose the consumer group of a shard.
    DestroyGroup,
}

/// When Redis forces its append-only file to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fsync {
    /// Before each answer.
    Always,
    /// Each second.
    Everysec,
}

/// Longer than Redis is ever away here, shorter than a freeze.
const LEASE: Duration = Duration::from_secs(5);
/// The default of `HERMOD_LEASE_SECONDS`.
const DEFAULT_LEASE: Duration = Duration::from_secs(10);
const WORKERS: usize = 3;
const API_PROCESSES: usize = 2;
/// In a Cluster.
const SHARDS: u16 = 6;

fn main() -> ExitCode {
    let settings = Settings::parse();
    // Faults are made on this thread, to which the kernel ties the processes; the load has others.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(settings))
}

async fn run(settings: Settings) -> ExitCode {
    let receivers = Receivers::start(settings.seed);
    let mut cluster = builder(&settings, &receivers).start().await;
    let load = Arc::new(Load::new(Arc::clone(&cluster.apis)));
    let clients = load.start(settings.clients);
    let mut faults = Faults::new(&settings);
    let a_minute = settings.faults_a_minute.unwrap_or(if settings.defaults { 4.0 } else { 50.0 });
    faults.make(&mut cluster, &load, settings.minutes, a_minute).await;
    load.stop();
    clients.join_all().await;
    receivers.calm();
    println!("load stopped; waiting for all accepted jobs to end, and to be told of");
    let books = books::close(&cluster, &load, &faults, &receivers).await;
    println!("{books}");
    let faults = books.faults_of(&settings);
    faults.iter().for_each(|fault| println!("FAULT: {fault}"));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn builder(settings: &Settings, receivers: &Receivers) -> hermod_tests::Builder {
    let mut config = json!({"webhooks": receivers.endpoints(), "providers": {
        // The one whose jobs are delayed until a retry.
        "patient": {
            "network_config": {"max_retries": calls::RETRIES_OF_PATIENT},
            "custom_provider_config": {"base_provider_type": "openai", "is_key_less": true},
        },
        // The one to whose form chat is converted.
        "claude": {
            "keys": [{"name": "one", "value": "key"}],
            "custom_provider_config": {"base_provider_type": "anthropic"},
        },
    }});
    keys::configure(&mut config);
    let mut builder = Cluster::builder()
        .workers(WORKERS)
        .apis(API_PROCESSES)
        .numbered_workers()
        .config(config)
        // Jobs here lose more workers than in a year of ordinary life.
        .set("HERMOD_MAX_ATTEMPTS", 50)
        .set("HERMOD_CONCURRENCY", 64);
    builder = if settings.defaults {
        builder.unset("HERMOD_LEASE_SECONDS")
    } else {
        builder.set("HERMOD_LEASE_SECONDS", LEASE.as_secs())
    };
    if settings.cluster {
        return builder.servers(Servers::Cluster).set("HERMOD_SHARDS", SHARDS);
    }
    let fsync = if settings.fsync == Fsync::Always { "always" } else { "everysec" };
    builder.proxied().redis_options(&["--appendfsync", fsync, "--stream-node-max-entries", "16"])
}
