//! What processes and Redis have used, and the difference of two looks at it.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};

/// The longest that Redis may take to tell.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What one process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessUse {
    /// CPU time, of itself and for it in the kernel.
    pub(crate) cpu: Duration,
    /// Memory now, and at most so far, in bytes.
    pub(crate) rss: u64,
    pub(crate) peak_rss: u64,
}

impl ProcessUse {
    /// Asks the kernel, as in proc(5).
    ///
    /// # Errors
    /// If there is no such process, or no /proc.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/stat")).context("a process under measure is gone")?;
        // The name in parentheses may hold anything; after it come state, parent, and so on: utime is the 14th in all.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks =
            |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kibibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
                * 1024
        };
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Self {
            cpu: Duration::from_millis((ticks(11) + ticks(12)) * 1000 / ticks_per_second),
            rss: kibibytes("VmRSS"),
            peak_rss: kibibytes("VmHWM"),
        })
    }
}

/// Files and sockets that a process has open.
///
/// # Errors
/// If there is no such process, or no /proc.
pub(crate) fn open_files(pid: u32) -> anyhow::Result<u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).context("a process under measure is gone")?;
    Ok(u64::try_from(files.count())?)
}

/// What Redis has done so far, as INFO tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisUse {
    pub(crate) cpu: Duration,
    pub(crate) commands: u64,
    /// Reads from sockets: what arrives in one goes as one round trip.
    pub(crate) reads: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) memory: u64,
    pub(crate) peak_memory: u64,
    pub(crate) by_command: BTreeMap<String, u64>,
    pub(crate) server: String,
    pub(crate) append_only: bool,
    pub(crate) connections: u64,
    pub(crate) keys: u64,
}

impl RedisUse {
    /// All servers together.
    pub(crate) fn sum(servers: &[Self]) -> Option<Self> {
        servers.iter().cloned().reduce(|mut sum, server| {
            sum.cpu += server.cpu;
            sum.commands += server.commands;
            sum.reads += server.reads;
            sum.bytes_in += server.bytes_in;
            sum.bytes_out += server.bytes_out;
            sum.memory += server.memory;
            sum.peak_memory += server.peak_memory;
            sum.connections += server.connections;
            sum.keys += server.keys;
            for (name, calls) in server.by_command {
                *sum.by_command.entry(name).or_default() += calls;
            }
            sum
        })
    }
}

/// A connection to each server that only asks how it is. Each look is one command there.
#[derive(Clone)]
pub(crate) struct RedisProbe(Vec<MultiplexedConnection>);

impl RedisProbe {
    /// # Errors
    /// If one of them does not answer.
    pub(crate) async fn connect(urls: &[String]) -> anyhow::Result<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let mut connections = Vec::new();
        for url in urls {
            let client = Client::open(url.as_str()).context("the address of Redis cannot be used")?;
            let connection = client.get_multiplexed_async_connection_with_config(&config).await;
            connections.push(connection.context("Redis does not answer")?);
        }
        Ok(Self(connections))
    }

    /// # Errors
    /// If one of them does not answer.
    pub(crate) async fn look(&self) -> anyhow::Result<Vec<RedisUse>> {
        try_join_all(self.0.clone().into_iter().map(async |mut connection| {
            let text: String =
                redis::cmd("INFO").arg("all").query_async(&mut connection).await.context("INFO failed")?;
            Ok(read_info(&text))
        }))
        .await
    }
}

fn read_info(text: &str) -> RedisUse {
    let fields: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let number =
        |name: &str| fields.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
    let seconds =
        |name: &str| fields.get(name).and_then(|value| value.parse::<f64>().ok()).unwrap_or_default();
    let calls = fields.iter().filter_map(|(name, value)| {
        let calls = value.strip_prefix("calls=")?.split(',').next()?.parse().ok()?;
        Some((name.strip_prefix("cmdstat_")?.to_owned(), calls))
    });
    let keys =
        fields.get("db0").and_then(|value| value.strip_prefix("keys=")?.split(',').next()?.parse().ok());
    let named = |kind: &str, version: &str| fields.get(version).map(|version| format!("{kind} {version}"));
    RedisUse {
        cpu: Duration::from_secs_f64(seconds("used_cpu_user") + seconds("used_cpu_sys")),
        commands: number("total_commands_processed"),
        reads: number("total_reads_processed"),
        bytes_in: number("total_net_input_bytes"),
        bytes_out: number("total_net_output_bytes"),
        memory: number("used_memory"),
        peak_memory: number("used_memory_peak"),
        by_command: calls.collect(),
        // Valkey also says which Redis it is compatible with.
        server: named("Valkey", "valkey_version")
            .or_else(|| named("Redis", "redis_version"))
            .unwrap_or_default(),
        append_only: number("aof_enabled") == 1,
        connections: number("connected_clients"),
        keys: keys.unwrap_or_default(),
    }
}

/// One look at everything.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) at: Instant,
    pub(crate) api: Option<ProcessUse>,
    pub(crate) workers: Option<ProcessUse>,
    pub(crate) bench: ProcessUse,
    /// All servers together; none where no Redis is looked at.
    pub(crate) redis: Option<RedisUse>,
    pub(crate) servers: Vec<RedisUse>,
}

impl Look {
    /// What the API has used; nothing where there is none of our own.
    pub(crate) fn of_api(&self) -> ProcessUse {
        self.api.unwrap_or_default()
    }

    /// The same of the workers.
    pub(crate) fn of_workers(&self) -> ProcessUse {
        self.workers.unwrap_or_default()
    }
}

/// The sum over some processes; none where there are none.
pub(crate) fn sum(pids: impl Iterator<Item = u32>) -> anyhow::Result<Option<ProcessUse>> {
    let mut sum = None;
    for pid in pids {
        let one = ProcessUse::of(pid)?;
        let total: &mut ProcessUse = sum.get_or_insert_default();
        total.cpu += one.cpu;
        total.rss += one.rss;
        total.peak_rss += one.peak_rss;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_something() {
        let mut sum = 0_u64;
        while ProcessUse::of(std::process::id()).unwrap().cpu.is_zero() {
            sum = (0..1_000_000).fold(sum, u64::wrapping_add);
        }
        let used = ProcessUse::of(std::process::id()).unwrap();
        assert!(used.rss > 0 && used.peak_rss >= used.rss, "{used:?} {sum}");
        assert!(ProcessUse::of(u32::MAX).is_err());
    }

    #[test]
    fn info_is_read() {
        let used = read_info(
            "# Server\r\nredis_version:7.0.15\r\nused_cpu_sys:1.5\r\nused_cpu_user:0.25\r\n\
             cmdstat_xadd:calls=7,usec=3,usec_per_call=0.4\r\ntotal_commands_processed:9\r\naof_enabled:1\r\n\
             db0:keys=12,expires=3,avg_ttl=5\r\n",
        );
        assert_eq!((used.server.as_str(), used.commands, used.by_command["xadd"]), ("Redis 7.0.15", 9, 7));
        assert_eq!((used.cpu, used.append_only), (Duration::from_millis(1750), true));
        assert_eq!((used.keys, read_info("").keys), (12, 0));
    }
}
