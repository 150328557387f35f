//! One client that waits for one job.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{bail, ensure};
use hyper::StatusCode;
use tokio::sync::Semaphore;

use super::waiters::Form;
use crate::exchanges::{Accepted, unexpected};
use crate::http::{Connection, Target};

/// Connections that are made at once.
const CONNECTING: usize = 128;

/// What all of them have seen together.
#[derive(Debug)]
pub(super) struct Room {
    door: Semaphore,
    /// Those that have asked; of streams, those that have been told how their job stands.
    pub(super) inside: AtomicU64,
    /// Polls that were answered before the end, and made again.
    pub(super) again: AtomicU64,
    /// The numbers of the jobs whose ends were told, and when.
    told: Mutex<Vec<(u64, Instant)>>,
    pub(super) failed: Mutex<Option<String>>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            door: Semaphore::new(CONNECTING),
            inside: AtomicU64::new(0),
            again: AtomicU64::new(0),
            told: Mutex::default(),
            failed: Mutex::default(),
        }
    }
}

impl Room {
    /// Waits for a job, over a connection of its own.
    pub(super) async fn wait(&self, target: &Target, form: Form, job: Accepted) {
        let told = match form {
            Form::Poll => self.poll(target, job).await,
            Form::Stream => self.read(target, job).await,
        };
        match told {
            Ok(at) => self.told.lock().unwrap_or_else(PoisonError::into_inner).push((job.number, at)),
            Err(error) => {
                self.failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(format!("{error:#}"));
            }
        }
    }

    pub(super) fn told(&self) -> Vec<(u64, Instant)> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// # Errors
    /// What the first that failed failed with.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match &*self.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(failed) => bail!("a client that waits failed: {failed}"),
            None => Ok(()),
        }
    }

    async fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        let _place = self.door.acquire().await?;
        target.connect().await
    }

    async fn poll(&self, target: &Target, job: Accepted) -> anyhow::Result<Instant> {
        let mut connection = self.connect(target).await?;
        self.inside.fetch_add(1, Ordering::Relaxed);
        loop {
            let (status, body) = connection.call(target.wait(job.id)).await?;
            match status {
                StatusCode::OK => return Ok(Instant::now()),
                StatusCode::ACCEPTED => {
                    self.again.fetch_add(1, Ordering::Relaxed);
                }
                other => bail!("a waiting poll was answered {}", unexpected(other, &body)),
            }
        }
    }

    async fn read(&self, target: &Target, job: Accepted) -> anyhow::Result<Instant> {
        const END: &[u8] = b"event: end\n";
        let mut connection: Connection = self.connect(target).await?;
        let (mut text, mut at) = (Vec::new(), None);
        let status = connection.stream(target.events(job.id), |piece| {
            if text.is_empty() {
                self.inside.fetch_add(1, Ordering::Relaxed);
            }
            text.extend_from_slice(piece);
            // The whole event, up to the empty line.
            let end = text.windows(END.len()).position(|window| window == END);
            if end.is_some_and(|end| text.get(end..).unwrap_or_default().ends_with(b"\n\n")) {
                at = Some(Instant::now());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        let status = status.await?;
        ensure!(status == StatusCode::OK, "events were answered {}", unexpected(status, &text));
        at.ok_or_else(|| anyhow::anyhow!("a stream of events ended without the job's end"))
    }
}
