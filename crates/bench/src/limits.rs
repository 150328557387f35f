//! What limits add to a job that they admit.

use serde_json::{Value, json};

use crate::WARM_UP;
use crate::options::Options;
use crate::phases::{count, drain};
use crate::report::{Jobs, Phase};
use crate::rows::{Figures, Row, median, said};
use crate::run::Run;
use crate::service::Setup;

/// Of all limits of a job together, in microseconds of Redis.
const TARGET: f64 = 10.0;
/// What the worker may need for them, likewise: it is only told.
const WORKER_TARGET: Option<f64> = None;
/// More than any run asks for.
const MOST: u64 = 1_000_000_000_000;

/// Of one job, from its submit to its end.
#[derive(Debug, Default)]
struct Costs {
    /// In microseconds.
    redis: Vec<f64>,
    worker: Vec<f64>,
    api: Vec<f64>,
    commands: Vec<f64>,
}

/// The first of four limits, of the provider, so that jobs need no key.
fn config(limits: u64) -> Value {
    let mut rate = json!({"id": "rate", "request_max_limit": MOST, "request_reset_duration": "1h"});
    if limits >= 2 {
        rate["token_max_limit"] = MOST.into();
        rate["token_reset_duration"] = "1h".into();
    }
    let mut provider = json!({"name": "bench", "rate_limit_id": "rate"});
    let mut more = json!({"governance": {"rate_limits": [rate]}, "hermod": {}});
    if limits >= 3 {
        more["governance"]["budgets"] =
            json!([{"id": "budget", "max_limit": 1_000_000, "reset_duration": "1d"}]);
        more["governance"]["pricing_overrides"] = json!([{
            "id": "price", "name": "price", "scope_kind": "global", "match_type": "wildcard", "pattern": "*",
            "request_types": ["text_completion"],
            "pricing_patch": "{\"input_cost_per_token\":0.0000001,\"output_cost_per_token\":0.0000002}",
        }]);
        provider["budget_id"] = "budget".into();
    }
    if limits >= 4 {
        more["hermod"]["providers"] = json!({"bench": {"max_concurrent": 1_000_000}});
    }
    more["governance"]["providers"] = json!([provider]);
    more
}

pub(crate) async fn measure(options: &Options, limits: u64) -> anyhow::Result<Figures> {
    let mut plain = Run::start(options).await?;
    let mut limited = Run::with(options, &Setup { more: config(limits), ..Setup::default() }).await?;
    let (mut jobs, mut rows) = (Jobs::default(), Vec::new());
    let [mut without, mut with, mut warm]: [Costs; 3] = Default::default();
    for round in 0..=options.rounds {
        // The first warms up.
        let (number, without, with) = if round == 0 {
            (options.jobs.min(WARM_UP), &mut Costs::default(), &mut warm)
        } else {
            (options.jobs, &mut without, &mut with)
        };
        one(&mut plain, "without limits", number, without, &mut jobs).await?;
        one(&mut limited, "with limits", number, with, &mut jobs).await?;
    }
    let row = |what: &str, of: fn(&Costs) -> &Vec<f64>, target: Option<f64>, unit| {
        let pairs = of(&with).iter().zip(of(&without));
        let added = median(pairs.map(|(with, without)| with - without).collect());
        let detail = format!("{:.2?}, without {:.2?}", of(&with), of(&without));
        Row::new(format!("{limits} limits add to a job: {what}"), added, target, unit, detail)
    };
    said(
        &mut rows,
        [
            row("Redis CPU", |costs| &costs.redis, Some(TARGET), "µs"),
            row("commands", |costs| &costs.commands, None, ""),
            row("worker CPU", |costs| &costs.worker, WORKER_TARGET, "µs"),
            row("API CPU of the submit", |costs| &costs.api, None, "µs"),
        ],
    );
    let look = limited.look().await?;
    plain.stop_and_count(&mut jobs).await?;
    limited.stop_and_count(&mut jobs).await?;
    Ok(Figures::new(&look, jobs, rows))
}

/// Submits jobs, and runs them.
async fn one(
    run: &mut Run<'_>,
    name: &str,
    jobs: u64,
    costs: &mut Costs,
    counted: &mut Jobs,
) -> anyhow::Result<()> {
    let first = run.look().await?;
    let (accepted, outcome) = run.submit(&format!("{name}: submit"), jobs).await?;
    let submit = Phase::new(&outcome, &first, &run.look().await?).cost;
    let (drained, _) = drain(run, &first, &accepted).await?;
    run.stop_workers()?;
    count(counted, &run.ended(&format!("{name}: jobs end"), &accepted).await?);

    let life = submit.plus(&drained.cost).redis.unwrap_or_default();
    costs.redis.push(life.cpu_us);
    costs.commands.push(life.commands);
    costs.worker.push(drained.cost.worker_cpu_us.unwrap_or_default());
    costs.api.push(submit.api_cpu_us.unwrap_or_default());
    Ok(())
}
