//! `hermod bench`: load, and what it costs each process and Redis, with the least that it could cost beside it.
//!
//! A run starts a service of its own, or loads a running one. It submits all jobs while no worker runs, then starts the
//! workers and waits for the last end, then polls each job once, then submits at a steady rate. CPU is what the kernel
//! and Redis's INFO say, so it is meaningful on a machine that is busy with other things, too; rates are not.

mod floor;
mod http;
mod jobs;
mod load;
mod measure;
mod phases;
mod provider;
mod reference;
mod report;
mod run;
mod scenarios;
mod service;
mod settings;
mod table;

use std::process::ExitCode;

use anyhow::Context;

pub use floor::Floor;
pub use settings::Settings;

use crate::client::print;
use run::Run;

/// Jobs of the warm-up, if the run has as many.
const WARM_UP: u64 = 2000;

impl Settings {
    /// Runs the bench, and prints the report. Exits with 1 if a job was lost, doubled or failed.
    ///
    /// # Errors
    /// One sentence on what kept it from running to its end.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.check()?;
        // On this one thread, with which the kernel ends the children should we be killed.
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.bench())
    }

    async fn bench(&self) -> anyhow::Result<ExitCode> {
        if let Some(file) = &self.json {
            // Now, rather than after some minutes.
            std::fs::write(file, "").with_context(|| format!("--json: cannot write {}", file.display()))?;
        }
        let mut run = Run::start(self).await?;
        let (mut report, ended) = phases::all(&mut run).await?;
        if let Some(clients) = self.pollers {
            let one = *ended.first().context("no job has ended")?;
            report.pollers = Some(scenarios::pollers(&run, clients, one).await?);
        }
        if let Some(jobs) = self.in_flight {
            report.in_flight = Some(scenarios::in_flight(&mut run, jobs).await?);
        }
        if let Some(jobs) = self.waiting {
            report.waiting = Some(scenarios::waiting(&mut run, jobs, &ended).await?);
        }
        report.jobs.doubled = run.provider.receipts.doubled();
        let Run { service, provider, .. } = run;
        if let Some(service) = service {
            service.stop()?;
        }
        provider.stop().await;
        if let Some(file) = &self.json {
            let json = serde_json::to_string_pretty(&report)?;
            std::fs::write(file, json).with_context(|| format!("--json: cannot write {}", file.display()))?;
        }
        print(table::text(&report).trim_end())?;
        let jobs = &report.jobs;
        let all_well = jobs.failed + jobs.lost + jobs.doubled == 0;
        Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
