use std::fmt::Write;
use std::time::Duration;

use hermod_queue::{Admin, Lane, Minute, Stats};
use serde::Serialize;

use super::age;
use crate::table::table;

/// Whole minutes over which rates are taken.
const RATE_MINUTES: u32 = 5;

/// What `hermod queue stats` prints.
#[derive(Serialize)]
pub(super) struct Overview {
    jobs: Counts,
    deliveries: Counts,
    /// Jobs that were given up on, and are kept.
    dead: u64,
    /// Lanes in which jobs wait, and those of them that wait for a limit.
    lanes: u64,
    closed_lanes: u64,
    paused: bool,
    oldest_waiting_seconds: Option<f64>,
    /// Of the last whole minutes.
    each_minute: Rates,
    workers: Vec<WorkerRow>,
}

#[derive(Serialize)]
struct Counts {
    waiting: u64,
    delayed: u64,
    running: u64,
}

/// Jobs a minute.
#[derive(Debug, PartialEq, Serialize)]
struct Rates {
    accepted: f64,
    completed: f64,
    failed: f64,
    cancelled: f64,
}

#[derive(Serialize)]
struct WorkerRow {
    name: String,
    holds: usize,
    idle_seconds: f64,
}

impl Counts {
    const fn of(stats: &Stats) -> Self {
        Self { waiting: stats.waiting, delayed: stats.delayed, running: stats.running }
    }
}

impl Rates {
    /// The means of these minutes, less the present one, which is the last.
    fn of(minutes: &[Minute]) -> Self {
        let whole = minutes.split_last().map_or(&[][..], |(_, whole)| whole);
        let mean = |of: fn(&Minute) -> u64| {
            let sum: u64 = whole.iter().map(of).sum();
            let (sum, minutes) =
                (u32::try_from(sum).unwrap_or(u32::MAX), u32::try_from(whole.len()).unwrap_or(1));
            // To a tenth.
            (10.0 * f64::from(sum) / f64::from(minutes.max(1))).round() / 10.0
        };
        Self {
            accepted: mean(|minute| minute.accepted),
            completed: mean(|minute| minute.completed),
            failed: mean(|minute| minute.failed),
            cancelled: mean(|minute| minute.cancelled),
        }
    }
}

pub(super) async fn read(admin: &Admin) -> anyhow::Result<Overview> {
    let stats = admin.stats(Lane::Jobs).await?;
    let workers = admin.workers().await?.into_iter().map(|worker| WorkerRow {
        name: worker.name,
        holds: worker.holds,
        idle_seconds: worker.idle.as_secs_f64(),
    });
    Ok(Overview {
        jobs: Counts::of(&stats),
        deliveries: Counts::of(&admin.stats(Lane::Deliveries).await?),
        dead: stats.dead,
        lanes: stats.lanes,
        closed_lanes: stats.closed_lanes,
        paused: stats.paused,
        oldest_waiting_seconds: admin.oldest_waiting().await?.map(|age| age.as_secs_f64()),
        each_minute: Rates::of(&admin.minutes(RATE_MINUTES + 1).await?),
        workers: workers.collect(),
    })
}

pub(super) fn text(overview: &Overview) -> String {
    let Overview { jobs, deliveries, dead, lanes, closed_lanes, .. } = overview;
    let mut text = format!(
        "waiting  {}\ndelayed  {}\nrunning  {}\ndead     {dead}\n",
        jobs.waiting, jobs.delayed, jobs.running
    );
    if lanes + closed_lanes > 0 {
        writeln!(text, "lanes    {lanes} open, {closed_lanes} wait for a limit").ok();
    }
    if let Some(seconds) = overview.oldest_waiting_seconds {
        let waited = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        writeln!(text, "oldest   has waited for {}", age(waited)).ok();
    }
    let Rates { accepted, completed, failed, cancelled } = overview.each_minute;
    writeln!(
        text,
        "a minute {accepted} accepted, {completed} completed, {failed} failed, {cancelled} cancelled (mean of the last {RATE_MINUTES})"
    )
    .ok();
    let Counts { waiting, delayed, running } = deliveries;
    if waiting + delayed + running > 0 {
        writeln!(text, "deliveries of webhooks: {waiting} waiting, {delayed} delayed, {running} running")
            .ok();
    }
    if overview.paused {
        text.push_str("paused: no worker claims anything; `hermod queue resume` ends it\n");
    }
    if !overview.workers.is_empty() {
        let mut rows = table(["WORKER", "HOLDS", "LAST HEARD OF"]);
        for worker in &overview.workers {
            let idle = Duration::try_from_secs_f64(worker.idle_seconds).unwrap_or_default();
            rows.add_row([worker.name.clone(), worker.holds.to_string(), format!("{} ago", age(idle))]);
        }
        write!(text, "\n{}", rows.trim_fmt()).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_whole_minutes() {
        let minute = |accepted, failed| Minute { accepted, failed, ..Minute::default() };
        let rates = Rates::of(&[minute(10, 1), minute(11, 0), minute(10, 0), minute(1000, 1000)]);
        assert_eq!(rates, Rates { accepted: 10.3, completed: 0.0, failed: 0.3, cancelled: 0.0 });
        assert_eq!(Rates::of(&[]).accepted, 0.0);
    }
}
