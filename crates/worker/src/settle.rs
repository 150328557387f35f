use std::sync::Arc;
use std::time::Duration;

use hermod_governance::Charge;
use hermod_queue::{Ended, Finished, QueueError, Settled};
use hermod_types::{Backoff, ErrorBody, ErrorCode, Journal, Operation};
use serde::Deserialize;
use tokio::time::sleep;

use crate::context::Context;
use crate::job::of;

/// The wait between tries to write an end.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// Redis refuses an outcome so often, while it answers others, before an error is written instead.
const REFUSALS: u32 = 10;

/// Writes how a job ended, and does not give up while the process lives: the call is paid for. If the lease
/// has passed to another meanwhile, the fence refuses the write. Only an outcome that Redis itself refuses again and again is
/// replaced, by an error that says so: an accepted job ends. False if it was no more this worker's to end.
pub(crate) async fn settle(
    context: &Context,
    ended: Ended,
    operation: Option<Operation>,
    charge: &Charge,
) -> bool {
    let mut ended = Arc::new(ended);
    let (mut failures, mut refusals) = (0, 0);
    let Finished { settled, openings } = loop {
        match context.queue.finish(Arc::clone(&ended)).await {
            Ok(Finished { settled: Settled::Cancelled, .. }) => {
                ended = Arc::new(as_cancelled(&ended, operation, charge));
            }
            Ok(finished) => break finished,
            Err(error) => {
                tracing::debug!(job = %ended.held.id, %error, "end not written yet");
                // Either Redis says so, or it answers all but this.
                let is_refusal =
                    matches!(error, QueueError::Unexpected(_)) || context.queue.is_well(&ended.held);
                refusals += u32::from(is_refusal);
                if is_refusal && refusals == REFUSALS {
                    let (failed, event_id) = without_outcome(&ended, operation, charge);
                    tracing::error!(job = %ended.held.id, event_id, bytes = ended.outcome.len(), %error, "Redis refuses the outcome; the job fails");
                    ended = Arc::new(failed);
                }
                sleep(BACKOFF.wait(failures)).await;
                failures = failures.saturating_add(1);
            }
        }
    };
    // They are those of all ends of the call, whichever this one is.
    context.governance.open(openings);
    match settled {
        Settled::Done | Settled::AlreadyDone => {
            context.counters.ended(&ended);
            count(context, &ended).await;
            if let Some(reason) = ended.given_up {
                tracing::warn!(job = %ended.held.id, reason, "job given up; it is among the dead letters");
            }
            true
        }
        Settled::Lost | Settled::Gone | Settled::Cancelled | Settled::Expired => {
            metrics::counter!("hermod_stale_results_total").increment(1);
            tracing::warn!(job = %ended.held.id, ?settled, "result discarded: the job is no longer this worker's");
            false
        }
    }
}

/// Counts what the job has used. Should that fail, the leader does it: it stands beside the job's end.
async fn count(context: &Context, ended: &Ended) {
    let Some(owed) = ended.owed.clone() else { return };
    if let Err(error) = context.governance.ended(ended.held.id, owed).await {
        tracing::debug!(job = %ended.held.id, %error, "not settled; the leader does it");
    }
}

fn without_outcome(ended: &Ended, operation: Option<Operation>, charge: &Charge) -> (Ended, Option<String>) {
    let message = format!("the outcome of {} bytes could not be stored", ended.outcome.len());
    let mut error = of(ErrorBody::new(ErrorCode::Internal, message), operation).identified();
    error.extra_fields.usage_charged = charge.usage_charged();
    let failed = Ended {
        held: ended.held.clone(),
        code: error.status_code,
        outcome: error.to_json(),
        media: None,
        ttl: ended.ttl,
        given_up: Some(ErrorCode::Internal.as_str()),
        cancelled: false,
        owed: ended.owed.clone(),
    };
    (failed, error.event_id)
}

/// The end of a job that was to be cancelled before its outcome came. What was tried has its price, and stays.
fn as_cancelled(ended: &Ended, operation: Option<Operation>, charge: &Charge) -> Ended {
    #[derive(Deserialize)]
    struct Tried {
        extra_fields: Extra,
    }
    #[derive(Deserialize)]
    struct Extra {
        #[serde(default)]
        attempts: Journal,
    }
    let mut error = of(ErrorBody::cancelled(), operation);
    error.extra_fields.usage_charged = charge.usage_charged();
    if let Ok(tried) = serde_json::from_str::<Tried>(&ended.outcome) {
        error.extra_fields.attempts = tried.extra_fields.attempts;
    }
    Ended {
        held: ended.held.clone(),
        code: error.status_code,
        outcome: error.to_json(),
        media: None,
        ttl: ended.ttl,
        given_up: None,
        cancelled: true,
        owed: ended.owed.clone(),
    }
}
