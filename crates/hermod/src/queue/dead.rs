use std::fmt::Write;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hermod_queue::{Admin, DeadFilter, DeadGroup, DeadLetter, Requeued, RequeuedMany};
use hermod_types::{JobId, Timestamp};
use serde::Serialize;

use super::Form;
use crate::table::table;

/// `hermod queue dead`
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Dead {
    /// Print the newest, a line each
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many.
        #[arg(long, default_value_t = 20)]
        most: usize,
        /// How many there are of each error instead.
        #[arg(long, conflicts_with_all = ["error", "model", "most"])]
        by_error: bool,
        #[command(flatten)]
        form: Form,
    },
    /// Print one whole, with its request
    Show {
        /// The job.
        id: JobId,
    },
    /// Queue jobs again under their old ids
    Requeue {
        /// The jobs.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<JobId>,
        /// All that there are, or all that match.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: Filter,
    },
}

/// Which of them.
#[derive(Args, Clone, Debug)]
pub(super) struct Filter {
    /// Only those that were given up on for this error.
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    /// Only those for this model, with its provider or without.
    #[arg(long)]
    model: Option<String>,
}

/// A dead letter in a list.
#[derive(Serialize)]
struct Letter<'a> {
    id: JobId,
    at: Timestamp,
    error: &'a str,
    starts: usize,
    endpoint: Option<&'static str>,
    model: Option<&'a str>,
    key: Option<&'a str>,
}

impl From<Filter> for DeadFilter {
    fn from(filter: Filter) -> Self {
        Self { reason: filter.error, model: filter.model }
    }
}

impl Dead {
    pub(super) async fn run(self, admin: &Admin) -> anyhow::Result<String> {
        match self {
            Self::List { by_error: true, form, .. } => {
                form.of(&admin.dead_groups().await?, |found| groups(found))
            }
            Self::List { filter, most, form, .. } => {
                let letters = admin.dead_letters_of(&filter.into(), most).await?;
                if form.json {
                    return Ok(serde_json::to_string_pretty(
                        &letters.iter().map(Letter::of).collect::<Vec<_>>(),
                    )?);
                }
                Ok(list(&letters))
            }
            Self::Show { id } => {
                Ok(show(&admin.dead_letter(id).await?.context("no such job among the dead letters")?))
            }
            Self::Requeue { all: true, filter, .. } => all_requeued(admin.requeue_all(&filter.into()).await?),
            Self::Requeue { filter: Filter { error: None, model: None }, ids, .. } => {
                requeue(admin, &ids).await
            }
            Self::Requeue { .. } => {
                bail!("--error and --model say which of --all; they are of no use beside ids")
            }
        }
    }
}

impl<'a> Letter<'a> {
    fn of(letter: &'a DeadLetter) -> Self {
        Self {
            id: letter.id,
            at: Timestamp::from_millis(letter.at_ms),
            error: &letter.reason,
            starts: letter.history.lines().count(),
            endpoint: letter.operation.map(hermod_types::Operation::path),
            model: letter.model.as_deref(),
            key: letter.owner.as_deref(),
        }
    }
}

fn groups(groups: &[DeadGroup]) -> String {
    if groups.is_empty() {
        return "no dead letters".to_owned();
    }
    let mut rows = table(["ERROR", "JOBS", "FIRST", "LAST"]);
    for group in groups {
        let at = |ms| Timestamp::from_millis(ms).to_string();
        rows.add_row([
            group.reason.clone(),
            group.count.to_string(),
            at(group.oldest_ms),
            at(group.newest_ms),
        ]);
    }
    rows.trim_fmt()
}

fn all_requeued(done: RequeuedMany) -> anyhow::Result<String> {
    let RequeuedMany { queued, unknown, alive } = done;
    if unknown + alive > 0 {
        bail!(
            "{queued} queued again; {unknown} are not among the dead letters any more, {alive} wait or run already"
        );
    }
    Ok(format!("{queued} queued again"))
}

fn list(letters: &[DeadLetter]) -> String {
    if letters.is_empty() {
        return "no dead letters".to_owned();
    }
    let mut rows = table(["JOB", "GIVEN UP AT", "REASON", "STARTS", "MODEL"]);
    for letter in letters {
        let (at, starts) = (Timestamp::from_millis(letter.at_ms), letter.history.lines().count());
        rows.add_row([
            letter.id.to_string(),
            at.to_string(),
            letter.reason.clone(),
            starts.to_string(),
            letter.model.clone().unwrap_or_default(),
        ]);
    }
    rows.trim_fmt()
}

fn show(letter: &DeadLetter) -> String {
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
