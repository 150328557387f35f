//! `hermod-bench`: load, and what it costs each process and Redis, with the least that it could cost beside it.
//!
//! A run starts a service of its own, or loads a running one. It submits all jobs while no worker runs, then starts the
//! workers and waits for the last end, then polls each job once, then submits at a steady rate. CPU is what the kernel
//! and Redis's INFO say, so it is meaningful on a machine that is busy with other things, too; rates are not.
//!
//! `--fleet` does something else: it starts many workers, and counts what they ask of Redis. So does `--endpoints`: it compares
//! endpoints with each other, and moves media. So does `--delivery`: it finds the price of webhooks, waiting, lists and keys.
//! With `--limits`, it finds what limits add to a job.
//! And `--fairness`: it finds the price of many keys, and how long a backlog holds up another key's job.

mod before;
mod delivery;
mod endpoints;
mod exchanges;
mod fairness;
mod fleet;
mod floor;
mod http;
mod http_server;
mod jobs;
mod limits;
mod load;
mod measure;
mod options;
mod phases;
mod progress;
mod provider;
mod reference;
mod report;
mod rows;
mod run;
mod scenarios;
mod servers;
mod service;
mod table;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use hermod::client::{block_on, print};
use serde::Serialize;

use floor::Floor;
use options::Options;
use report::Jobs;
use run::Run;

/// Jobs of the warm-up, if the run has as many.
const WARM_UP: u64 = 2000;

// As in `hermod`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Puts load on a service of its own, or on a running one, and reports what a job costs each process and Redis.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What the benchmark starts of itself.
#[derive(Subcommand)]
enum Role {
    #[command(hide = true)]
    Api(hermod_api::ApiSettings),
    #[command(hide = true)]
    Worker(hermod_worker::WorkerSettings),
    #[command(hide = true)]
    Floor(Floor),
}

fn main() -> ExitCode {
    let Cli { options, role } = Cli::parse();
    hermod_service::exit_code(match role {
        // On this one thread, with which the kernel ends the children should we be killed.
        None => block_on(bench(&options)),
        Some(Role::Api(settings)) => settings.run().map(|()| ExitCode::SUCCESS),
        Some(Role::Worker(settings)) => settings.run().map(hermod_worker::Drained::exit_code),
        Some(Role::Floor(floor)) => floor.run(),
    })
}

/// Runs the benchmark, and prints the report. Exits with 1 if a job was lost, doubled or failed.
async fn bench(options: &Options) -> anyhow::Result<ExitCode> {
    options.check()?;
    if let Some(file) = &options.json {
        // Now, rather than after some minutes.
        std::fs::write(file, "").with_context(|| format!("--json: cannot write {}", file.display()))?;
    }
    if let Some(workers) = options.fleet {
        let report = fleet::measure(options, workers).await?;
        show(options, &report, &fleet::text(&report))?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.endpoints {
        let report = Box::pin(endpoints::measure(options)).await?;
        show(options, &report, &report.text())?;
        return Ok(exit_code(&report.jobs));
    }
    if options.delivery {
        let report = Box::pin(delivery::measure(options)).await?;
        show(options, &report, &report.text())?;
        return Ok(exit_code(&report.jobs));
    }
    if let Some(limits) = options.limits {
        let report = Box::pin(limits::measure(options, limits)).await?;
        show(options, &report, &report.text())?;
        return Ok(exit_code(&report.jobs));
    }
    if options.fairness {
        let report = Box::pin(fairness::measure(options)).await?;
        show(options, &report, &report.text())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut run = Run::start(options).await?;
    let (mut report, ended) = phases::all(&mut run).await?;
    if let Some(clients) = options.pollers {
        let one = *ended.first().context("no job has ended")?;
        report.pollers = Some(scenarios::pollers(&run, clients, one).await?);
    }
    if let Some(rate) = options.low_rate {
        report.low_rate = Some(scenarios::low_rate(&mut run, rate).await?);
    }
    if let Some(jobs) = options.in_flight {
        report.in_flight = Some(scenarios::in_flight(&mut run, jobs).await?);
    }
    if let Some(jobs) = options.waiting {
        report.waiting = Some(scenarios::waiting(&mut run, jobs, &ended).await?);
    }
    report.jobs.doubled = run.provider.receipts.doubled();
    run.stop().await?;
    for bytes in &options.sizes {
        report.sizes.push(scenarios::size(options, *bytes).await?);
    }
    show(options, &report, &table::text(&report))?;
    Ok(exit_code(&report.jobs))
}

fn exit_code(jobs: &Jobs) -> ExitCode {
    let all_well = jobs.failed + jobs.lost + jobs.doubled == 0;
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(options: &Options, report: &impl Serialize, text: &str) -> anyhow::Result<()> {
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(report)?;
        std::fs::write(file, json).with_context(|| format!("--json: cannot write {}", file.display()))?;
    }
    Ok(print(text.trim_end())?)
}
