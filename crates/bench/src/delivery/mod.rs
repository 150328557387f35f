//! What it costs that an answer finds its client: webhooks, waiting clients, and submits that are listed or may be repeated.

mod receiver;
mod submits;
mod waiter;
mod waiters;
mod webhooks;

use anyhow::Context;

use crate::before;
use crate::options::{Options, Part};
use crate::report::Jobs;
use crate::rows::{Figures, said};
use waiters::Form;

/// What a job without any of it is also run with: it tells the price of lists, which are on by default.
const WITHOUT_LISTS: before::Variant<'static> = ("without lists", &[LISTS_OFF]);
const LISTS_OFF: (&str, &str) = ("HERMOD_LISTS", "off");

/// Measures all of it; each part has a service of its own.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let (mut rows, mut jobs) = (Vec::new(), Jobs::default());
    if let Some(before) = &options.before {
        said(&mut rows, before::compare(options, before, Some(WITHOUT_LISTS)).await?);
    }
    let mut shown = None;
    for part in &options.parts {
        let (measured, look) = match part {
            Part::Submits => submits::measure(options, &mut jobs).await?,
            Part::Webhooks => webhooks::measure(options, &mut jobs).await?,
            Part::Polls => waiters::measure(options, Form::Poll, &mut jobs).await?,
            Part::Streams => waiters::measure(options, Form::Stream, &mut jobs).await?,
        };
        said(&mut rows, measured);
        shown = Some(look);
    }
    Ok(Figures::new(&shown.context("--parts: expected at least one")?, jobs, rows))
}

/// How many jobs one of these services may get.
pub(crate) fn jobs(options: &Options) -> u64 {
    submits::jobs(options).max(webhooks::jobs(options)).max(options.waiters)
}

/// By how much each of ours is more than theirs of the same round, in the median.
fn added(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    crate::rows::median(ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect())
}
