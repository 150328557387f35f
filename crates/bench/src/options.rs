use std::fmt::{Display, Formatter};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum, value_parser};
use hermod_queue::RedisUrl;
use hermod_types::Shard;

use crate::jobs::SHORTEST_PROMPT;
use crate::provider::SHORTEST_ANSWER;

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
    /// Bytes of what the benchmark's provider answers.
    #[arg(long, default_value_t = 1024, value_name = "BYTES")]
    pub(crate) result_bytes: usize,
    /// How long the benchmark's provider takes to answer.
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

    /// Also: jobs a second that are submitted and polled until they end, and what each of them costs Redis.
    #[arg(long, value_name = "PER_SECOND", value_parser = value_parser!(u64).range(1..=1000), help_heading = "More scenarios")]
    pub(crate) low_rate: Option<u64>,
    /// Also: prompts and answers of these sizes, such as 64k,1m.
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = bytes, help_heading = "More scenarios")]
    pub(crate) sizes: Vec<usize>,

    /// Instead: what each kind of endpoint costs, and whether that is within its target.
    #[arg(long, conflicts_with_all = ["url", "reference", "in_flight", "waiting", "pollers", "low_rate", "sizes", "fleet"], help_heading = "Endpoints")]
    pub(crate) endpoints: bool,
    /// Another build of this program: what a text completion costs with it is what it may cost with this one. With
    /// `--endpoints` or `--delivery`.
    #[arg(long, value_name = "FILE", help_heading = "Endpoints")]
    pub(crate) before: Option<PathBuf>,
    /// Rounds, each with `--jobs` of each kind.
    #[arg(long, value_name = "ROUNDS", default_value_t = 3, value_parser = value_parser!(u64).range(1..=100), help_heading = "Endpoints")]
    pub(crate) rounds: u64,
    /// Files that are uploaded at once, and that are transcribed at once.
    #[arg(long, value_name = "FILES", default_value_t = 20, value_parser = value_parser!(u64).range(1..=1000), help_heading = "Endpoints")]
    pub(crate) files: u64,
    /// Bytes of each file that is uploaded.
    #[arg(long, value_name = "BYTES", default_value = "50m", value_parser = bytes, help_heading = "Endpoints")]
    pub(crate) upload_bytes: usize,
    /// Bytes of each file that is transcribed.
    #[arg(long, value_name = "BYTES", default_value = "25m", value_parser = bytes, help_heading = "Endpoints")]
    pub(crate) transcription_bytes: usize,
    /// Bytes of each speech.
    #[arg(long, value_name = "BYTES", default_value = "10m", value_parser = bytes, help_heading = "Endpoints")]
    pub(crate) speech_bytes: usize,

    /// Instead: what webhooks, waiting clients, lists and keys cost, and whether that is within its target.
    #[arg(long, conflicts_with_all = ["url", "reference", "in_flight", "waiting", "pollers", "low_rate", "sizes", "fleet", "endpoints"], help_heading = "Delivery")]
    pub(crate) delivery: bool,
    /// Which parts of it.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL, value_name = "PARTS", help_heading = "Delivery")]
    pub(crate) parts: Vec<Part>,
    /// Clients that wait for a job each, at once.
    #[arg(long, value_name = "CLIENTS", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..=60_000), help_heading = "Delivery")]
    pub(crate) waiters: u64,
    /// How long these are watched while nothing happens.
    #[arg(long, value_name = "SECONDS", default_value_t = 16, value_parser = value_parser!(u64).range(1..=3600), help_heading = "Delivery")]
    pub(crate) idle_seconds: u64,
    /// Of their jobs, how many end a second, for `--ends-seconds`.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 200, value_parser = value_parser!(u64).range(1..=10_000), help_heading = "Delivery")]
    pub(crate) ends_rate: u64,
    /// How long they end at this rate; those that are left then end at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = value_parser!(u64).range(1..=3600), help_heading = "Delivery")]
    pub(crate) ends_seconds: u64,

    /// Instead: start so many workers on each of `--fleet-on`, and see what they ask of Redis: idle, with slow jobs, and
    /// after Redis was away.
    #[arg(long, value_name = "WORKERS", conflicts_with_all = ["url", "reference", "in_flight", "waiting", "pollers", "low_rate", "sizes"], help_heading = "A fleet of workers")]
    pub(crate) fleet: Option<usize>,
    /// `redis` for one server, `cluster:S` for three nodes of a Cluster with S shards.
    #[arg(
        long,
        value_name = "SERVERS",
        value_delimiter = ',',
        default_value = "redis,cluster:1,cluster:16,cluster:64",
        help_heading = "A fleet of workers"
    )]
    pub(crate) fleet_on: Vec<ServersUnderTest>,
    /// Slow jobs that run at once.
    #[arg(long, value_name = "JOBS", default_value_t = 5000, help_heading = "A fleet of workers")]
    pub(crate) fleet_jobs: u64,
    /// How long the fleet is watched, idle and with slow jobs.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = value_parser!(u64).range(1..=3600), help_heading = "A fleet of workers")]
    pub(crate) fleet_seconds: u64,
    /// How long Redis is away.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = value_parser!(u64).range(1..=3600), help_heading = "A fleet of workers")]
    pub(crate) outage_seconds: u64,
    /// How long the fleet is watched after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = value_parser!(u64).range(1..=3600), help_heading = "A fleet of workers")]
    pub(crate) recovery_seconds: u64,

    /// Instead: what so many limits add to a job: of requests, of tokens, of dollars, and of jobs that run.
    #[arg(long, value_name = "LIMITS", value_parser = value_parser!(u64).range(1..=4), conflicts_with_all = ["url", "reference", "in_flight", "waiting", "pollers", "low_rate", "sizes", "fleet", "endpoints", "delivery"], help_heading = "Limits")]
    pub(crate) limits: Option<u64>,

    /// Instead: what submits and claims cost with many keys, and how many starts come before a key's single job while another key
    /// has a long backlog.
    #[arg(long, conflicts_with_all = ["url", "reference", "in_flight", "waiting", "pollers", "low_rate", "sizes", "fleet", "endpoints", "delivery"], help_heading = "Fairness")]
    pub(crate) fairness: bool,
    /// Jobs in that backlog.
    #[arg(long, value_name = "JOBS", default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1000..=10_000_000), help_heading = "Fairness")]
    pub(crate) fairness_waiting: u64,

    /// Load this API, and start no Redis, API or worker. Its processes cannot be measured then.
    #[arg(long, value_name = "URL", help_heading = "A running service")]
    pub(crate) url: Option<String>,
    /// The Redis of that service, to measure what jobs cost there.
    // An id of its own: `--redis-url` of the subcommands is another option, of another type.
    #[arg(
        id = "redis_of_service",
        long = "redis-url",
        value_name = "URL",
        requires = "url",
        hide_env_values = true,
        help_heading = "A running service"
    )]
    pub(crate) redis_url: Option<String>,
    /// What to ask that service for, as provider/model.
    #[arg(long, default_value = "bench/echo", value_name = "MODEL", help_heading = "A running service")]
    pub(crate) model: String,
    /// Where the benchmark's provider listens; name it in that service's configuration to have pickups measured.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS", help_heading = "A running service")]
    pub(crate) provider_listen: SocketAddr,
}

/// What `--delivery` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Lists, idempotency keys, and the tries of SDKs.
    Submits,
    Webhooks,
    /// Clients that poll with `Prefer: wait`.
    Polls,
    /// Clients that read the events of a job.
    Streams,
}

impl Part {
    const ALL: [Self; 4] = [Self::Submits, Self::Webhooks, Self::Polls, Self::Streams];
}

impl Display for Part {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        // None is hidden.
        self.to_possible_value().map_or(Ok(()), |value| out.write_str(value.get_name()))
    }
}

/// Servers that a fleet is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServersUnderTest {
    /// One server, with one shard.
    Redis,
    /// Three nodes, with so many shards.
    Cluster(u16),
}

impl FromStr for ServersUnderTest {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "redis" {
            return Ok(Self::Redis);
        }
        let shards = text.strip_prefix("cluster:").and_then(|shards| shards.parse().ok());
        let shards = shards.filter(|shards| (1..=Shard::LIMIT).contains(shards));
        shards
            .map(Self::Cluster)
            .context("expected `redis` or `cluster:` and a number of shards, as in cluster:16")
    }
}

impl Display for ServersUnderTest {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redis => out.write_str("one Redis"),
            Self::Cluster(1) => out.write_str("Cluster, 1 shard"),
            Self::Cluster(shards) => write!(out, "Cluster, {shards} shards"),
        }
    }
}

/// Reads `1000`, `64k` or `1m`.
fn bytes(text: &str) -> anyhow::Result<usize> {
    let (digits, unit) = match text.as_bytes() {
        [digits @ .., b'k' | b'K'] => (digits, 1 << 10),
        [digits @ .., b'm' | b'M'] => (digits, 1 << 20),
        digits => (digits, 1),
    };
    let number: Option<usize> = std::str::from_utf8(digits)?.parse().ok();
    number.and_then(|number| number.checked_mul(unit)).context("expected a number of bytes, as in 64k")
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
        let least = SHORTEST_PROMPT.max(SHORTEST_ANSWER);
        ensure!(self.sizes.iter().all(|size| *size >= least), "--sizes: expected at least {least}");
        if let Some(before) = &self.before {
            ensure!(self.endpoints || self.delivery, "--before: expected beside --endpoints or --delivery");
            ensure!(before.is_file(), "--before: there is no {}", before.display());
        }
        if let Some(workers) = self.fleet {
            ensure!(workers > 1, "--fleet: expected at least 2 workers, to compare with one");
            ensure!(self.fleet_jobs > 0, "--fleet-jobs: expected at least 1");
            let room = u64::try_from(workers * self.worker_concurrency)?;
            ensure!(
                self.fleet_jobs <= room,
                "--fleet-jobs: {workers} workers of --worker-concurrency {} run {room} jobs at once",
                self.worker_concurrency
            );
        }
        if self.url.is_some() {
            ensure!(
                self.in_flight.is_none()
                    && self.waiting.is_none()
                    && self.low_rate.is_none()
                    && self.sizes.is_empty(),
                "--in-flight, --waiting, --low-rate and --sizes need workers and a Redis of their own: leave out --url"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_servers_are_read() {
        assert_eq!(
            [bytes("1000").unwrap(), bytes("64k").unwrap(), bytes("1M").unwrap()],
            [1000, 65_536, 1 << 20]
        );
        assert!(bytes("k").is_err() && bytes("").is_err() && bytes("99999999999999999999m").is_err());
        assert_eq!("redis".parse::<ServersUnderTest>().unwrap(), ServersUnderTest::Redis);
        assert_eq!("cluster:16".parse::<ServersUnderTest>().unwrap(), ServersUnderTest::Cluster(16));
        assert!(
            "cluster:0".parse::<ServersUnderTest>().is_err()
                && "redis:2".parse::<ServersUnderTest>().is_err()
        );
    }
}
