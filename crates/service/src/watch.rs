use std::time::Duration;

use hermod_queue::{ServerCheck, Store, Tolerance, Unsuitable};

use crate::Shutdown;

/// How often Redis is asked for a sign of life.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the health of `store` up to date, so that an idle process notices too; runs until `shutdown.now`. A process that
/// talks to Redis each second anyway need not ask for this: `asks`.
///
/// Each time that Redis is there again, it may be another one: it is judged, and one that would lose jobs by
/// design makes the process drain; `accepted` is told of one that would not.
///
/// # Errors
/// Why Redis must not be used.
pub async fn watch_redis(
    store: Store,
    tolerance: Tolerance,
    shutdown: Shutdown,
    asks: bool,
    accepted: impl Fn(&[ServerCheck]),
) -> Result<(), Unsuitable> {
    let mut judged = false;
    loop {
        // What is wrong is in the store's health, where a change is logged.
        judged &= if asks { store.ping().await.is_ok() } else { store.is_well() };
        if !judged && let Ok(servers) = ServerCheck::of(&store).await {
            if let Err(unsuitable) = servers.iter().try_for_each(|server| server.judge(tolerance)) {
                tracing::error!(%unsuitable, "stopping");
                shutdown.drain.cancel();
                return Err(unsuitable);
            }
            accepted(&servers);
            judged = true;
        }
        if shutdown.now.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return Ok(());
        }
    }
}
