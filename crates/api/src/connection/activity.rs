use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

/// What a connection does, as its stream and the handlers of its requests know it together.
#[derive(Debug)]
pub(crate) struct Activity {
    phase: Cell<Phase>,
    /// Bytes that have come since the newest head ended.
    after_head: Cell<u64>,
    /// Whether the line that the head has come to is empty so far: an empty line ends a head.
    line_is_empty: Cell<bool>,
    /// Whether an answer of ours may be in the buffers.
    answering: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing of the next request has come.
    Idle { since: Instant },
    /// The next head is to be complete soon. `begun`: some of it has come.
    Head { since: Instant, begun: bool },
    /// A request is handled, or its answer produced.
    Handling,
}

/// The size of a request's body, as its head tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodySize {
    Known(u64),
    Chunked,
}

impl Activity {
    /// Of a new connection, which is to send a head soon.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Cell::new(Phase::Head { since: now, begun: false }),
            after_head: Cell::default(),
            line_is_empty: Cell::new(true),
            answering: Cell::default(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether an answer to a request has yet to leave, so that what is written is not an answer of the HTTP layer's alone.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.get()
    }

    /// Notes that all that was to be written has been.
    pub(super) fn flushed(&self) {
        if self.phase.get() != Phase::Handling {
            self.answering.set(false);
        }
    }

    /// Notes what the client has sent.
    pub(super) fn received(&self, bytes: &[u8], now: Instant) {
        let since = match self.phase.get() {
            _ if bytes.is_empty() => return,
            Phase::Handling => return self.add_after_head(bytes.len()),
            Phase::Head { since, .. } => since,
            Phase::Idle { .. } => now,
        };
        self.phase.set(Phase::Head { since, begun: true });
        if let Some(end) = self.end_of_head(bytes) {
            self.after_head.set(0);
            self.add_after_head(bytes.len() - end);
        }
    }

    fn add_after_head(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.after_head.set(self.after_head.get().saturating_add(bytes));
    }

    /// Where in `bytes` a head ends that has begun in them or before.
    fn end_of_head(&self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.line_is_empty.replace(true) => return Some(index + 1),
                b'\n' | b'\r' => {}
                _ => self.line_is_empty.set(false),
            }
        }
        None
    }

    /// Notes that a request is handled, until the guard is dropped.
    pub(crate) fn begin(self: &Rc<Self>, body: BodySize) -> Handling {
        self.phase.set(Phase::Handling);
        self.answering.set(true);
        Handling { activity: Rc::clone(self), body }
    }

    /// Notes that a request gets its answer without having been handled.
    pub(crate) fn answer(&self) {
        self.answering.set(true);
    }
}

/// A request is handled, or its answer is produced.
#[derive(Debug)]
pub(crate) struct Handling {
    activity: Rc<Activity>,
    body: BodySize,
}

impl Drop for Handling {
    fn drop(&mut self) {
        let since = Instant::now();
        // A client that sends the next request before it has the answer to this one may have sent a part of it.
        let is_followed = match self.body {
            BodySize::Known(bytes) => self.activity.after_head.get() > bytes,
            BodySize::Chunked => true,
        };
        let next = if is_followed { Phase::Head { since, begun: true } } else { Phase::Idle { since } };
        self.activity.phase.set(next);
    }
}
