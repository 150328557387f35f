use std::time::Duration;

use hermod_types::{JobId, Ttl};
use serde_bytes::ByteBuf;

use crate::JobRequest;
use crate::large::LARGE;

/// A job that this worker holds: what every later write of it must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The job.
    pub id: JobId,
    /// Its entry in the queue.
    pub entry: String,
    /// The number of this start of it.
    pub fence: u64,
    /// Bytes of its request's body, where that is kept apart from its record.
    pub(crate) body_apart: Option<usize>,
    /// What it counts as while it waits and runs.
    pub(crate) counted_bytes: u64,
}

impl Held {
    /// Whether the body of its request is kept apart from its record.
    pub const fn has_body_apart(&self) -> bool {
        self.body_apart.is_some()
    }
}

/// A job that was just started.
#[derive(Debug)]
pub struct Started {
    /// What shows that this worker holds it.
    pub held: Held,
    /// What to run; none for a record that holds no readable request. Its body is empty where it is kept apart, see
    /// [`crate::WorkerQueue::body`].
    pub request: Option<JobRequest>,
    /// Starts of it so far that count, this one included.
    pub attempt: u64,
    /// A line for each start of it that came to nothing: worker, and when in milliseconds.
    pub history: String,
    /// How far an earlier holder came, in that worker's words; empty for the first.
    pub progress: String,
    /// How long it has waited since it was accepted, or was last released or promoted.
    pub waited: Duration,
}

impl Started {
    /// Bytes of the request's body, whether or not it is kept apart.
    pub fn body_bytes(&self) -> usize {
        let inline = self.request.as_ref().map_or(0, |request| request.body.len());
        self.held.body_apart.unwrap_or(inline)
    }
}

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    /// What shows that this worker holds it.
    pub held: Held,
    /// The HTTP status of the outcome: 200 for a result.
    pub code: u16,
    /// The result or the error, as JSON.
    pub outcome: String,
    /// How long the record is kept.
    pub ttl: Ttl,
    /// Why it was given up on: it then goes to the dead letters too.
    pub given_up: Option<&'static str>,
}

impl Ended {
    pub(crate) fn is_large(&self) -> bool {
        self.outcome.len() >= LARGE
    }
}

/// What became of an [`Ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// It is written.
    Done,
    /// This holder had written it before: an answer got lost.
    AlreadyDone,
    /// The job is another's by now: nothing is written.
    Lost,
    /// There is no such job any more.
    Gone,
    /// Its outcome, which was kept apart, has expired: nothing is written, and the call is to be made again.
    #[doc(hidden)]
    Expired,
}

/// What `claim.lua` gives for a job that is to be run. Texts come as bytes: one that is not UTF-8 is that job's matter only.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Row {
    id: String,
    entry: String,
    fence: u64,
    request: ByteBuf,
    #[serde(default)]
    owner: Option<ByteBuf>,
    #[serde(default)]
    released: Option<u64>,
    #[serde(default)]
    history: Option<ByteBuf>,
    #[serde(default)]
    progress: Option<ByteBuf>,
    #[serde(default)]
    queued: Option<u64>,
}

impl Row {
    /// The job; none for what is named by no id. `now` is Redis's, in milliseconds.
    pub(crate) fn into_started(self, now: u64) -> Option<Started> {
        let Ok(id) = self.id.parse::<JobId>() else {
            tracing::warn!(entry = self.entry, "an entry of the queue names no job");
            return None;
        };
        let text = |bytes: Option<ByteBuf>| {
            bytes.and_then(|bytes| String::from_utf8(bytes.into_vec()).ok()).unwrap_or_default()
        };
        let owner = self.owner.map(|owner| String::from_utf8(owner.into_vec()));
        // A job whose owner cannot be read must not run as anybody's.
        let stored = match owner.transpose() {
            Ok(owner) => String::from_utf8(self.request.into_vec())
                .ok()
                .and_then(|request| JobRequest::from_stored(&request, owner)),
            Err(_) => None,
        };
        // An entry's id begins with when it was added, by Redis's clock.
        let added = || self.entry.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or_default();
        let since: u64 = self.queued.unwrap_or_else(added);
        let held = Held {
            id,
            fence: self.fence,
            body_apart: stored.as_ref().and_then(|stored| stored.body_apart),
            counted_bytes: stored.as_ref().map_or(0, |stored| stored.counted_bytes),
            entry: self.entry,
        };
        Some(Started {
            attempt: held.fence.saturating_sub(self.released.unwrap_or_default()),
            held,
            request: stored.map(|stored| stored.request),
            history: text(self.history),
            progress: text(self.progress),
            waited: Duration::from_millis(now.saturating_sub(since)),
        })
    }
}
