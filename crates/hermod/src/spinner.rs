use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const INTERVAL: Duration = Duration::from_millis(100);

/// Shows on standard error that `wait` takes its time, if a person is looking.
pub(crate) async fn spin<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let mut wait = std::pin::pin!(wait);
    let mut terminal = std::io::stderr();
    if !terminal.is_terminal() {
        return wait.await;
    }
    let started = Instant::now();
    for frame in FRAMES.iter().cycle() {
        // A terminal that cannot be written to is no reason to fail.
        drop(write!(terminal, "\r{frame} {what} {:.1} s ", started.elapsed().as_secs_f64()));
        drop(terminal.flush());
        if let Ok(done) = tokio::time::timeout(INTERVAL, &mut wait).await {
            drop(write!(terminal, "\r\x1b[2K"));
            return done;
        }
    }
    wait.await
}
