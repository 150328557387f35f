use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A gentle look rests for so many times as long as it worked.
const REST: u32 = 9;

/// How fast something goes through all of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As fast as it can: somebody waits for it.
    Full,
    /// A tenth of the time, so that jobs do not notice.
    Gentle {
        /// When it last began to work.
        since: Instant,
    },
}

impl Pace {
    pub(crate) fn gentle() -> Self {
        Self::Gentle { since: Instant::now() }
    }

    /// Rests after a piece of work.
    pub(crate) async fn rest(&mut self) {
        if let Self::Gentle { since } = self {
            sleep((since.elapsed() * REST).min(Duration::from_secs(5))).await;
            *since = Instant::now();
        }
    }
}
