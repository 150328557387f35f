use std::time::Duration;

use hermod_providers::{Call, CallError, Providers, Verdict};
use hermod_queue::{Held, NewJob, WorkerQueue};
use hermod_types::config::{Models, VirtualKey};
use hermod_types::{ErrorBody, ErrorCode, Target};
use tokio::time::{Instant, sleep};

use crate::progress::Progress;

/// A longer wait for one target is not worth it while there is another to try.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What a job's chain of targets needs.
pub(crate) struct Chain<'a> {
    pub(crate) providers: &'a Providers,
    /// The virtual keys, one of which the job may have been submitted with.
    pub(crate) virtual_keys: &'a [VirtualKey],
    pub(crate) job: &'a NewJob,
    /// Where progress is noted, and what shows that the job is ours.
    pub(crate) queue: &'a WorkerQueue,
    pub(crate) held: &'a Held,
    /// When the job's time is over, with all retries and fallbacks.
    pub(crate) deadline: Instant,
}

/// How a chain ended, when the job is still ours.
pub(crate) type ChainEnd = Result<String, Box<ErrorBody>>;

impl Chain<'_> {
    /// Tries the targets in order from where `progress` says, and notes it before each fallback. None if the
    /// job turns out to be another's by now.
    pub(crate) async fn run(&self, mut progress: Progress) -> Option<ChainEnd> {
        while let Some(target) = self.job.targets.get(progress.next) {
            let error = match self.try_target(progress.next, target).await {
                Ok(result) => return Some(Ok(result)),
                Err(error) => error,
            };
            tracing::debug!(job = %self.job.id, %target, status = error.status, %error, "target failed");
            // The client asked for the primary, so it is told what that one said.
            progress.primary_error.get_or_insert_with(|| error.to_body(target));
            if error.verdict == Verdict::Fail {
                break;
            }
            progress.next += 1;
            if self.job.targets.len() > progress.next {
                match self.queue.note_progress(self.held, &progress.to_json()).await {
                    Ok(true) => {}
                    Ok(false) => return None,
                    // It only saves a repetition: the chain goes on.
                    Err(error) => tracing::debug!(job = %self.job.id, %error, "progress not noted"),
                }
            }
        }
        let exhausted = || ErrorBody::new(ErrorCode::Internal, "the job's record names no target to try");
        Some(Err(Box::new(progress.primary_error.unwrap_or_else(exhausted))))
    }

    /// Calls one target until it answers, its retries are used up, or its share of the time is over.
    async fn try_target(&self, index: usize, target: &Target) -> Result<String, CallError> {
        let keys = self.keys(target)?;
        // A hung target leaves time for those behind it.
        let targets_left = u32::try_from(self.job.targets.len() - index).unwrap_or(u32::MAX);
        let until = Instant::now() + self.deadline.saturating_duration_since(Instant::now()) / targets_left;
        let policy = self.providers.retry_policy(target.provider());
        let mut retry = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = policy.map_or(left, |policy| policy.request_timeout.min(left));
            let call =
                Call { target, fallback_index: index, body: &self.job.body, keys, timeout, patience: left };
            let outcome = self.providers.call(call).await;
            let label = if outcome.is_ok() { "success" } else { "error" };
            metrics::counter!("hermod_provider_calls_total", "provider" => target.provider().to_owned(), "outcome" => label)
                .increment(1);
            let error = match outcome {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let Verdict::Retry { after } = error.verdict else { return Err(error) };
            let Some(policy) = policy.filter(|policy| retry < policy.max_retries) else { return Err(error) };
            let wait = policy.backoff(retry, after);
            let is_last = targets_left == 1;
            if wait >= until.saturating_duration_since(Instant::now()) || (wait > LONGEST_WAIT && !is_last) {
                return Err(error);
            }
            sleep(wait).await;
            retry += 1;
        }
    }

    /// The provider's keys that the job's owner may use: all where it has none.
    fn keys(&self, target: &Target) -> Result<&Models, CallError> {
        let Some(owner) = &self.job.owner else { return Ok(&Models::All) };
        let key = self.virtual_keys.iter().find(|key| key.id == *owner && key.active);
        let grant = key.filter(|key| key.allows(target)).and_then(|key| key.grant(target.provider()));
        grant.map(|grant| &grant.key_ids).ok_or_else(|| CallError::not_allowed(target))
    }
}
