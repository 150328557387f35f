use std::time::Duration;

use hermod_queue::{ServerCheck, Store, Tolerance, Unsuitable};

use crate::Shutdown;

/// How often Redis is asked for a sign of life.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long after an outage one of many workers looks at its Redis again, at most.
const AFTER_OUTAGE: Duration = Duration::from_secs(10);

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
    let (mut judged, mut is_first) = (false, true);
    loop {
        // What is wrong is in the store's health, where a change is logged.
        judged &= if asks { store.ping().await.is_ok() } else { store.is_well() };
        if !judged && !is_first && !asks {
            // A fleet that asks in the moment in which Redis is back would be its next outage.
            let wait = AFTER_OUTAGE.mul_f64(fastrand::f64());
            if shutdown.now.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Ok(());
            }
        }
        if !judged && let Ok(servers) = ServerCheck::of(&store).await {
            if let Err(unsuitable) = servers.iter().try_for_each(|server| server.judge(tolerance)) {
                tracing::error!(%unsuitable, "stopping");
                shutdown.drain.cancel();
                return Err(unsuitable);
            }
            accepted(&servers);
            judged = true;
            is_first = false;
        }
        if shutdown.now.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return Ok(());
        }
    }
}
