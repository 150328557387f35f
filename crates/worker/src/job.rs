use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hermod_governance::Charge;
use hermod_providers::MediaSource;
use hermod_queue::{Ended, JobRequest, QueueError, Started};
use hermod_service::TraceSpan;
use hermod_types::{Backoff, ErrorBody, ErrorCode, Operation, Ttl, media_of};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::chain::{Chain, ChainEnd};
use crate::context::Context;
use crate::held::HeldGuard;
use crate::media::JobMedia;
use crate::memory::JobMemory;
use crate::progress::Progress;
use crate::settle::settle;
use crate::spend::count_charged;
use crate::target::TargetContext;
use crate::trace::{self, Left};

/// The wait after a failure to read a body, doubled up to the longest.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Runs one job from its start to its end.
pub(crate) async fn run(context: &Context, started: Started, job: HeldGuard, memory: JobMemory) {
    let begun = Instant::now();
    // Out here it is known how far the job has come, in whatever way it is broken off.
    let mut progress = Progress::parse(&started.progress);
    let span = &trace::run(&context.tracing, &started);
    let mut admission = Admission::new(context, &started).await;
    let start =
        Start { context, started: &started, memory: &memory, begun, is_to_end: job.cancelled(), span };
    let (start, so_far, asked) = (&start, &mut progress, &mut admission);
    // Made where it runs, see there.
    let execute = once(move || AssertUnwindSafe(start.execute(so_far, asked)).catch_unwind());
    let ended = match first_of(execute, job.lost(), context.release.cancelled()).await {
        First::Executed(executed) => executed.unwrap_or_else(|_| Some(after_panic(&started, &progress))),
        First::Lost => {
            trace::leaves(span, Left::Lost);
            None
        }
        First::Released => {
            trace::leaves(span, Left::Released);
            job.release(admission.hand_back(&progress).await);
            None
        }
    };
    let Some(mut ended) = ended else { return };
    ended.owed = admission.owed(&progress);
    let charge = &progress.charge;
    let code = ended.code;
    job.settling();
    let settling = trace::ends(span, &ended);
    if settle(context, ended, operation_of(&started), charge).await {
        let owner = started.request.as_ref().and_then(|request| request.owner.as_deref());
        count_charged(context.rules.current().name_of(owner), charge);
    } else {
        trace::leaves(span, Left::Lost);
        settling.fail(Left::Lost.as_str());
    }
    drop(settling);
    let elapsed = begun.elapsed();
    tracing::debug!(job = %job.held().id, code, duration_ms = elapsed.as_millis(), "job ended");
    context.counters.seconds.record(elapsed);
}

/// A closure that is called once may lend what it has.
fn once<F, T: FnOnce() -> F>(closure: T) -> T {
    closure
}

/// What came first of a job that runs.
#[derive(Debug, PartialEq, Eq)]
enum First<T> {
    Executed(T),
    Lost,
    Released,
}

/// An outcome that is there counts, even if the job is lost or to be released in the same moment: it is paid for.
async fn first_of<F: Future>(
    execute: impl FnOnce() -> F,
    lost: impl Future<Output = ()>,
    release: impl Future<Output = ()>,
) -> First<F::Output> {
    tokio::select! {
        biased;
        // Made here and not before: what is moved keeps its old place in the task as well.
        executed = execute() => First::Executed(executed),
        () = lost => First::Lost,
        () = release => First::Released,
    }
}

/// A fault of ours must not cost the same again and again: the job ends, and is kept for whoever mends it.
fn after_panic(started: &Started, progress: &Progress) -> Ended {
    let error = ErrorBody::new(ErrorCode::Internal, "the worker failed while it ran the job");
    let given_up = Some(ErrorCode::Internal.as_str());
    end(started, ttl_of(started), Err(Box::new(error)), given_up, &progress.charge)
}

/// How long its record is kept, as far as that can be read.
fn ttl_of(started: &Started) -> Ttl {
    started.request.as_ref().map_or(Ttl::MAX, |request| request.ttl)
}

/// A job's result, or its error.
type Outcome = Result<String, Box<ErrorBody>>;

/// One start of a job.
struct Start<'a> {
    context: &'a Context,
    started: &'a Started,
    memory: &'a JobMemory,
    begun: Instant,
    is_to_end: &'a CancellationToken,
    span: &'a TraceSpan,
}

impl Start<'_> {
    /// Finds out how the job ends; none if it is not this worker's to end: it waits, is delayed, or is another's by now.
    async fn execute(&self, progress: &mut Progress, admission: &mut Admission<'_>) -> Option<Ended> {
        let Self { context, started, memory, begun, is_to_end, span } = *self;
        if started.is_cancelled {
            return Some(cancelled(started, ttl_of(started), progress));
        }
        let Some(request) = &started.request else {
            return Some(unreadable(started, Ttl::MAX, &progress.charge));
        };
        if let Some(error) = admission.blocked() {
            return Some(end(started, request.ttl, Err(error), None, &progress.charge));
        }
        if let Some((error, reason)) = give_up(context, started, request) {
            // What it has waited for may have been its limits.
            if reason == ErrorCode::JobDeadlineExceeded.as_str()
                && let Some(refusal) = admission.overdue().await
            {
                return Some(end(started, request.ttl, Err(refusal), None, &progress.charge));
            }
            return Some(end(started, request.ttl, Err(Box::new(error)), Some(reason), &progress.charge));
        }
        let deadline = begun + context.limits.run.saturating_sub(progress.spent());
        let body = timeout_at(deadline, body(context, started, request));
        let body = match is_to_end.run_until_cancelled(body).await {
            None => return Some(cancelled(started, request.ttl, progress)),
            Some(Ok(Some(body))) => body,
            Some(Ok(None)) => return Some(unreadable(started, request.ttl, &progress.charge)),
            Some(Err(_)) => {
                let code = ErrorCode::JobDeadlineExceeded;
                let error = ErrorBody::new(code, "the job's request could not be read in its time");
                let error = Err(Box::new(error));
                return Some(end(started, request.ttl, error, Some(code.as_str()), &progress.charge));
            }
        };
        if admission.is_governed() {
            admission.expect(context.spending.estimate(request, &body));
        }
        let media = context.queue.media(&started.held);
        let media = media.map(|reader| Arc::new(JobMedia(reader)) as Arc<dyn MediaSource>);
        let rules = admission.rules();
        let chain = Chain {
            context: TargetContext {
                providers: &context.providers,
                cooldowns: &context.cooldowns,
                counters: &context.counters,
                calls: &context.calls,
                rules: &rules,
                spending: &context.spending,
                request,
                body: &body,
                media: media.as_ref(),
                memory,
                cancelled: is_to_end,
                span,
            },
            queue: &context.queue,
            held: &started.held,
            waited: started.waited,
            begun,
            deadline,
        };
        let outcome = match chain.run(progress, admission).await {
            ChainEnd::Ended(outcome) => outcome,
            ChainEnd::Delayed => {
                trace::leaves(span, Left::Delayed);
                metrics::counter!("hermod_jobs_delayed_total").increment(1);
                return None;
            }
            ChainEnd::Cancelled => return Some(cancelled(started, request.ttl, progress)),
            ChainEnd::Parked => {
                trace::leaves(span, Left::Parked);
                return None;
            }
            ChainEnd::Lost => {
                trace::leaves(span, Left::Lost);
                return None;
            }
        };
        match outcome {
            Err(error) if Instant::now() >= deadline => {
                let limit = context.limits.run.as_secs();
                let message =
                    format!("the job ran longer than {limit} s; its model said: {}", error.error.message);
                let code = ErrorCode::JobRunDeadlineExceeded;
                let mut late = ErrorBody::new(code, message);
                late.extra_fields = error.extra_fields;
                Some(end(started, request.ttl, Err(Box::new(late)), Some(code.as_str()), &progress.charge))
            }
            outcome => Some(end(started, request.ttl, outcome, None, &progress.charge)),
        }
    }
}

fn unreadable(started: &Started, ttl: Ttl, charge: &Charge) -> Ended {
    let error = ErrorBody::new(ErrorCode::Internal, "the job's record holds no readable request");
    end(started, ttl, Err(Box::new(error)), Some("unreadable"), charge)
}

/// The body of the request, read from Redis where it is kept apart: for as long as that takes, as the job is held meanwhile.
/// None where it is gone, or is no text.
async fn body<'a>(context: &Context, started: &Started, request: &'a JobRequest) -> Option<Cow<'a, str>> {
    if !started.held.has_body_apart() {
        return Some(Cow::Borrowed(&request.body));
    }
    let mut failures = 0;
    loop {
        match context.queue.body(&started.held).await {
            Ok(body) => return body.and_then(|body| String::from_utf8(body).ok()).map(Cow::Owned),
            Err(error @ QueueError::Unexpected(_)) => {
                tracing::warn!(job = %started.held.id, %error, "the request's body cannot be read");
                return None;
            }
            Err(error) => {
                tracing::debug!(job = %started.held.id, %error, "the request's body is not read yet");
                sleep(BACKOFF.wait(failures)).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

/// Why this job is not run once more, if it is not.
fn give_up(context: &Context, started: &Started, request: &JobRequest) -> Option<(ErrorBody, &'static str)> {
    let primary = request.targets.first()?;
    let refuse = |code: ErrorCode, message: String| {
        Some((ErrorBody::new(code, message).about(primary), code.as_str()))
    };
    if started.attempt > context.limits.attempts {
        let history: Vec<_> = started.history.lines().collect();
        let message = format!(
            "the job was started {} times and never ended; workers and times (ms): {}",
            context.limits.attempts,
            history.join(", ")
        );
        return refuse(ErrorCode::JobAttemptsExhausted, message);
    }
    if started.waited > context.limits.wait {
        let message = format!(
            "the job waited {} s, the limit is {} s",
            started.waited.as_secs(),
            context.limits.wait.as_secs()
        );
        return refuse(ErrorCode::JobDeadlineExceeded, message);
    }
    None
}

fn cancelled(started: &Started, ttl: Ttl, progress: &Progress) -> Ended {
    let mut error = ErrorBody::cancelled();
    error.extra_fields.attempts = progress.attempts.clone();
    Ended { cancelled: true, ..end(started, ttl, Err(Box::new(error)), None, &progress.charge) }
}

fn end(
    started: &Started,
    ttl: Ttl,
    outcome: Outcome,
    given_up: Option<&'static str>,
    charge: &Charge,
) -> Ended {
    let operation = operation_of(started);
    let (code, outcome, media) = match outcome {
        Ok(result) => {
            let media = operation.map(|operation| media_of(operation, &result)).unwrap_or_default();
            let media = (!media.is_empty()).then(|| serde_json::to_string(&media).unwrap_or_default());
            (200, result, media)
        }
        Err(mut error) => {
            error.extra_fields.usage_charged = charge.usage_charged();
            let error = of(*error, operation).identified();
            if let Some(event_id) = &error.event_id {
                tracing::info!(job = %started.held.id, event_id, status = error.status_code, error = error.error.code, "the job fails");
            }
            (error.status_code, error.to_json(), None)
        }
    };
    Ended { held: started.held.clone(), code, outcome, media, ttl, given_up, cancelled: false, owed: None }
}

/// The error, about this kind of call.
pub(crate) fn of(error: ErrorBody, operation: Option<Operation>) -> ErrorBody {
    match operation {
        Some(operation) => error.of(operation),
        None => error,
    }
}

/// What the job is; none where its request is unreadable.
fn operation_of(started: &Started) -> Option<Operation> {
    started.request.as_ref().map(|request| request.operation)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// Often, as a choice by chance is right now and then.
    const TIMES: usize = 100;

    #[tokio::test]
    async fn an_outcome_that_is_there_wins() {
        for _ in 0..TIMES {
            assert_eq!(first_of(|| ready(1), ready(()), ready(())).await, First::Executed(1));
            assert_eq!(first_of(|| ready(1), ready(()), pending()).await, First::Executed(1));
            assert_eq!(first_of(|| ready(1), pending(), ready(())).await, First::Executed(1));
        }
    }

    #[tokio::test]
    async fn what_becomes_ready_in_one_moment_is_an_outcome_too() {
        for _ in 0..TIMES {
            let (done, over) = (tokio::sync::Notify::new(), CancellationToken::new());
            let mut first = std::pin::pin!(first_of(|| done.notified(), over.cancelled(), over.cancelled()));
            assert!(futures_util::poll!(&mut first).is_pending());
            over.cancel();
            done.notify_one();
            assert_eq!(first.await, First::Executed(()));
        }
    }

    #[tokio::test]
    async fn a_job_without_an_outcome_is_lost_or_released() {
        for _ in 0..TIMES {
            assert_eq!(first_of(pending::<()>, pending(), ready(())).await, First::Released);
            // What is another's by now is not ours to release.
            assert_eq!(first_of(pending::<()>, ready(()), ready(())).await, First::Lost);
        }
    }
}
