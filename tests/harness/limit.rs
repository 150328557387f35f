//! A time limit for each test, so that one that hangs fails with its name instead of holding up the run.
//!
//! The harness's other limits ([`crate::PATIENCE`]) fail a test from within. This one is the last resort, for what blocks the
//! test's thread: nothing can unwind that thread from outside, so the whole test process is aborted.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// More than the slowest test takes beside a process that keeps all cores busy.
const LIMIT: Duration = Duration::from_secs(300);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

static RUNNING: Mutex<Vec<(String, Instant)>> = Mutex::new(Vec::new());

thread_local! {
    static THIS_TEST: Option<Running> = Running::start();
}

/// A test from its first use of the harness to the end of its thread.
struct Running(String);

impl Running {
    /// None on a thread that is not a test's: libtest names those after their tests.
    fn start() -> Option<Self> {
        let name = thread::current().name().filter(|name| name.contains("::"))?.to_owned();
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push((name.clone(), Instant::now()));
        Some(Self(name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|(name, _)| *name != self.0);
    }
}

/// Starts the time limit of the test that runs on this thread, if it has not begun.
pub(crate) fn start() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        thread::Builder::new().name("test limit".to_owned()).spawn(watch).unwrap();
    });
    THIS_TEST.with(|_| {});
}

fn watch() {
    loop {
        thread::sleep(LOOK_INTERVAL);
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((hung, _)) = running.iter().find(|(_, since)| since.elapsed() > LIMIT) else { continue };
        let others: Vec<&str> =
            running.iter().map(|(name, _)| name.as_str()).filter(|name| *name != hung).collect();
        let message = format!(
            "\ntest {hung} ... FAILED: it did not end within {} s, so all tests are aborted; running beside it: {others:?}\n",
            LIMIT.as_secs()
        );
        // Past libtest, which would keep it for a test that never ends.
        std::io::stderr().write_all(message.as_bytes()).ok();
        std::process::abort();
    }
}
