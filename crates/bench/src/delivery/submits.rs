//! What lists, idempotency keys, and the tries that SDKs count add to a job.

use std::cell::Cell;
use std::time::Duration;

use super::{LISTS_OFF, added};
use crate::WARM_UP;
use crate::exchanges::Submits;
use crate::jobs::Says;
use crate::load::Closed;
use crate::measure::Look;
use crate::options::Options;
use crate::phases::{count, drain, memory_per_job};
use crate::progress::progress;
use crate::report::{Cost, Jobs, Phase, float, per};
use crate::rows::Row;
use crate::run::Run;
use crate::service::Setup;

const LISTS_CPU_TARGET: f64 = 5.0;
const LISTS_COMMANDS_TARGET: f64 = 2.0;
/// What is remembered of a submit that may be repeated: one, but for what comes and goes by itself.
const KEYS_TARGET: f64 = 1.01;
/// None at all; but the API asks for other things meanwhile.
const ROUND_TRIPS_TARGET: f64 = 0.05;
/// Submits one after another.
const SINGLE: u64 = 1000;
/// Those of the service with lists.
const KINDS: u64 = 3;

/// Of one job, from its submit to its end.
#[derive(Default)]
struct Costs {
    /// In microseconds.
    redis: Vec<f64>,
    commands: Vec<f64>,
    /// Of its submit, in microseconds.
    api: Vec<f64>,
    /// Keys and bytes that stay in Redis after its end.
    keys: Vec<f64>,
    bytes: Vec<f64>,
}

/// How many jobs one of the services needs.
pub(super) fn jobs(options: &Options) -> u64 {
    KINDS * ((options.rounds + 1) * options.jobs.max(WARM_UP) + SINGLE)
}

pub(super) async fn measure(options: &Options, counted: &mut Jobs) -> anyhow::Result<(Vec<Row>, Look)> {
    let mut unlisted = Run::with(options, &Setup { environment: &[LISTS_OFF], ..Setup::default() }).await?;
    let mut listed = Run::start(options).await?;
    let [mut without, mut plain, mut keyed, mut tried]: [Costs; 4] = Default::default();
    for round in 0..=options.rounds {
        // The first warms up.
        let jobs = if round == 0 { options.jobs.min(WARM_UP) } else { options.jobs };
        let mut unused: [Costs; 4] = Default::default();
        let [a, b, c, d] = &mut unused;
        let into = if round == 0 { [a, b, c, d] } else { [&mut without, &mut plain, &mut keyed, &mut tried] };
        let [without, plain, keyed, tried] = into;
        one(&mut unlisted, "without lists", &Says::Nothing, jobs, without, counted).await?;
        one(&mut listed, "with lists", &Says::Nothing, jobs, plain, counted).await?;
        one(&mut listed, "with a key", &Says::Key, jobs, keyed, counted).await?;
        one(&mut listed, "of an SDK", &Says::FirstTry, jobs, tried, counted).await?;
    }
    let single = options.jobs.min(SINGLE);
    let mut reads = Vec::new();
    for says in [Says::Nothing, Says::Key, Says::FirstTry] {
        reads.push(round_trips(&mut listed, &says, single, counted).await?);
    }
    let look = listed.look().await?;
    unlisted.stop_and_count(counted).await?;
    listed.stop_and_count(counted).await?;

    let mut all = rows("lists", &plain, &without, Some(LISTS_CPU_TARGET), Some(LISTS_COMMANDS_TARGET));
    let [plain_reads, others @ ..] = reads.as_slice() else { return Ok((all, look)) };
    let kinds = [("Idempotency-Key", &keyed), ("x-stainless-retry-count", &tried)];
    for ((name, costs), reads) in kinds.into_iter().zip(others) {
        all.extend(rows(name, costs, &plain, None, None));
        let detail = format!("{:.3?}, without {:.3?}", costs.keys, plain.keys);
        let keys = added(&costs.keys, &plain.keys);
        all.push(Row::new(format!("{name} adds to a job: keys"), keys, KEYS_TARGET, "", detail));
        let detail = format!("{reads:.3} with, {plain_reads:.3} without, of {single} one after another");
        let trips = reads - plain_reads;
        let figure = format!("{name} adds to a submit: round trips");
        all.push(Row::new(figure, trips, ROUND_TRIPS_TARGET, "", detail));
    }
    Ok((all, look))
}

/// What `with` adds to `without`.
fn rows(
    name: &str,
    with: &Costs,
    without: &Costs,
    cpu_target: Option<f64>,
    commands_target: Option<f64>,
) -> Vec<Row> {
    let row = |what: &str, of: fn(&Costs) -> &Vec<f64>, target: Option<f64>, unit| {
        let detail = format!("{:.2?}, without {:.2?}", of(with), of(without));
        Row::new(format!("{name} adds to a job: {what}"), added(of(with), of(without)), target, unit, detail)
    };
    vec![
        row("Redis CPU", |costs| &costs.redis, cpu_target, "µs"),
        row("commands", |costs| &costs.commands, commands_target, ""),
        row("API CPU of the submit", |costs| &costs.api, None, "µs"),
        row("memory of Redis", |costs| &costs.bytes, None, "bytes"),
    ]
}

/// Submits jobs, and runs them.
async fn one(
    run: &mut Run<'_>,
    name: &str,
    says: &Says,
    jobs: u64,
    costs: &mut Costs,
    counted: &mut Jobs,
) -> anyhow::Result<()> {
    let first = run.look().await?;
    let (accepted, outcome) =
        run.submit_saying(says, &mut Vec::new(), &format!("{name}: submit"), jobs).await?;
    let submit = Phase::new(&outcome, &first, &run.look().await?).cost;
    let (drained, after) = drain(run, &first, &accepted).await?;
    run.stop_workers()?;
    count(counted, &run.ended(&format!("{name}: jobs end"), &accepted).await?);

    let life = submit.plus(&drained.cost).redis.unwrap_or_default();
    costs.redis.push(life.cpu_us);
    costs.commands.push(life.commands);
    costs.api.push(submit.api_cpu_us.unwrap_or_default());
    let keys = first.redis.as_ref().zip(after.redis.as_ref());
    let keys = keys.map_or(0, |(before, after)| after.keys.saturating_sub(before.keys));
    costs.keys.push(per(keys, float(jobs)));
    costs.bytes.push(memory_per_job(&first, &after, accepted.len()));
    Ok(())
}

/// Redis's reads for each of some submits that are not made together.
async fn round_trips(run: &mut Run<'_>, says: &Says, jobs: u64, counted: &mut Jobs) -> anyhow::Result<f64> {
    let (before, done) = (run.look().await?, Cell::new(0));
    let submits = Submits::saying(says.clone(), run, &run.target, jobs);
    let closed =
        Closed { target: &run.target, clients: 1, requests: jobs, pause: Duration::ZERO, done: &done };
    let text = || format!("one after another: {} of {jobs}", done.get());
    progress(text, closed.run(&mut Vec::new(), &submits)).await?;
    let cost = Cost::between(&before, &run.look().await?, jobs);
    let accepted = submits.accepted();
    drain(run, &before, &accepted).await?;
    run.stop_workers()?;
    count(counted, &run.ended("one after another: jobs end", &accepted).await?);
    Ok(cost.redis.unwrap_or_default().reads)
}
