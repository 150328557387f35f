use std::sync::Arc;
use std::time::Duration;

use hermod_queue::{Ended, Settled};
use tokio::time::sleep;

use crate::server::Bench;

/// The wait between tries to write an end, doubled up to the longest.
const BACKOFF_INITIAL: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Writes how a job ended, and does not give up while the process lives: the call is paid for. If the lease
/// has passed to another meanwhile, the fence refuses the write.
pub(crate) async fn settle(bench: &Bench, ended: Ended) {
    let ended = Arc::new(ended);
    let mut backoff = BACKOFF_INITIAL;
    let settled = loop {
        match bench.queue.finish(Arc::clone(&ended)).await {
            Ok(settled) => break settled,
            Err(error) => {
                tracing::debug!(job = %ended.held.id, %error, "end not written yet");
                sleep(backoff.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    };
    match settled {
        Settled::Done | Settled::AlreadyDone => {
            bench.counters.ended(ended.status);
            if let Some(reason) = ended.given_up {
                tracing::warn!(job = %ended.held.id, reason, "job given up; it is among the dead letters");
            }
        }
        Settled::LeaseLost | Settled::Gone => {
            metrics::counter!("hermod_stale_results_total").increment(1);
            tracing::warn!(job = %ended.held.id, ?settled, "result discarded: the job is no longer this worker's");
        }
    }
}
