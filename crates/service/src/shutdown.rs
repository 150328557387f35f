use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When to stop: gently, or at once. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take nothing new, and end what runs within the grace time.
    pub drain: CancellationToken,
    /// Stop now.
    pub now: CancellationToken,
}

impl Shutdown {
    /// The first SIGTERM or SIGINT drains, the second stops at once.
    ///
    /// # Errors
    /// If the process may not listen for signals.
    pub fn on_signals(tasks: &TaskTracker) -> std::io::Result<Self> {
        let shutdown = Self::default();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let listener = shutdown.clone();
        tasks.spawn(async move {
            for step in [&listener.drain, &listener.now] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    () = listener.now.cancelled() => return,
                }
                step.cancel();
            }
        });
        Ok(shutdown)
    }

    /// Stops at once, and lets go of whoever waits for a signal.
    pub fn stop(&self) {
        self.drain.cancel();
        self.now.cancel();
    }
}
