use std::time::Duration;

use hermod_queue::QueueError;
use hermod_types::{Backoff, JobId};
use tokio::time::sleep;

/// The wait after a failure of Redis.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// Redis refuses a call so often before it is given up.
const REFUSALS: u32 = 10;

/// Makes a call that is safe to repeat until Redis has answered, however long it is away; none where Redis itself refuses it
/// again and again.
pub(super) async fn insist<T, F: Future<Output = Result<T, QueueError>>>(
    delivery: JobId,
    what: &str,
    mut call: impl FnMut() -> F,
) -> Option<T> {
    let (mut failures, mut refusals) = (0, 0);
    loop {
        match call().await {
            Ok(answer) => return Some(answer),
            Err(error) => {
                refusals += u32::from(matches!(error, QueueError::Unexpected(_)));
                if refusals == REFUSALS {
                    tracing::error!(%delivery, what, %error, "Redis refuses a step of a delivery");
                    return None;
                }
                tracing::debug!(%delivery, what, %error, "a step of a delivery is not done yet");
                sleep(BACKOFF.wait(failures)).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}
