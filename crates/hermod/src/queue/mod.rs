//! `hermod queue`: what an operator sees and does.

mod check;
mod cooldowns;
mod dead;
mod fleet;
mod providers;
mod recent;
mod stats;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use hermod_queue::{Admin, Store};
use hermod_service::RedisSettings;
use hermod_types::ShardCount;
use serde::Serialize;

use crate::client::print;

/// `hermod queue`
#[derive(Args, Clone, Debug)]
pub struct QueueCommand {
    #[command(flatten)]
    redis: RedisSettings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Print how many jobs wait, run and were given up on, how fast they come and end, and which workers there are
    Stats {
        #[command(flatten)]
        form: Form,
    },
    /// Print the workers: their versions, slots, and what they run
    Workers {
        #[command(flatten)]
        form: Form,
    },
    /// Print what calls to providers have come to: how many, how many failed, how long they took
    Providers {
        #[command(flatten)]
        span: Span,
        #[command(flatten)]
        form: Form,
    },
    /// Print what is not tried for a while, or end that
    Cooldowns(cooldowns::Cooldowns),
    /// Print the jobs that have ended last
    Recent(recent::Recent),
    /// Look at the jobs that were given up on, or queue them again
    #[command(subcommand)]
    Dead(dead::Dead),
    /// Make all workers claim nothing; what runs goes on
    Pause,
    /// Make them go on
    Resume,
    /// Print how many shards of a Redis Cluster are in use, or set how many
    Shards {
        /// How many, 1 to 1,024. Fewer only where the others hold no job.
        number: Option<u16>,
    },
    /// Compare records and entries; exit with 1 if they disagree and are not mended
    Check {
        /// Mend what disagrees.
        #[arg(long)]
        repair: bool,
    },
}

/// How something is printed.
#[derive(Args, Clone, Copy, Debug)]
struct Form {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// How far back.
#[derive(Args, Clone, Copy, Debug)]
struct Span {
    /// The last so many minutes, 1,440 at most.
    #[arg(long = "minutes", value_name = "NUMBER", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: u32,
}

impl Form {
    /// The value as JSON, or what is made of it.
    fn of<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<String> {
        Ok(if self.json { serde_json::to_string_pretty(value)? } else { text(value) })
    }
}

impl QueueCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If Redis does not answer, or there is no such job.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let admin = Admin::new(&Store::new(&self.redis.url()?)?);
        let text = match self.command {
            Command::Stats { form } => form.of(&stats::read(&admin).await?, stats::text)?,
            Command::Workers { form } => form.of(&fleet::read(&admin).await?, |rows| fleet::text(rows))?,
            Command::Providers { span, form } => {
                form.of(&admin.providers(span.minutes).await?, |rows| providers::text(rows))?
            }
            Command::Cooldowns(command) => command.run(&admin).await?,
            Command::Recent(command) => command.run(&admin).await?,
            Command::Dead(command) => command.run(&admin).await?,
            Command::Pause => {
                admin.set_paused(true).await?;
                "paused: within two seconds no worker claims anything; `hermod queue resume` ends it"
                    .to_owned()
            }
            Command::Resume => {
                admin.set_paused(false).await?;
                "resumed".to_owned()
            }
            Command::Shards { number: None } => admin.shards().await?.get().to_string(),
            Command::Shards { number: Some(number) } => {
                let wanted = ShardCount::new(number).context("expected a number of shards from 1 to 1024")?;
                admin.set_shards(wanted).await?;
                format!("{number} shards are in use; workers follow within a second or two")
            }
            Command::Check { repair } => {
                let findings = admin.check(repair).await?;
                print(check::check(&findings, repair).trim_end())?;
                return Ok(if repair || findings.agree() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        };
        print(text.trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn age(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
