//! What a webhook adds to a job.

use std::time::Instant;

use anyhow::Context;
use hermod_queue::Lane;

use super::added;
use super::receiver::{PLAIN, Receiver, WITH_RESULT};
use crate::WARM_UP;
use crate::jobs::Says;
use crate::measure::Look;
use crate::options::Options;
use crate::phases::count;
use crate::report::{Cost, Jobs, Phase, float, per};
use crate::rows::{Row, median};
use crate::run::Run;
use crate::service::Setup;

/// None, as it takes each at once.
const AGAIN_TARGET: f64 = 0.0;
const KINDS: u64 = 3;

/// Of one job, from its submit to its delivery; without one, to its end.
#[derive(Default)]
struct Costs {
    /// From the first that the provider got to the last delivery or end.
    per_second: Vec<f64>,
    /// In microseconds.
    redis: Vec<f64>,
    commands: Vec<f64>,
    reads: Vec<f64>,
    worker: Vec<f64>,
    /// Of its submit.
    api: Vec<f64>,
    /// What the receiver got.
    bytes: Vec<f64>,
}

/// How many jobs it needs.
pub(super) fn jobs(options: &Options) -> u64 {
    KINDS * (options.rounds + 1) * options.jobs.max(WARM_UP)
}

pub(super) async fn measure(options: &Options, counted: &mut Jobs) -> anyhow::Result<(Vec<Row>, Look)> {
    let receiver = Receiver::start()?;
    let setup = Setup { webhooks: receiver.endpoints(), ..Setup::default() };
    let mut run = Run::with(options, &setup).await?;
    let kinds = [
        ("without a webhook", Says::Nothing),
        ("with a webhook", Says::Webhook(PLAIN)),
        ("with a webhook that brings the result", Says::Webhook(WITH_RESULT)),
    ];
    let mut costs: [Costs; 3] = Default::default();
    for kind in &kinds {
        let jobs = options.jobs.min(WARM_UP);
        one(&mut run, &receiver, kind, jobs, &mut Costs::default(), counted).await?;
    }
    for _ in 0..options.rounds {
        for (kind, costs) in kinds.iter().zip(&mut costs) {
            one(&mut run, &receiver, kind, options.jobs, costs, counted).await?;
        }
    }
    let look = run.look().await?;
    run.stop_and_count(counted).await?;
    let (delivered, again) = (receiver.delivered(), receiver.again());
    receiver.stop().await;

    let [none, plain, with_result] = &costs;
    let mut rows = Vec::new();
    for (name, costs) in [("a webhook", plain), ("a webhook with the result", with_result)] {
        let rate = median(costs.per_second.clone());
        let detail = format!("{:.0?}, without {:.0?}", costs.per_second, none.per_second);
        rows.push(Row::new(format!("{name}: jobs delivered a second"), rate, None, "/s", detail));
        let mut row = |what: &str, of: fn(&Costs) -> &Vec<f64>, unit| {
            let detail = format!("{:.2?}, without {:.2?}", of(costs), of(none));
            let figure = format!("{name} adds to a job: {what}");
            rows.push(Row::new(figure, added(of(costs), of(none)), None, unit, detail));
        };
        row("Redis CPU", |costs| &costs.redis, "µs");
        row("commands", |costs| &costs.commands, "");
        row("round trips", |costs| &costs.reads, "");
        row("worker CPU", |costs| &costs.worker, "µs");
        row("API CPU of the submit", |costs| &costs.api, "µs");
        row("what the receiver gets", |costs| &costs.bytes, "bytes");
    }
    let detail = format!("{delivered} came once");
    rows.push(Row::new("deliveries that came again", float(again), AGAIN_TARGET, "", detail));
    Ok((rows, look))
}

/// Submits jobs, runs them, and waits for what the receiver is told.
async fn one(
    run: &mut Run<'_>,
    receiver: &Receiver,
    (name, says): &(&str, Says),
    jobs: u64,
    costs: &mut Costs,
    counted: &mut Jobs,
) -> anyhow::Result<()> {
    let (first, told, bytes) = (run.look().await?, receiver.delivered(), receiver.bytes());
    let (accepted, outcome) =
        run.submit_saying(says, &mut Vec::new(), &format!("{name}: submit"), jobs).await?;
    let waiting = run.look().await?;
    let (submit, jobs) = (Phase::new(&outcome, &first, &waiting).cost, u64::try_from(accepted.len())?);
    let received = run.provider.receipts.received();
    run.start_workers()?;
    run.received(name, received + jobs).await?;
    let end = if matches!(says, Says::Nothing) {
        run.drained(name).await?;
        Instant::now()
    } else {
        receiver.wait_for(name, told + jobs).await?;
        run.drained(name).await?;
        run.drained_of(Lane::Deliveries, &format!("{name}: deliveries")).await?;
        receiver.last().context("nothing was delivered")?
    };
    let after = run.look().await?;
    run.stop_workers()?;
    count(counted, &run.ended(&format!("{name}: jobs end"), &accepted).await?);

    let since = accepted.iter().filter_map(|job| run.provider.receipts.at(job.number)).min();
    let seconds = end.saturating_duration_since(since.unwrap_or(end)).as_secs_f64();
    let ran = Cost::between(&waiting, &after, jobs);
    let life = submit.plus(&ran).redis.unwrap_or_default();
    costs.per_second.push(per(jobs, seconds));
    costs.redis.push(life.cpu_us);
    costs.commands.push(life.commands);
    costs.reads.push(life.reads);
    costs.worker.push(ran.worker_cpu_us.unwrap_or_default());
    costs.api.push(submit.api_cpu_us.unwrap_or_default());
    costs.bytes.push(per(receiver.bytes() - bytes, float(jobs)));
    Ok(())
}
