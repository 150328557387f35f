//! A text completion, with this build and another, in turns.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use hermod::process::Process;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::options::Options;
use crate::progress::progress;
use crate::rows::{Row, median, ratio};

/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// More than before is within what one run differs from another.
const TARGET: f64 = 1.03;

/// A figure, and where it stands in the report of a run.
const FIGURES: [(&str, &str); 5] = [
    ("commands, submit to end", "/life/redis/commands"),
    ("Redis CPU, submit to end", "/life/redis/cpu_us"),
    ("API CPU of a submit", "/submit/cost/api_cpu_us"),
    ("worker CPU of a job", "/drain/cost/worker_cpu_us"),
    ("API CPU of a poll", "/poll/cost/api_cpu_us"),
];

/// What this build is also run with: what to call it, and the environment variables that make it so.
pub(crate) type Variant<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// The figures of this build against those of the other one; those of a variant are told beside them.
pub(crate) async fn compare(
    options: &Options,
    before: &Path,
    variant: Option<Variant<'_>>,
) -> anyhow::Result<Vec<Row>> {
    let now = std::env::current_exe()?;
    let (mut befores, mut nows, mut variants) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let what = |which| format!("text completions, round {round} of {}: {which}", options.rounds);
        befores.push(one(options, before, &[], &what("the other build")).await?);
        nows.push(one(options, &now, &[], &what("this build")).await?);
        if let Some((name, environment)) = variant {
            variants.push(one(options, &now, environment, &what(name)).await?);
        }
    }
    let row = |(name, path): (&str, &str)| {
        let all = |reports: &[Value]| -> Vec<f64> {
            reports.iter().filter_map(|report| report.pointer(path)?.as_f64()).collect()
        };
        let (before, now) = (all(&befores), all(&nows));
        let mut detail = format!("before {before:.2?}, now {now:.2?}");
        if let Some((of, _)) = variant {
            detail.push_str(&format!(", {of} {:.2?}", all(&variants)));
        }
        let medians = median(now).zip(median(before));
        let ratio = medians.and_then(|(now, before)| ratio(now, before));
        Row::new(format!("text completion against before: {name}"), ratio, TARGET, "×", detail)
    };
    Ok(FIGURES.into_iter().map(row).collect())
}

/// Runs a build of this program; its report.
async fn one(
    options: &Options,
    build: &Path,
    environment: &[(&str, &str)],
    what: &str,
) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let (jobs, json) = (options.jobs.to_string(), file.to_string_lossy().into_owned());
    let args = ["--jobs", &jobs, "--rate", "0", "--json", &json];
    let mut process = Process::spawn("bench", build, args, environment, |_| {})
        .with_context(|| format!("--before: cannot start {}", build.display()))?;
    let wait = async {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = process.try_wait()? {
                ensure!(status.success(), "{} ended with {status}", build.display());
                return anyhow::Ok(());
            }
            ensure!(Instant::now() < deadline, "{} has not ended after {PATIENCE:?}", build.display());
            sleep(Duration::from_millis(50)).await;
        }
    };
    progress(|| what.to_owned(), wait).await?;
    Ok(serde_json::from_slice(&std::fs::read(&file)?)?)
}
