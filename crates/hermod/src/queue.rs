//! `hermod queue`: what an operator sees and does.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hermod_queue::{Admin, DeadLetter, Findings, Lane, Requeued, Store};
use hermod_service::RedisSettings;
use hermod_types::{JobId, ShardCount, Timestamp};

use crate::client::print;
use crate::table::table;

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
    /// Print how many jobs wait, run and were given up on, and which workers there are
    Stats,
    /// Look at the jobs that were given up on, or queue them again
    #[command(subcommand)]
    Dead(Dead),
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

#[derive(Clone, Debug, Subcommand)]
enum Dead {
    /// Print the newest, a line each
    List {
        /// How many.
        #[arg(long, default_value_t = 20)]
        most: usize,
    },
    /// Print one whole, with its request
    Show {
        /// The job.
        id: JobId,
    },
    /// Queue jobs again under their old ids
    Requeue {
        /// The jobs.
        #[arg(required = true)]
        ids: Vec<JobId>,
    },
}

impl QueueCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// If Redis does not answer, or there is no such job.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let admin = Admin::new(&Store::new(&self.redis.url()?)?);
        let text = match self.command {
            Command::Stats => stats(&admin).await?,
            Command::Dead(Dead::List { most }) => dead_list(&admin.dead_letters(most).await?),
            Command::Dead(Dead::Show { id }) => {
                dead_show(&admin.dead_letter(id).await?.context("no such job among the dead letters")?)
            }
            Command::Dead(Dead::Requeue { ids }) => requeue(&admin, &ids).await?,
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
                print(check(&findings, repair).trim_end())?;
                return Ok(if repair || findings.agree() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        };
        print(text.trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn stats(admin: &Admin) -> anyhow::Result<String> {
    let stats = admin.stats(Lane::Jobs).await?;
    let mut text = format!(
        "waiting  {}\ndelayed  {}\nrunning  {}\ndead     {}\n",
        stats.waiting, stats.delayed, stats.running, stats.dead
    );
    if stats.lanes + stats.closed_lanes > 0 {
        writeln!(text, "lanes    {} open, {} wait for a limit", stats.lanes, stats.closed_lanes)?;
    }
    let deliveries = admin.stats(Lane::Deliveries).await?;
    let of_webhooks = [deliveries.waiting, deliveries.delayed, deliveries.running];
    if of_webhooks.iter().any(|count| *count > 0) {
        let [waiting, delayed, running] = of_webhooks;
        writeln!(text, "deliveries of webhooks: {waiting} waiting, {delayed} delayed, {running} running")?;
    }
    if stats.paused {
        text.push_str("paused: no worker claims anything; `hermod queue resume` ends it\n");
    }
    let workers = admin.workers().await?;
    if !workers.is_empty() {
        let mut rows = table(["WORKER", "HOLDS", "LAST HEARD OF"]);
        for worker in workers {
            rows.add_row([worker.name, worker.holds.to_string(), format!("{} ago", age(worker.idle))]);
        }
        write!(text, "\n{}", rows.trim_fmt())?;
    }
    Ok(text)
}

fn age(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn dead_list(letters: &[DeadLetter]) -> String {
    if letters.is_empty() {
        return "no dead letters".to_owned();
    }
    let mut rows = table(["JOB", "GIVEN UP AT", "REASON", "STARTS"]);
    for letter in letters {
        let (at, starts) = (Timestamp::from_millis(letter.at_ms), letter.history.lines().count());
        rows.add_row([letter.id.to_string(), at.to_string(), letter.reason.clone(), starts.to_string()]);
    }
    rows.trim_fmt()
}

fn dead_show(letter: &DeadLetter) -> String {
    let at = Timestamp::from_millis(letter.at_ms);
    let mut text = format!("job          {}\ngiven up at  {at}\nreason       {}\n", letter.id, letter.reason);
    for line in letter.history.lines() {
        let (worker, started) = line.split_once(' ').unwrap_or((line, ""));
        let started =
            started.parse().map_or_else(|_| started.to_owned(), |ms| Timestamp::from_millis(ms).to_string());
        writeln!(text, "started      {started} by {worker}").ok();
    }
    let (header, body) = letter.request.split_once('\n').unwrap_or(("", &letter.request));
    writeln!(text, "settings     {header}\nrequest      {body}").ok();
    text
}

async fn requeue(admin: &Admin, ids: &[JobId]) -> anyhow::Result<String> {
    let (mut text, mut refused) = (String::new(), 0);
    for id in ids {
        let outcome = match admin.requeue(*id).await? {
            Requeued::Queued => "queued again",
            Requeued::Unknown => "not among the dead letters",
            Requeued::Alive => "waits or runs already",
        };
        refused += usize::from(outcome != "queued again");
        writeln!(text, "{id}  {outcome}")?;
    }
    if refused > 0 {
        bail!("{refused} of {} not queued again:\n{text}", ids.len());
    }
    Ok(text)
}

fn check(findings: &Findings, repair: bool) -> String {
    let Findings {
        records,
        entries,
        laned,
        records_without_entry,
        entries_without_job,
        entries_without_holder,
        bodies_without_job,
        lanes_miscounted,
        idle_consumers,
        shards_unknown,
    } = findings;
    let mended = |count: usize, done: &str| match (count, repair) {
        (0, _) => String::new(),
        (_, true) => format!("   {done}"),
        (_, false) => "   --repair mends it".to_owned(),
    };
    format!(
        "{records:>8} records, {entries} entries, {laned} jobs in lanes\n\
         {records_without_entry:>8} jobs that wait or run without an entry or a lane{}\n\
         {entries_without_job:>8} entries whose job is gone or has ended{}\n\
         {entries_without_holder:>8} entries that no worker would get again{}\n\
         {bodies_without_job:>8} bodies without a job{}\n\
         {lanes_miscounted:>8} shards whose jobs in lanes are miscounted{}\n\
         {idle_consumers:>8} workers that are gone and hold nothing{}\n\
         {shards_unknown:>8} shards with jobs that no worker knows of{}\n",
        mended(*records_without_entry, "queued again"),
        mended(*entries_without_job, "removed"),
        mended(*entries_without_holder, "to be claimed"),
        mended(*bodies_without_job, "expire"),
        mended(*lanes_miscounted, "counted"),
        mended(*idle_consumers, "forgotten"),
        mended(*shards_unknown, "served from now on"),
    )
}
