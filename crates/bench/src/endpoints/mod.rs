//! What each kind of endpoint costs, against its target: chat beside text completions, and media.

mod chat;
mod media;
mod upload;

use crate::before;
use crate::options::Options;
use crate::report::Jobs;
use crate::rows::{Figures, said};

/// Measures all of it; each part has a service of its own, whose processes have done nothing else.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    // The time of the open loop is all that is wanted of it here.
    let options = &Options { rate: media::SMALL_RATE, ..options.clone() };
    let (mut rows, mut jobs) = (Vec::new(), Jobs::default());
    if let Some(before) = &options.before {
        said(&mut rows, before::compare(options, before, None).await?);
    }
    said(&mut rows, chat::measure(options, &mut jobs).await?);
    said(&mut rows, [media::pickup(options, &mut jobs).await?]);
    said(&mut rows, [media::uploads(options, &mut jobs).await?]);
    said(&mut rows, [media::transcriptions(options, &mut jobs).await?]);
    let (speech, look) = media::speech(options, &mut jobs).await?;
    said(&mut rows, [speech]);
    Ok(Figures::new(&look, jobs, rows))
}

/// How many jobs one of these services may get.
pub(crate) fn jobs(options: &Options) -> u64 {
    chat::jobs(options).max(media::jobs(options))
}
