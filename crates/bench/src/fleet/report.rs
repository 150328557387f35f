use serde::Serialize;

use super::outage::Outage;
use super::rates::{JobCost, Rates};
use crate::report::{Jobs, Machine, float, per};
use crate::table::{megabytes, numbers};

/// Commands that look for jobs of dead workers. XCLAIM also renews leases, so it tells something of an idle fleet only.
const SWEEP: [&str; 2] = ["xpending", "xautoclaim"];
const IDLE_SWEEP: [&str; 3] = ["xpending", "xautoclaim", "xclaim"];

/// What a fleet asks of Redis, on several kinds of servers.
#[derive(Debug, Serialize)]
pub(crate) struct Fleet {
    pub(crate) machine: Machine,
    pub(crate) workers: usize,
    pub(crate) slow_jobs: u64,
    pub(crate) outage_seconds: u64,
    pub(crate) on: Vec<OnServers>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OnServers {
    pub(crate) on: String,
    pub(crate) shards: u16,
    pub(crate) servers: usize,
    pub(crate) workers: usize,
    /// With an API process and no worker. All that follows has that process, too.
    pub(crate) api: Rates,
    pub(crate) one_worker: Rates,
    pub(crate) job_with_one: JobCost,
    pub(crate) idle: Rates,
    pub(crate) job_with_all: JobCost,
    pub(crate) idle_outage: Outage,
    pub(crate) loaded: Rates,
    pub(crate) loaded_outage: Outage,
    pub(crate) jobs: Jobs,
}

impl OnServers {
    fn each(&self, all: f64) -> f64 {
        all * per(1, float(u64::try_from(self.workers).unwrap_or(u64::MAX)))
    }

    /// Commands a second of one worker, without those of the API.
    fn idle_commands(&self) -> f64 {
        self.each(self.idle.commands - self.api.commands)
    }

    /// Connections of one worker to the server that has the most, and to all.
    fn connections(&self) -> (f64, f64) {
        let pairs = self.idle.connections.iter().zip(&self.api.connections);
        let of_workers = pairs.map(|(idle, api)| self.each(float(idle.saturating_sub(*api))));
        of_workers.fold((0.0, 0.0), |(most, sum), one| (f64::max(most, one), sum + one))
    }

    fn idle_memory(&self) -> f64 {
        self.each(megabytes(self.idle.workers_memory))
    }
}

/// A row: its name, its target, and its figure.
type Row = (&'static str, &'static str, fn(&OnServers) -> String);

const ROWS: [Row; 23] = [
    ("idle: commands/s", "", |on| format!("{:.0}", on.idle.commands)),
    ("  of the API", "", |on| format!("{:.1}", on.api.commands)),
    ("  of each worker", "≤ 3", |on| format!("{:.2}", on.idle_commands())),
    ("  looking for dead workers' jobs", "≤ 10", |on| format!("{:.1}", on.idle.of(&IDLE_SWEEP))),
    ("idle: Redis, % of a core each", "", |on| percents(&on.idle.redis_cpu_percent)),
    ("idle: all workers, % of a core", "", |on| format!("{:.0}", on.idle.workers_cpu_percent)),
    ("idle: MB of a worker", "", |on| format!("{:.1}", on.idle_memory())),
    ("connections of each server", "", |on| list(&on.idle.connections)),
    ("  of a worker, on one server", "≤ 6", |on| format!("{:.1}", on.connections().0)),
    ("  of a worker, on all servers", "", |on| format!("{:.1}", on.connections().1)),
    ("one job, 1 idle worker: commands", "", |on| format!("{:.1}", on.job_with_one.commands)),
    ("one job, all idle: commands", "the same", |on| format!("{:.1}", on.job_with_all.commands)),
    ("one job, 1 idle worker: Redis µs", "", |on| format!("{:.0}", on.job_with_one.redis_cpu_us)),
    ("one job, all idle: Redis µs", "the same", |on| format!("{:.0}", on.job_with_all.redis_cpu_us)),
    ("slow jobs run: commands/s", "", |on| format!("{:.0}", on.loaded.commands)),
    ("  looking for dead workers' jobs", "≤ 10", |on| format!("{:.1}", on.loaded.of(&SWEEP))),
    ("  Redis, % of a core each", "", |on| percents(&on.loaded.redis_cpu_percent)),
    ("idle: worst second ÷ mean", "", |on| worst(&on.idle)),
    ("idle outage: worst second ÷ calm", "≤ 2", |on| format!("{:.2}", on.idle_outage.worst)),
    ("  all workers ready after, s", "", |on| ready(&on.idle_outage)),
    ("slow jobs run: worst second ÷ mean", "", |on| worst(&on.loaded)),
    ("outage with slow jobs: worst second ÷ calm", "≤ 2", |on| format!("{:.2}", on.loaded_outage.worst)),
    ("  all workers ready after, s", "", |on| ready(&on.loaded_outage)),
];

pub(crate) fn text(fleet: &Fleet) -> String {
    let machine = &fleet.machine;
    let head = format!(
        "hermod {} on {} cores ({}), {}\n{} workers, {} slow jobs; Redis away for {} s",
        machine.version,
        machine.cores,
        machine.cpu,
        machine.redis,
        fleet.workers,
        fleet.slow_jobs,
        fleet.outage_seconds
    );
    let mut rows = columns(fleet, "", Some("target"));
    for (name, target, figure) in ROWS {
        rows.add_row([name.to_owned(), target.to_owned()].into_iter().chain(fleet.on.iter().map(figure)));
    }
    let mut parts = vec![head, rows.trim_fmt()];
    parts.push(by_command(fleet, "idle, a second", |on| &on.idle.by_command));
    parts.push(by_command(fleet, "slow jobs run, a second", |on| &on.loaded.by_command));
    parts.push(by_command(fleet, "one job, all idle", |on| &on.job_with_all.by_command));
    for on in &fleet.on {
        let Jobs { accepted, completed, failed, lost, doubled } = on.jobs;
        parts.push(format!(
            "{}\n  commands in each second after an idle outage (calm: {:.0}): {}\n  \
             after one with slow jobs (calm: {:.0}): {}\n  \
             slow jobs: {accepted} accepted, {completed} completed, {failed} failed, {lost} lost, {doubled} called twice",
            on.on,
            on.idle_outage.calm,
            rounded(&on.idle_outage.commands),
            on.loaded_outage.calm,
            rounded(&on.loaded_outage.commands),
        ));
    }
    parts.join("\n\n")
}

/// A table with a column for each kind of servers.
fn columns(fleet: &Fleet, name: &str, second: Option<&str>) -> comfy_table::Table {
    let header = [name].into_iter().chain(second).chain(fleet.on.iter().map(|on| on.on.as_str()));
    numbers(header)
}

fn by_command(
    fleet: &Fleet,
    name: &str,
    of: fn(&OnServers) -> &std::collections::BTreeMap<String, f64>,
) -> String {
    let mut rows = columns(fleet, name, None);
    let mut names: Vec<&String> = fleet.on.iter().flat_map(|on| of(on).keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let figures = fleet.on.iter().map(|on| of(on).get(name).copied().unwrap_or_default());
        rows.add_row([name.clone()].into_iter().chain(figures.map(|figure| format!("{figure:.2}"))));
    }
    rows.trim_fmt()
}

fn worst(rates: &Rates) -> String {
    format!("{:.2}", if rates.commands > 0.0 { rates.commands_at_most / rates.commands } else { 0.0 })
}

fn ready(outage: &Outage) -> String {
    let not_all = || format!("{} ready", outage.ready_workers);
    outage.all_ready_seconds.map_or_else(not_all, |seconds| format!("{seconds:.1}"))
}

fn percents(of_servers: &[f64]) -> String {
    of_servers.iter().map(|percent| format!("{percent:.1}")).collect::<Vec<_>>().join(" ")
}

fn list(of_servers: &[u64]) -> String {
    of_servers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

fn rounded(figures: &[f64]) -> String {
    figures.iter().map(|figure| format!("{figure:.0}")).collect::<Vec<_>>().join(" ")
}
