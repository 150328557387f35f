use std::process::ExitStatus;
use std::time::{Duration, Instant};

use hermod::process::Process;

/// How long anything may take that is not itself about time. It catches what hangs, never what is slow: tests run
/// beside each other, and beside whatever else keeps the machine busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `condition` gives something, and fails with `what` if it does not within `limit`, which counts as at
/// least [`PATIENCE`].
pub async fn eventually<T>(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_ok(what, limit, async || condition().await.ok_or("")).await
}

/// The same with a condition that says what is still missing.
pub async fn eventually_ok<T, E: std::fmt::Display>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    crate::limit::start();
    let limit = limit.max(PATIENCE);
    let deadline = Instant::now() + limit;
    loop {
        let missing = match condition().await {
            Ok(value) => return value,
            Err(missing) => missing,
        };
        assert!(Instant::now() < deadline, "not within {limit:?}: {what} {missing}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Waits for the end of a process.
pub async fn exit_of(process: &mut Process) -> ExitStatus {
    let what = format!("{} has ended", process.name());
    eventually(&what, PATIENCE, async || process.try_wait().unwrap()).await
}

/// Lets a fault last for `length`, or a job wait or run for so long. Whether something has happened is not asked this
/// way: that is what [`eventually`] is for.
pub async fn lasts(length: Duration) {
    tokio::time::sleep(length).await;
}
