//! What each kind of endpoint costs, against its target: chat beside text completions, and media.

mod before;
mod chat;
mod media;
mod report;
mod upload;

use crate::measure::{Look, ProcessUse};
use crate::options::Options;
use crate::phases::{count, machine};
use crate::report::Jobs;
use crate::run::{Accepted, Run};
use report::Endpoints;
pub(crate) use report::text;

/// Measures all of it; each part has a service of its own, whose processes have done nothing else.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Endpoints> {
    // The time of the open loop is all that is wanted of it here.
    let options = &Options { rate: media::SMALL_RATE, ..options.clone() };
    let (mut rows, mut jobs) = (Vec::new(), Jobs::default());
    if let Some(before) = &options.before {
        rows.extend(before::compare(options, before).await?);
    }
    rows.extend(chat::measure(options, &mut jobs).await?);
    rows.push(media::pickup(options, &mut jobs).await?);
    rows.push(media::uploads(options, &mut jobs).await?);
    rows.push(media::transcriptions(options, &mut jobs).await?);
    let (speech, look) = media::speech(options, &mut jobs).await?;
    rows.push(speech);
    Ok(Endpoints { machine: machine(&look), jobs, rows })
}

/// How many jobs one of these services may get.
pub(crate) fn jobs(options: &Options) -> u64 {
    chat::jobs(options).max(media::jobs(options))
}

/// Waits for the end of these, and counts them.
async fn ended(run: &Run<'_>, what: &str, accepted: &[Accepted], jobs: &mut Jobs) -> anyhow::Result<()> {
    count(jobs, &run.ended(what, accepted).await?);
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

/// The middle one; the mean of the two in the middle of an even number; 0 of none.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = |index: usize| figures.get(index).copied().unwrap_or_default();
    f64::midpoint(middle(figures.len().saturating_sub(1) / 2), middle(figures.len() / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(
            [median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0, 2.0, 3.0]), median(vec![])],
            [2.0, 2.5, 0.0]
        );
    }
}
