use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const INTERVAL: Duration = Duration::from_millis(100);
/// How often a line says how far it is, where nobody looks at a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows on standard error that `wait` takes its time, if a person is looking.
pub(crate) async fn spin<T>(what: &str, wait: impl Future<Output = T>) -> T {
    if std::io::stderr().is_terminal() { draw(|| what.to_owned(), wait).await } else { wait.await }
}

/// Shows on standard error how far `wait` is: in place on a terminal, else as a line every few seconds.
pub(crate) async fn progress<T>(text: impl Fn() -> String, wait: impl Future<Output = T>) -> T {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        return draw(text, wait).await;
    }
    let mut wait = std::pin::pin!(wait);
    loop {
        if let Ok(done) = tokio::time::timeout(LINE_INTERVAL, &mut wait).await {
            return done;
        }
        // A log that cannot be written to is no reason to fail.
        drop(writeln!(terminal, "{}", text()));
    }
}

async fn draw<T>(text: impl Fn() -> String, wait: impl Future<Output = T>) -> T {
    let mut wait = std::pin::pin!(wait);
    let mut terminal = std::io::stderr();
    let started = Instant::now();
    for frame in FRAMES.iter().cycle() {
        // A terminal that cannot be written to is no reason to fail.
        drop(write!(terminal, "\r\x1b[2K{frame} {} {:.1} s ", text(), started.elapsed().as_secs_f64()));
        drop(terminal.flush());
        if let Ok(done) = tokio::time::timeout(INTERVAL, &mut wait).await {
            drop(write!(terminal, "\r\x1b[2K"));
            return done;
        }
    }
    wait.await
}
