use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, value_parser};
use hermod_queue::RedisUrl;

use crate::jobs::SHORTEST_PROMPT;
use crate::provider::SHORTEST_ANSWER;

/// The command line.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Jobs to submit, run and poll.
    #[arg(long, default_value_t = 20_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) jobs: u64,
    /// Clients of the closed loop: each sends its next request when it has the answer to the last.
    #[arg(long, default_value_t = 64, value_name = "CLIENTS")]
    pub(crate) concurrency: usize,
    /// Submits a second of the open loop, which does not wait for answers; 0 to leave it out.
    #[arg(long, default_value_t = 500, value_name = "PER_SECOND")]
    pub(crate) rate: u64,
    /// How long the open loop runs.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=3600))]
    pub(crate) rate_seconds: u64,
    /// Bytes of each prompt.
    #[arg(long, default_value_t = 1024, value_name = "BYTES")]
    pub(crate) prompt_bytes: usize,
    /// Bytes of what the bench's provider answers.
    #[arg(long, default_value_t = 1024, value_name = "BYTES")]
    pub(crate) result_bytes: usize,
    /// How long the bench's provider takes to answer.
    #[arg(long, default_value_t = 0, value_name = "MILLISECONDS")]
    pub(crate) latency_ms: u64,
    /// Worker processes.
    #[arg(long, default_value_t = 1, value_name = "PROCESSES")]
    pub(crate) workers: usize,
    /// Jobs that one worker runs at once.
    #[arg(long, default_value_t = 256, value_name = "JOBS")]
    pub(crate) worker_concurrency: usize,
    /// Run the bare handler, the bare poll and the bare provider call beside it, and show each ratio.
    #[arg(long)]
    pub(crate) reference: bool,
    /// Also write the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Start Redis with its append-only file, as `hermod up` does. Without, a disk does not blur what is measured.
    #[arg(long)]
    pub(crate) append_only: bool,

    /// Also: jobs in flight at once in one worker, on a slow provider.
    #[arg(long, value_name = "JOBS", help_heading = "More scenarios")]
    pub(crate) in_flight: Option<u64>,
    /// How long that provider takes; the worker is watched for a third of it, once all jobs are in flight.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = value_parser!(u64).range(3..=3600), help_heading = "More scenarios")]
    pub(crate) in_flight_seconds: u64,
    /// Also: what submit, poll and claim cost while so many jobs wait.
    #[arg(long, value_name = "JOBS", help_heading = "More scenarios")]
    pub(crate) waiting: Option<u64>,
    /// Also: clients that all poll one job.
    #[arg(long, value_name = "CLIENTS", help_heading = "More scenarios")]
    pub(crate) pollers: Option<usize>,

    /// Load this API, and start no Redis, API or worker. Its processes cannot be measured then.
    #[arg(long, value_name = "URL", help_heading = "A running service")]
    pub(crate) url: Option<String>,
    /// The Redis of that service, to measure what jobs cost there.
    #[arg(
        long,
        value_name = "URL",
        requires = "url",
        hide_env_values = true,
        help_heading = "A running service"
    )]
    pub(crate) redis_url: Option<String>,
    /// What to ask that service for, as provider/model.
    #[arg(long, default_value = "bench/echo", value_name = "MODEL", help_heading = "A running service")]
    pub(crate) model: String,
    /// Where the bench's provider listens; name it in that service's configuration to have pickups measured.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS", help_heading = "A running service")]
    pub(crate) provider_listen: SocketAddr,
}

impl Options {
    /// Refuses what could not be run.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.concurrency > 0, "--concurrency: expected at least 1");
        ensure!(self.workers > 0, "--workers: expected at least 1");
        ensure!(self.worker_concurrency > 0, "--worker-concurrency: expected at least 1");
        ensure!(self.in_flight != Some(0), "--in-flight: expected at least 1");
        ensure!(self.pollers != Some(0), "--pollers: expected at least 1");
        ensure!(
            self.prompt_bytes >= SHORTEST_PROMPT,
            "--prompt-bytes: expected at least {SHORTEST_PROMPT}, for the number that tells jobs apart"
        );
        ensure!(
            self.result_bytes >= SHORTEST_ANSWER,
            "--result-bytes: expected at least {SHORTEST_ANSWER}, for what is around the text"
        );
        if self.url.is_some() {
            ensure!(
                self.in_flight.is_none() && self.waiting.is_none(),
                "--in-flight and --waiting need workers and a Redis of their own: leave out --url"
            );
        } else {
            ensure!(
                self.model.starts_with("bench/"),
                "--model: without --url the only provider is bench, as in bench/echo"
            );
        }
        if let Some(url) = &self.redis_url {
            url.parse::<RedisUrl>().map_err(|error| anyhow::anyhow!("--redis-url: {error}"))?;
        }
        Ok(())
    }
}
