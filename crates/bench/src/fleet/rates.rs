use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use crate::measure::{Look, RedisUse};
use crate::report::per;

/// What happened a second, from the first of some looks to the last.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rates {
    pub(crate) seconds: f64,
    /// Commands a second on all servers, those inside scripts included, and those of the looks not.
    pub(crate) commands: f64,
    /// The most commands between two looks that followed each other, a second.
    pub(crate) commands_at_most: f64,
    pub(crate) by_command: BTreeMap<String, f64>,
    /// Reads a second from sockets: round trips, as far as they did not arrive together.
    pub(crate) reads: f64,
    /// Percent of a core, of each server.
    pub(crate) redis_cpu_percent: Vec<f64>,
    /// Clients of each server, at the end.
    pub(crate) connections: Vec<u64>,
    /// Percent of a core, of all workers together.
    pub(crate) workers_cpu_percent: f64,
    /// Resident memory of all workers together, in bytes.
    pub(crate) workers_memory: u64,
}

impl Rates {
    /// # Errors
    /// If there are not two looks.
    pub(crate) fn over(looks: &[Look]) -> anyhow::Result<Self> {
        let [before, .., after] = looks else { bail!("there is nothing between less than two looks") };
        let seconds = after.at.saturating_duration_since(before.at).as_secs_f64();
        let (mut total, mut at_most, mut by_command) = (0, 0.0_f64, BTreeMap::<String, u64>::new());
        for (before, after) in looks.iter().zip(looks.iter().skip(1)) {
            let (commands, names) = commands(&before.servers, &after.servers);
            total += commands;
            at_most = at_most.max(per(commands, after.at.saturating_duration_since(before.at).as_secs_f64()));
            for (name, calls) in names {
                *by_command.entry(name).or_default() += calls;
            }
        }
        let percent = |before: Duration, after: Duration| {
            100.0 * after.saturating_sub(before).as_secs_f64() / seconds.max(f64::EPSILON)
        };
        let pairs = before.servers.iter().zip(&after.servers);
        let reads: u64 = pairs.clone().map(|(before, after)| after.reads.saturating_sub(before.reads)).sum();
        let (workers_before, workers) =
            (before.workers.unwrap_or_default(), after.workers.unwrap_or_default());
        Ok(Self {
            seconds,
            commands: per(total, seconds),
            commands_at_most: at_most,
            by_command: by_command.into_iter().map(|(name, calls)| (name, per(calls, seconds))).collect(),
            reads: per(reads, seconds),
            redis_cpu_percent: pairs.map(|(before, after)| percent(before.cpu, after.cpu)).collect(),
            connections: after.servers.iter().map(|server| server.connections).collect(),
            workers_cpu_percent: percent(workers_before.cpu, workers.cpu),
            workers_memory: workers.rss,
        })
    }

    pub(crate) fn all_redis_cpu_percent(&self) -> f64 {
        self.redis_cpu_percent.iter().sum()
    }

    /// Commands a second of these names.
    pub(crate) fn of(&self, names: &[&str]) -> f64 {
        names.iter().filter_map(|name| self.by_command.get(*name)).sum()
    }
}

/// Commands between two looks of the same servers, less the INFO of the second.
pub(crate) fn commands(before: &[RedisUse], after: &[RedisUse]) -> (u64, BTreeMap<String, u64>) {
    let (mut total, mut by_command) = (0, BTreeMap::new());
    for (before, after) in before.iter().zip(after) {
        total += after.commands.saturating_sub(before.commands + 1);
        for (name, calls) in &after.by_command {
            let own = u64::from(name == "info");
            let calls = calls.saturating_sub(before.by_command.get(name).copied().unwrap_or_default() + own);
            if calls > 0 {
                *by_command.entry(name.clone()).or_default() += calls;
            }
        }
    }
    (total, by_command)
}

/// What one job cost Redis, from its submit to its end, beyond what goes on without it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobCost {
    pub(crate) commands: f64,
    pub(crate) by_command: BTreeMap<String, f64>,
    pub(crate) redis_cpu_us: f64,
}

impl JobCost {
    /// From a time with so many jobs and one without.
    pub(crate) fn beyond(calm: &Rates, all: &Rates, jobs: f64) -> Self {
        let each = |rate: f64, calm: f64| ((rate - calm) * all.seconds / jobs).max(0.0);
        let by_command = all.by_command.iter().map(|(name, rate)| {
            (name.clone(), each(*rate, calm.by_command.get(name).copied().unwrap_or_default()))
        });
        Self {
            commands: each(all.commands, calm.commands),
            by_command: by_command.filter(|(_, calls)| *calls >= 0.01).collect(),
            redis_cpu_us: each(all.all_redis_cpu_percent(), calm.all_redis_cpu_percent()) * 1e4,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::measure::ProcessUse;

    fn look(at: Instant, commands: u64, xadd: u64) -> Look {
        let by_command = BTreeMap::from([("xadd".to_owned(), xadd), ("info".to_owned(), 1)]);
        let server = RedisUse {
            commands,
            by_command,
            cpu: Duration::from_millis(commands),
            connections: 7,
            ..RedisUse::default()
        };
        let servers = vec![server.clone(), server];
        Look { at, api: None, workers: None, bench: ProcessUse::default(), redis: None, servers }
    }

    #[test]
    fn rates_leave_out_the_looks() {
        let now = Instant::now();
        let (before, between) = (look(now, 100, 10), look(now + Duration::from_secs(1), 131, 10));
        let after = look(now + Duration::from_secs(10), 302, 60);
        let rates = Rates::over(&[before, between, after]).unwrap();
        assert_eq!((rates.commands, rates.commands_at_most), (40.0, 60.0));
        assert_eq!(rates.of(&["xadd", "get"]), 10.0);
        assert_eq!((rates.connections.as_slice(), rates.by_command.get("info")), (&[7, 7][..], None));
        assert!((rates.all_redis_cpu_percent() - 4.04).abs() < 0.001);
        let calm = Rates { commands: 10.0, ..rates.clone() };
        let job = JobCost::beyond(&calm, &rates, 100.0);
        assert!((job.commands - 3.0).abs() < 0.001, "{job:?}");
    }
}
