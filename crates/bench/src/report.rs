//! What a run found out, as it stands in the JSON report.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::Outcome;
use crate::measure::{Look, ProcessUse};

/// A whole report. CPU is in microseconds, latency in milliseconds, everything else in bytes, jobs and seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) load: Load,
    pub(crate) jobs: Jobs,
    pub(crate) submit: Phase,
    pub(crate) drain: Drain,
    pub(crate) poll: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) life: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_per_job: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) open_loop: Option<OpenLoop>,
    pub(crate) processes: Vec<Process>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pollers: Option<Pollers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_flight: Option<InFlight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<Waiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) low_rate: Option<LowRate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sizes: Vec<Size>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) version: &'static str,
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) redis: String,
    pub(crate) append_only: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) jobs: u64,
    pub(crate) concurrency: usize,
    pub(crate) prompt_bytes: usize,
    pub(crate) result_bytes: usize,
    pub(crate) provider_latency_ms: u64,
    pub(crate) workers: usize,
    pub(crate) worker_concurrency: usize,
}

/// What became of all jobs of the closed and the open loop.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Jobs {
    /// Accepted with 202.
    pub(crate) accepted: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    /// Accepted, and neither completed nor failed.
    pub(crate) lost: u64,
    /// Received by the provider more than once.
    pub(crate) doubled: u64,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

impl Latency {
    pub(crate) fn of(nanos: &Histogram<u64>) -> Self {
        let millis = |nanos: u64| std::time::Duration::from_nanos(nanos).as_secs_f64() * 1000.0;
        let at = |quantile| millis(nanos.value_at_quantile(quantile));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999), max: millis(nanos.max()) }
    }
}

/// One kind of request, many times.
#[derive(Debug, Serialize)]
pub(crate) struct Phase {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_failure: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) latency_ms: Latency,
    pub(crate) cost: Cost,
}

impl Phase {
    pub(crate) fn new(outcome: &Outcome, before: &Look, after: &Look) -> Self {
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
pub(crate) struct Cost {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) worker_cpu_us: Option<f64>,
    /// The load and the provider, which share the machine with what is measured.
    pub(crate) bench_cpu_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<RedisCost>,
}

/// The same in Redis.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RedisCost {
    pub(crate) cpu_us: f64,
    /// All that INFO counts, those that scripts call included.
    pub(crate) commands: f64,
    /// Reads from sockets: round trips, as far as they did not arrive together.
    pub(crate) reads: f64,
    pub(crate) bytes_in: f64,
    pub(crate) bytes_out: f64,
    pub(crate) by_command: BTreeMap<String, f64>,
}

impl Cost {
    /// Between two looks, for each of `jobs`.
    pub(crate) fn between(before: &Look, after: &Look, jobs: u64) -> Self {
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
    pub(crate) fn plus(&self, other: &Self) -> Self {
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
pub(crate) struct Drain {
    pub(crate) jobs: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) cost: Cost,
}

/// Growth of Redis's `used_memory`, for each job.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) waiting: f64,
    pub(crate) ended: f64,
}

/// Submits at a steady rate, with workers that run them. All times count from when the submit was due.
#[derive(Debug, Serialize)]
pub(crate) struct OpenLoop {
    pub(crate) rate: u64,
    pub(crate) submit: Phase,
    /// To the provider's receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pickup_ms: Option<Latency>,
    /// To the stored result: the record's `completed_at`, whose millisecond counts as over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stored_ms: Option<Latency>,
}

/// A process, over the whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_memory: u64,
}

/// The floor of this machine, and what we need beyond it.
#[derive(Debug, Serialize)]
pub(crate) struct Reference {
    /// A bare handler that writes the same record and entry in one round trip.
    pub(crate) submit: Phase,
    /// A bare handler with one HMGET.
    pub(crate) poll: Phase,
    /// The bare call of the provider.
    pub(crate) call: Calls,
    pub(crate) ratios: Ratios,
}

/// Bare calls of the provider through reqwest.
#[derive(Debug, Serialize)]
pub(crate) struct Calls {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
}

impl Calls {
    /// Of these and as many others.
    pub(crate) fn mean(&self, other: &Self) -> Self {
        Self {
            per_second: f64::midpoint(self.per_second, other.per_second),
            cpu_us: f64::midpoint(self.cpu_us, other.cpu_us),
        }
    }
}

/// Ours ÷ the floor's.
#[derive(Debug, Serialize)]
pub(crate) struct Ratios {
    pub(crate) submit_throughput: f64,
    pub(crate) poll_throughput: f64,
    pub(crate) api_cpu_per_submit: f64,
    pub(crate) api_cpu_per_poll: f64,
    pub(crate) redis_cpu_per_submit: f64,
    pub(crate) worker_cpu_per_job: f64,
}

/// Many clients that poll one job.
#[derive(Debug, Serialize)]
pub(crate) struct Pollers {
    pub(crate) clients: usize,
    /// Each waits so long between two polls.
    pub(crate) pause_ms: u64,
    pub(crate) paced: Phase,
    /// Each polls as fast as it is answered.
    pub(crate) flat_out: Phase,
}

/// One worker with many jobs in flight.
#[derive(Debug, Serialize)]
pub(crate) struct InFlight {
    pub(crate) jobs: u64,
    pub(crate) memory_per_job: f64,
    pub(crate) worker_memory: u64,
    /// Of one core, while all of them wait for the provider.
    pub(crate) worker_cpu_percent: f64,
    pub(crate) redis_cpu_percent: f64,
}

/// What things cost while many jobs wait.
#[derive(Debug, Serialize)]
pub(crate) struct Waiting {
    pub(crate) jobs: u64,
    pub(crate) memory_per_job: f64,
    pub(crate) submit: Phase,
    pub(crate) poll: Phase,
    pub(crate) drain: Drain,
}

/// Few jobs a second, each polled until it has ended.
#[derive(Debug, Serialize)]
pub(crate) struct LowRate {
    pub(crate) rate: u64,
    pub(crate) jobs: u64,
    /// For each job.
    pub(crate) polls: f64,
    /// For each job, from its submit to the poll that saw its end.
    pub(crate) cost: Cost,
}

/// Prompts and answers of one size.
#[derive(Debug, Serialize)]
pub(crate) struct Size {
    pub(crate) bytes: usize,
    pub(crate) jobs: u64,
    pub(crate) submits_per_second: f64,
    pub(crate) jobs_per_second: f64,
    pub(crate) polls_per_second: f64,
    pub(crate) api_cpu_us_per_submit: f64,
    pub(crate) worker_cpu_us_per_job: f64,
    /// From the submit to the end.
    pub(crate) redis_cpu_us_per_job: f64,
    pub(crate) api_cpu_us_per_poll: f64,
}

/// `count` ÷ `by`; 0 where there is nothing to divide by.
pub(crate) fn per(count: u64, by: f64) -> f64 {
    if by > 0.0 { float(count) / by } else { 0.0 }
}

/// A count as a float; those here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts and bytes of one run are far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
