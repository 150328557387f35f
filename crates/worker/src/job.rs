use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use hermod_queue::{Ended, NewJob, Started};
use hermod_types::{ErrorBody, ErrorCode, JobStatus, Ttl};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::chain::{Chain, ChainEnd};
use crate::lease::LeaseGuard;
use crate::progress::Progress;
use crate::server::Bench;
use crate::settle::settle;

/// Runs one job from its start to its end. `hand_back` ends it early; it is then put on the pile of those that
/// go back to the queue.
pub(crate) async fn run(
    bench: Arc<Bench>,
    started: Started,
    lease: LeaseGuard,
    hand_back: CancellationToken,
) {
    let begun = Instant::now();
    let ended = tokio::select! {
        // Made here and not before: what is moved keeps its old place in the task as well.
        executed = AssertUnwindSafe(execute(&bench, &started, begun)).catch_unwind() => executed.unwrap_or_else(|_| Some(after_panic(&started))),
        () = lease.lost() => None,
        () = hand_back.cancelled() => {
            bench.hand_back(lease.held().clone());
            None
        }
    };
    let Some(ended) = ended else { return };
    let (status, code) = (ended.status, ended.code);
    lease.settling();
    settle(&bench, ended).await;
    let elapsed = begun.elapsed();
    tracing::debug!(job = %lease.held().id, status = status.as_str(), code, duration_ms = elapsed.as_millis(), "job ended");
    bench.counters.seconds.record(elapsed);
}

/// A fault of ours must not cost the same again and again: the job ends, and is kept for whoever mends it.
fn after_panic(started: &Started) -> Ended {
    let error = ErrorBody::new(ErrorCode::Internal, "the worker failed while it ran the job");
    let ttl = started.job.as_ref().map_or(Ttl::MAX, |job| job.ttl);
    end(started, ttl, Err(Box::new(error)), Some(ErrorCode::Internal.as_str()))
}

/// A job's result, or its error.
type Outcome = Result<String, Box<ErrorBody>>;

/// Finds out how the job ends; none if it is not this worker's to end: it sleeps, or is another's by now.
async fn execute(bench: &Bench, started: &Started, begun: Instant) -> Option<Ended> {
    let Some(job) = &started.job else {
        let error = ErrorBody::new(ErrorCode::Internal, "the job's record holds no readable request");
        return Some(end(started, Ttl::MAX, Err(Box::new(error)), Some("unreadable")));
    };
    if let Some((error, reason)) = give_up(bench, started, job) {
        return Some(end(started, job.ttl, Err(Box::new(error)), Some(reason)));
    }
    let progress = Progress::parse(&started.progress);
    let chain = Chain {
        providers: &bench.work.providers,
        cooldowns: &bench.cooldowns,
        counters: &bench.counters,
        virtual_keys: &bench.work.virtual_keys,
        job,
        queue: &bench.queue,
        held: &started.held,
        begun,
        deadline: begun + bench.work.max_run.saturating_sub(progress.spent()),
    };
    let deadline = chain.deadline;
    let outcome = match chain.run(progress).await {
        ChainEnd::Ended(outcome) => outcome,
        ChainEnd::Delayed => {
            metrics::counter!("hermod_jobs_slept_total").increment(1);
            return None;
        }
        ChainEnd::Lost => return None,
    };
    match outcome {
        Err(error) if Instant::now() >= deadline => {
            let limit = bench.work.max_run.as_secs();
            let message =
                format!("the job ran longer than {limit} s; its model said: {}", error.error.message);
            let mut late = ErrorBody::new(ErrorCode::JobDeadlineExceeded, message);
            late.extra_fields = error.extra_fields;
            Some(end(started, job.ttl, Err(Box::new(late)), Some(ErrorCode::JobDeadlineExceeded.as_str())))
        }
        outcome => Some(end(started, job.ttl, outcome, None)),
    }
}

/// Why this job is not run once more, if it is not.
fn give_up(bench: &Bench, started: &Started, job: &NewJob) -> Option<(ErrorBody, &'static str)> {
    let primary = job.targets.first()?;
    let refuse = |code: ErrorCode, message: String| {
        Some((ErrorBody::new(code, message).about(primary), code.as_str()))
    };
    if started.attempt > bench.work.max_attempts {
        let history: Vec<_> = started.history.lines().collect();
        let message = format!(
            "the job was started {} times and never ended; workers and times (ms): {}",
            bench.work.max_attempts,
            history.join(", ")
        );
        return refuse(ErrorCode::JobAttemptsExhausted, message);
    }
    if started.age > bench.work.max_wait {
        let message = format!(
            "the job waited {} s, the limit is {} s",
            started.age.as_secs(),
            bench.work.max_wait.as_secs()
        );
        return refuse(ErrorCode::JobDeadlineExceeded, message);
    }
    None
}

fn end(started: &Started, ttl: Ttl, outcome: Outcome, given_up: Option<&'static str>) -> Ended {
    let (status, code, outcome) = match outcome {
        Ok(result) => (JobStatus::Completed, 200, result),
        Err(error) => (JobStatus::Failed, error.status_code, error.to_json()),
    };
    Ended { held: started.held.clone(), status, code, outcome, ttl, given_up }
}
