use std::time::Duration;

use hermod_providers::{Replies, Verdict};
use hermod_queue::{Delayed, Held, WorkerQueue};
use hermod_types::{Attempt, ErrorBody, ErrorCode, Target, Timestamp};
use tokio::time::{Instant, sleep};

use crate::admission::{Admission, Entry};
use crate::progress::Progress;
use crate::target::{TargetContext, TargetEnd, TargetRun};

/// What a job's chain of targets needs.
pub(crate) struct Chain<'a> {
    pub(crate) context: TargetContext<'a>,
    /// Where progress is noted, and what shows that the job is ours.
    pub(crate) queue: &'a WorkerQueue,
    pub(crate) held: &'a Held,
    /// How long the job has waited for this start, which began then.
    pub(crate) waited: Duration,
    pub(crate) begun: Instant,
    /// When the job's time is over, with all retries and fallbacks.
    pub(crate) deadline: Instant,
}

/// How a chain ended.
pub(crate) enum ChainEnd {
    /// With the job's result, or its error.
    Ended(Result<String, Box<ErrorBody>>),
    /// It is a delayed job until a retry time, and no worker's meanwhile.
    Delayed,
    /// It waits for its limits in the queue, and is no worker's meanwhile.
    Parked,
    /// It is to be ended as cancelled.
    Cancelled,
    /// The job is another's by now.
    Lost,
}

impl Chain<'_> {
    /// Tries the targets in order from where `progress` says, and notes it before each fallback. Those that cool down
    /// are passed over, and tried at the end. Each is asked for before it is called. `progress` is at all times how far the job has
    /// come.
    pub(crate) async fn run(&self, progress: &mut Progress, admission: &mut Admission<'_>) -> ChainEnd {
        let mut is_first = true;
        while let Some((index, target)) = self.next(progress) {
            if self.context.cancelled.is_cancelled() {
                return ChainEnd::Cancelled;
            }
            match admission.enter((index, target), progress, self.context.cancelled, self.deadline).await {
                Entry::Open => {
                    if std::mem::take(&mut is_first) {
                        self.context.counters.wait.record(self.waited + self.begun.elapsed());
                    }
                }
                Entry::Closed(refusal) => {
                    let why = refusal.kind.as_str();
                    progress.attempts.push(Attempt::skipped(target, None, why, Timestamp::now()));
                    self.context.skips(target, why);
                    if progress.primary_error.is_none() {
                        progress.primary_error = Some(refusal.to_body().about(target));
                    }
                    if !self.go_on(progress).await {
                        return ChainEnd::Lost;
                    }
                    continue;
                }
                Entry::Parked(kind) => {
                    self.context.span.event("parked", || [("hermod.limit", kind.as_str().into())]);
                    return ChainEnd::Parked;
                }
                Entry::Refused(error) => return ChainEnd::Ended(Err(with_attempts(*error, progress))),
                Entry::Cancelled => return ChainEnd::Cancelled,
                Entry::Lost => return ChainEnd::Lost,
            }
            let is_last_resort = progress.next >= self.context.request.targets.len();
            // A hung target leaves time for those behind it.
            let targets_left =
                self.context.request.targets.len().saturating_sub(progress.next) + progress.passed_over.len();
            let share = self.deadline.saturating_duration_since(Instant::now())
                / u32::try_from(targets_left.max(1)).unwrap_or(u32::MAX);
            let run = TargetRun {
                context: self.context,
                target,
                index,
                progress: &mut *progress,
                until: Instant::now() + share,
                is_last: targets_left <= 1,
                is_last_resort,
                replies: Replies::default(),
            };
            match run.run().await {
                TargetEnd::Answered(result) => return ChainEnd::Ended(Ok(result)),
                TargetEnd::Cancelled => return ChainEnd::Cancelled,
                TargetEnd::CoolsDown => progress.passed_over.push(index),
                TargetEnd::Delay(wait) => {
                    let spent = progress.spent() + self.begun.elapsed() + wait;
                    let noted = Progress {
                        spent_ms: u64::try_from(spent.as_millis()).unwrap_or(u64::MAX),
                        ..progress.clone()
                    };
                    let owed = admission.owed(progress);
                    match self.queue.delay(self.held, wait, &noted.to_json(), false, owed.as_ref()).await {
                        Ok(Delayed::Delayed) => {
                            if owed.is_some() {
                                admission.suspend().await;
                            }
                            self.context.waits("delayed", target, wait);
                            return ChainEnd::Delayed;
                        }
                        Ok(Delayed::Cancelled) => return ChainEnd::Cancelled,
                        Ok(Delayed::Lost) => return ChainEnd::Lost,
                        Err(error) => {
                            tracing::debug!(job = %self.held.id, %error, "not delayed in Redis; it waits here");
                            // At the next turn it is seen whether it was.
                            self.context.cancelled.run_until_cancelled(sleep(wait)).await;
                        }
                    }
                    continue;
                }
                TargetEnd::Failed(error) => {
                    tracing::debug!(job = %self.held.id, %target, status = error.status, %error, "target failed");
                    // The client asked for the primary, so it is told what that one said.
                    if index == 0 || progress.primary_error.is_none() {
                        progress.primary_error = Some(error.to_body(target));
                    }
                    // To the primary the request itself is wrong. A fallback may only have fewer members than it.
                    if error.verdict == Verdict::Fail && index == 0 {
                        break;
                    }
                }
            }
            if !self.go_on(progress).await {
                return ChainEnd::Lost;
            }
        }
        let nothing = || ErrorBody::new(ErrorCode::Internal, "the job's record names no target to try");
        let error = progress.primary_error.clone().unwrap_or_else(nothing);
        ChainEnd::Ended(Err(with_attempts(error, progress)))
    }

    /// Goes on to the next target, if there is one. False if the job is another's by now.
    async fn go_on(&self, progress: &mut Progress) -> bool {
        let targets = self.context.request.targets.len();
        // One that was passed over, and has its second turn behind it; those of this turn stand behind it.
        if progress.next >= targets && !progress.passed_over.is_empty() {
            progress.passed_over.remove(0);
        }
        progress.next = (progress.next + 1).min(targets);
        progress.retries = 0;
        self.next(progress).is_none() || self.note(progress).await
    }

    /// The target to try next, and its place.
    fn next(&self, progress: &Progress) -> Option<(usize, &Target)> {
        let index = if progress.next < self.context.request.targets.len() {
            progress.next
        } else {
            *progress.passed_over.first()?
        };
        self.context.request.targets.get(index).map(|target| (index, target))
    }

    /// Notes how far the job has come. False if it is another's by now.
    async fn note(&self, progress: &Progress) -> bool {
        match self.queue.note_progress(self.held, &progress.to_json()).await {
            Ok(ours) => ours,
            // It only saves a repetition: the chain goes on.
            Err(error) => {
                tracing::debug!(job = %self.held.id, %error, "progress not noted");
                true
            }
        }
    }
}

fn with_attempts(mut error: ErrorBody, progress: &Progress) -> Box<ErrorBody> {
    error.extra_fields.attempts = progress.attempts.clone();
    Box::new(error)
}
