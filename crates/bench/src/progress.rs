use std::io::Write;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::timeout;

/// Shows on standard error how far `wait` has come: in place on a terminal, else as a line every 5 s.
pub(crate) async fn progress<T>(text: impl Fn() -> String, wait: impl Future<Output = T>) -> T {
    let bar = ProgressBar::new_spinner();
    let interval = Duration::from_millis(if bar.is_hidden() { 5000 } else { 100 });
    let mut wait = std::pin::pin!(wait);
    loop {
        if let Ok(done) = timeout(interval, &mut wait).await {
            bar.finish_and_clear();
            return done;
        }
        if bar.is_hidden() {
            // A log that cannot be written to is no reason to fail.
            drop(writeln!(std::io::stderr(), "{}", text()));
        }
        bar.set_message(text());
        bar.tick();
    }
}
