//! What a run found out, as it stands in the JSON report.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::load::Outcome;
use super::measure::{Look, ProcessUse};

/// A whole report. CPU is in microseconds, latency in milliseconds, everything else in bytes, jobs and seconds.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) load: Load,
    pub(super) jobs: Jobs,
    pub(super) submit: Phase,
    pub(super) drain: Drain,
    pub(super) poll: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) life: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_per_job: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) open_loop: Option<OpenLoop>,
    pub(super) processes: Vec<Process>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pollers: Option<Pollers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_flight: Option<InFlight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waiting: Option<Waiting>,
}

/// Where it ran.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) version: &'static str,
    pub(super) cores: usize,
    pub(super) cpu: String,
    pub(super) redis: String,
    pub(super) append_only: bool,
}

/// What was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Load {
    pub(super) jobs: u64,
    pub(super) concurrency: usize,
    pub(super) prompt_bytes: usize,
    pub(super) result_bytes: usize,
    pub(super) provider_latency_ms: u64,
    pub(super) workers: usize,
    pub(super) worker_concurrency: usize,
}

/// What became of all jobs of the closed and the open loop.
#[derive(Debug, Default, Serialize)]
pub(super) struct Jobs {
    /// Accepted with 202.
    pub(super) accepted: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    /// Accepted, and neither completed nor failed.
    pub(super) lost: u64,
    /// Received by the provider more than once.
    pub(super) doubled: u64,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
}

impl Latency {
    pub(super) fn of(nanos: &Histogram<u64>) -> Self {
        let millis = |nanos: u64| std::time::Duration::from_nanos(nanos).as_secs_f64() * 1000.0;
        let at = |quantile| millis(nanos.value_at_quantile(quantile));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999), max: millis(nanos.max()) }
    }
}

/// One kind of request, many times.
#[derive(Debug, Serialize)]
pub(super) struct Phase {
    pub(super) requests: u64,
    pub(super) failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_failure: Option<String>,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) latency_ms: Latency,
    pub(super) cost: Cost,
}

impl Phase {
    pub(super) fn new(outcome: &Outcome, before: &Look, after: &Look) -> Self {
        let (answered, seconds) = (outcome.latencies.len(), outcome.elapsed.as_secs_f64());
        Self {
            requests: answered + outcome.failed,
            failed: outcome.failed,
            first_failure: outcome.first_failure.clone(),
            seconds,
            per_second: per(answered, seconds),
            latency_ms: Latency::of(&outcome.latencies),
            cost: Cost::between(before, after, answered),
        }
    }
}

/// What one job, or one request, cost.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cost {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worker_cpu_us: Option<f64>,
    /// The load and the provider, which share the machine with what is measured.
    pub(super) bench_cpu_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redis: Option<RedisCost>,
}

/// The same in Redis.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct RedisCost {
    pub(super) cpu_us: f64,
    /// All that INFO counts, those that scripts call included.
    pub(super) commands: f64,
    /// Reads from sockets: round trips, as far as they did not arrive together.
    pub(super) reads: f64,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
    pub(super) by_command: BTreeMap<String, f64>,
}

impl Cost {
    /// Between two looks, for each of `jobs`.
    pub(super) fn between(before: &Look, after: &Look, jobs: u64) -> Self {
        let cpu = |before: ProcessUse, after: ProcessUse| {
            per(1, float(jobs)) * after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6
        };
        let both = |before: Option<ProcessUse>, after| Some(cpu(before.unwrap_or_default(), after?));
        let redis = before.redis.as_ref().zip(after.redis.as_ref()).map(|(before, after)| {
            let each = |before: u64, after: u64| per(after.saturating_sub(before), float(jobs));
            let by_command = after.by_command.iter().map(|(name, calls)| {
                (name.clone(), each(before.by_command.get(name).copied().unwrap_or_default(), *calls))
            });
            RedisCost {
                cpu_us: per(1, float(jobs)) * after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6,
                commands: each(before.commands, after.commands),
                reads: each(before.reads, after.reads),
                bytes_in: each(before.bytes_in, after.bytes_in),
                bytes_out: each(before.bytes_out, after.bytes_out),
                by_command: by_command.filter(|(_, calls)| *calls >= 0.001).collect(),
            }
        });
        Self {
            api_cpu_us: both(before.api, after.api),
            worker_cpu_us: both(before.workers, after.workers),
            bench_cpu_us: cpu(before.bench, after.bench),
            redis,
        }
    }

    /// Of one thing and then another.
    pub(super) fn plus(&self, other: &Self) -> Self {
        let sum = |one: Option<f64>, other: Option<f64>| Some(one? + other?).or(one).or(other);
        let redis = self.redis.as_ref().zip(other.redis.as_ref()).map(|(one, other)| {
            let mut by_command = one.by_command.clone();
            for (name, calls) in &other.by_command {
                *by_command.entry(name.clone()).or_default() += calls;
            }
            RedisCost {
                cpu_us: one.cpu_us + other.cpu_us,
                commands: one.commands + other.commands,
                reads: one.reads + other.reads,
                bytes_in: one.bytes_in + other.bytes_in,
                bytes_out: one.bytes_out + other.bytes_out,
                by_command,
            }
        });
        Self {
            api_cpu_us: sum(self.api_cpu_us, other.api_cpu_us),
            worker_cpu_us: sum(self.worker_cpu_us, other.worker_cpu_us),
            bench_cpu_us: self.bench_cpu_us + other.bench_cpu_us,
            redis,
        }
    }
}

/// From the first receipt to the last end, or, with a running service, from the first submit.
#[derive(Debug, Serialize)]
pub(super) struct Drain {
    pub(super) jobs: u64,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) cost: Cost,
}

/// Growth of Redis's `used_memory`, for each job.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    pub(super) waiting: f64,
    pub(super) ended: f64,
}

/// Submits at a steady rate, with workers that run them. All times count from when the submit was due.
#[derive(Debug, Serialize)]
pub(super) struct OpenLoop {
    pub(super) rate: u64,
    pub(super) submit: Phase,
    /// To the provider's receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pickup_ms: Option<Latency>,
    /// To the stored result: the record's `completed_at`, whose millisecond counts as over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stored_ms: Option<Latency>,
}

/// A process, over the whole run.
#[derive(Debug, Serialize)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) cpu_seconds: f64,
    pub(super) peak_memory: u64,
}

/// The floor of this machine, and what we need beyond it.
#[derive(Debug, Serialize)]
pub(super) struct Reference {
    /// A bare handler that writes the same record and entry in one round trip.
    pub(super) submit: Phase,
    /// A bare handler with one HMGET.
    pub(super) poll: Phase,
    /// The bare call of the provider.
    pub(super) call: Calls,
    pub(super) ratios: Ratios,
}

/// Bare calls of the provider through reqwest.
#[derive(Debug, Serialize)]
pub(super) struct Calls {
    pub(super) per_second: f64,
    pub(super) cpu_us: f64,
}

impl Calls {
    /// Of these and as many others.
    pub(super) fn mean(&self, other: &Self) -> Self {
        Self {
            per_second: f64::midpoint(self.per_second, other.per_second),
            cpu_us: f64::midpoint(self.cpu_us, other.cpu_us),
        }
    }
}

/// Ours ÷ the floor's.
#[derive(Debug, Serialize)]
pub(super) struct Ratios {
    pub(super) submit_throughput: f64,
    pub(super) poll_throughput: f64,
    pub(super) api_cpu_per_submit: f64,
    pub(super) api_cpu_per_poll: f64,
    pub(super) redis_cpu_per_submit: f64,
    pub(super) worker_cpu_per_job: f64,
}

/// Many clients that poll one job.
#[derive(Debug, Serialize)]
pub(super) struct Pollers {
    pub(super) clients: usize,
    /// Each waits so long between two polls.
    pub(super) pause_ms: u64,
    pub(super) paced: Phase,
    /// Each polls as fast as it is answered.
    pub(super) flat_out: Phase,
}

/// One worker with many jobs in flight.
#[derive(Debug, Serialize)]
pub(super) struct InFlight {
    pub(super) jobs: u64,
    pub(super) memory_per_job: f64,
    pub(super) worker_memory: u64,
    /// Of one core, while all of them wait for the provider.
    pub(super) worker_cpu_percent: f64,
    pub(super) redis_cpu_percent: f64,
}

/// What things cost while many jobs wait.
#[derive(Debug, Serialize)]
pub(super) struct Waiting {
    pub(super) jobs: u64,
    pub(super) memory_per_job: f64,
    pub(super) submit: Phase,
    pub(super) poll: Phase,
    pub(super) drain: Drain,
}

/// `count` ÷ `by`; 0 where there is nothing to divide by.
pub(super) fn per(count: u64, by: f64) -> f64 {
    if by > 0.0 { float(count) / by } else { 0.0 }
}

/// A count as a float; those here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts and bytes of one run are far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
