use askama::Template;
use hermod_queue::{HISTORY_MINUTES, JobFilter, Lane, Minute, Outcome, ServerFigures, WorkerFigures};
use hermod_types::Timestamp;

use super::super::chart::Chart;
use super::super::respond::{Page, UiError};
use super::super::show::{Bar, bytes, count, span};
use super::super::{Rights, Ui};
use super::jobs::JobRow;
use super::page;
use super::summary::Summary;

/// Minutes behind the present one whose mean is shown as the rate.
const RATE_MINUTES: usize = 5;
/// Minutes of one point of the day's line.
const DAY_STEP: usize = 15;
/// Failures that are shown.
const FAILURES: usize = 8;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    summary: Summary,
    may_act: bool,
    figures: Vec<Figure>,
    hour: Chart,
    day: Chart,
    servers: Vec<Server>,
    failures: Vec<JobRow>,
}

/// A number that matters.
struct Figure {
    name: &'static str,
    value: String,
    note: String,
    /// Where there is more of it.
    path: &'static str,
    is_bad: bool,
}

struct Server {
    node: String,
    version: String,
    memory: String,
    bar: Option<Bar>,
    aof: bool,
    is_persisted: bool,
    clients: String,
    ops: String,
}

impl From<ServerFigures> for Server {
    fn from(server: ServerFigures) -> Self {
        let (used, limit) = (server.memory_bytes, server.memory_limit_bytes);
        Self {
            node: server.node,
            version: server.version,
            memory: if limit > 0 {
                format!("{} of {}", bytes(used), bytes(limit))
            } else {
                format!("{}, no limit", bytes(used))
            },
            bar: (limit > 0).then(|| Bar::new(used, limit)),
            aof: server.aof_enabled,
            is_persisted: server.persistence_ok,
            clients: count(server.clients),
            ops: count(server.ops),
        }
    }
}

/// `GET /ui`
///
/// # Errors
/// If Redis does not answer.
pub(in crate::ui) async fn overview(ui: &Ui, rights: Rights) -> Result<Page, UiError> {
    let admin = &ui.admin;
    let summary = Summary::read(ui).await?;
    let deliveries = admin.stats(Lane::Deliveries).await?;
    let minutes = admin.minutes(HISTORY_MINUTES).await?;
    let (oldest, fleet, cooldowns) =
        (admin.oldest_waiting().await?, admin.fleet().await?, admin.cooldowns().await?.len());
    let failed = JobFilter { outcome: Some(Outcome::Failed), ..JobFilter::default() };
    let failures = admin.recent(&failed, FAILURES).await?;
    let rules = ui.governance.rules.current();
    let now = Timestamp::now();

    let hour = minutes.get(minutes.len().saturating_sub(60)..).unwrap_or_default();
    // The present minute has only begun.
    let whole = hour.split_last().map_or(hour, |(_, whole)| whole);
    let latest = whole.get(whole.len().saturating_sub(RATE_MINUTES)..).unwrap_or_default();
    let ended: u64 = latest.iter().map(Minute::ended).sum();
    let failed: u64 = latest.iter().map(|minute| minute.failed).sum();
    let figure = |name, value, note, path, is_bad| Figure { name, value, note, path, is_bad };
    let figures = vec![
        figure(
            "oldest waiting",
            oldest.map_or_else(|| "–".to_owned(), span),
            "in the queue".to_owned(),
            "/ui/jobs?state=waiting",
            false,
        ),
        figure(
            "ended a minute",
            per_minute(ended, latest.len()),
            "mean of 5 min".to_owned(),
            "/ui/jobs?state=ended",
            false,
        ),
        figure(
            "failed a minute",
            per_minute(failed, latest.len()),
            "mean of 5 min".to_owned(),
            "/ui/jobs?state=failed",
            failed > 0,
        ),
        workers(&fleet),
        slots(&fleet),
        figure(
            "cooldowns",
            count(cooldowns as u64),
            "of providers".to_owned(),
            "/ui/providers",
            cooldowns > 0,
        ),
        figure(
            "deliveries",
            count(deliveries.waiting + deliveries.delayed + deliveries.running),
            "of webhooks, open".to_owned(),
            "/ui/webhooks",
            false,
        ),
    ];
    let overview = Overview {
        may_act: rights.may_act,
        figures,
        hour: Chart::new("The last hour", "minute", whole, 1),
        day: Chart::new("The last day", "quarter of an hour", &minutes, DAY_STEP),
        servers: admin.servers().await?.into_iter().map(Server::from).collect(),
        failures: failures.iter().map(|job| JobRow::of(job, &rules, now)).collect(),
        summary,
    };
    page("Overview", &overview)
}

fn per_minute(number: u64, minutes: usize) -> String {
    let tenths = (number * 10).checked_div(minutes as u64).unwrap_or_default();
    if tenths >= 100 || tenths.is_multiple_of(10) {
        count(tenths / 10)
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

fn workers(fleet: &[WorkerFigures]) -> Figure {
    let draining = fleet.iter().filter(|worker| worker.draining).count();
    let note = if draining > 0 { format!("{draining} about to stop") } else { "alive".to_owned() };
    let value = count(fleet.len() as u64);
    Figure { name: "workers", value, note, path: "/ui/workers", is_bad: fleet.is_empty() }
}

fn slots(fleet: &[WorkerFigures]) -> Figure {
    let running: usize = fleet.iter().map(|worker| worker.running).sum();
    let slots: usize = fleet.iter().map(|worker| worker.slots).sum();
    let percent = (running * 100).checked_div(slots).unwrap_or_default();
    Figure {
        name: "slots in use",
        value: format!("{percent} %"),
        note: format!("{} of {}", count(running as u64), count(slots as u64)),
        path: "/ui/workers",
        is_bad: slots > 0 && running >= slots,
    }
}
