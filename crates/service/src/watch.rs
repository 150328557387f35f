use std::time::Duration;

use hermod_queue::Store;
use tokio_util::sync::CancellationToken;

/// How often Redis is asked for a sign of life.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the health of `store` up to date, so that an idle process notices too. Runs until `stop`.
pub async fn watch_redis(store: Store, stop: CancellationToken) {
    loop {
        // The outcome is in the store's health; a change of it is logged there.
        drop(store.ping().await);
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}
