//! Load through real API processes and workers, while they, Redis, and the network between them are broken;
//! then the books: was every accepted job ended, once?
//!
//! ```sh
//! cargo run --release -p hermod-tests --bin chaos -- --seed 1 --minutes 2
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers: it prints, and panics when it cannot go on"
)]

mod books;
mod faults;
mod load;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hermod_tests::Cluster;

use crate::faults::Faults;
use crate::load::Load;

/// Breaks Hermod under load, and keeps the books.
#[derive(Parser)]
struct Settings {
    /// Makes the same faults in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// Faults a minute.
    #[arg(long, default_value_t = 50.0)]
    faults_a_minute: f64,
    /// Kinds of faults; all unless told.
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Clients that submit at once.
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// `appendfsync` of Redis.
    #[arg(long, value_enum, default_value_t = Fsync::Always)]
    fsync: Fsync,
}

/// What is done to Hermod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
enum Fault {
    /// Kill a worker, and start another.
    KillWorker,
    /// Kill an API process, and start another.
    KillApi,
    /// Kill Redis, and start it again on what it has written.
    KillRedis,
    /// Freeze a worker past its lease.
    Freeze,
    /// Cut every connection to Redis.
    Cut,
    /// Delay what goes between Redis and everybody.
    Delay,
    /// Lose the scripts.
    FlushScripts,
    /// Lose the consumer group.
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
const WORKERS: usize = 3;
const FRONTS: usize = 2;

fn main() -> ExitCode {
    let settings = Settings::parse();
    // Faults are made on this thread, to which the kernel ties the processes; the load has others.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(settings))
}

async fn run(settings: Settings) -> ExitCode {
    let fsync = if settings.fsync == Fsync::Always { "always" } else { "everysec" };
    let mut cluster = Cluster::builder()
        .workers(WORKERS)
        .fronts(FRONTS)
        .proxied()
        .set("HERMOD_LEASE_SECONDS", LEASE.as_secs())
        // Jobs here lose more workers than in a year of ordinary life.
        .set("HERMOD_MAX_ATTEMPTS", 50)
        .set("HERMOD_CONCURRENCY", 64)
        .redis_options(&["--appendfsync", fsync, "--stream-node-max-entries", "16"])
        .start()
        .await;
    let load = Arc::new(Load::new(cluster.apis.clone()));
    let clients = load.start(settings.clients);
    let mut faults = Faults::new(settings.seed, &settings.faults);
    faults.make(&mut cluster, &load, settings.minutes, settings.faults_a_minute).await;
    load.stop();
    clients.join_all().await;
    println!("load stopped; waiting for all accepted jobs to end");
    let books = books::close(&cluster, &load, &faults).await;
    println!("{books}");
    if books.balance(settings.fsync == Fsync::Always) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
