//! What each kind of endpoint costs, against its target: chat beside text completions, and media.

mod before;
mod chat;
mod media;
mod report;
mod upload;

use std::io::Write;

use hermod_types::Operation;

use crate::measure::{Look, ProcessUse};
use crate::options::Options;
use crate::phases::{count, machine};
use crate::report::Jobs;
use crate::run::{Accepted, Run};
pub(crate) use report::text;
use report::{Endpoints, Row};

/// Measures all of it; each part has a service of its own, whose processes have done nothing else.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Endpoints> {
    // The time of the open loop is all that is wanted of it here.
    let options = &Options { rate: media::SMALL_RATE, ..options.clone() };
    let (mut rows, mut jobs) = (Vec::new(), Jobs::default());
    if let Some(before) = &options.before {
        said(&mut rows, before::compare(options, before).await?);
    }
    said(&mut rows, chat::measure(options, &mut jobs).await?);
    said(&mut rows, [media::pickup(options, &mut jobs).await?]);
    said(&mut rows, [media::uploads(options, &mut jobs).await?]);
    said(&mut rows, [media::transcriptions(options, &mut jobs).await?]);
    let (speech, look) = media::speech(options, &mut jobs).await?;
    said(&mut rows, [speech]);
    Ok(Endpoints { machine: machine(&look), jobs, rows })
}

/// Keeps rows, and shows them at once: what comes later may fail.
fn said(rows: &mut Vec<Row>, new: impl IntoIterator<Item = Row>) {
    for row in new {
        // A terminal that cannot be written to is no reason to stop.
        drop(writeln!(std::io::stderr(), "{row}"));
        rows.push(row);
    }
}

/// How many jobs one of these services may get.
pub(crate) fn jobs(options: &Options) -> u64 {
    chat::jobs(options).max(media::jobs(options))
}

/// Waits for the end of these jobs of one endpoint, and counts them.
async fn ended(
    run: &mut Run<'_>,
    operation: Operation,
    accepted: &[Accepted],
    jobs: &mut Jobs,
) -> anyhow::Result<()> {
    run.target = run.target.at(operation);
    count(jobs, &run.ended(&format!("jobs end: {operation}"), accepted).await?);
    Ok(())
}

/// Stops a service, with nothing left to count of its jobs.
async fn stop(run: Run<'_>, jobs: &mut Jobs) -> anyhow::Result<()> {
    jobs.doubled += run.provider.receipts.doubled();
    run.stop().await
}

fn api(look: &Look) -> ProcessUse {
    look.api.unwrap_or_default()
}

fn workers(look: &Look) -> ProcessUse {
    look.workers.unwrap_or_default()
}

/// The middle one; the mean of the two in the middle of an even number; none of none.
fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let lower = figures.get(figures.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(*lower, *figures.get(figures.len() / 2)?))
}

/// Ours ÷ theirs; none where so little was done that the kernel has not counted it.
fn ratio(ours: f64, theirs: f64) -> Option<f64> {
    (ours > 0.0 && theirs > 0.0).then(|| ours / theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!((median(vec![]), ratio(1.0, 0.0), ratio(1.0, 2.0)), (None, None, Some(0.5)));
    }
}
