use std::time::Duration;

use hermod_types::{JobId, JobStatus, Ttl};
use redis::{RedisError, Value};

use crate::{Entry, NewJob, QueueError};

/// A job that this worker holds: what every later write of it must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The job.
    pub id: JobId,
    /// Its entry in the queue.
    pub entry: String,
    /// The number of this start of it.
    pub fence: u64,
    /// Whether the body of its request is kept apart from its record.
    pub(crate) is_apart: bool,
}

/// A job that was just started.
#[derive(Debug)]
pub struct Started {
    /// What shows that this worker holds it.
    pub held: Held,
    /// What to run; none for a record that holds no readable request.
    pub job: Option<NewJob>,
    /// Starts of it so far that count, this one included.
    pub attempt: u64,
    /// A line for each start of it that came to nothing: worker, and when in milliseconds.
    pub history: String,
    /// How far an earlier holder came, in that worker's words; empty for the first.
    pub progress: String,
    /// How long it waited since it was accepted, by Redis's clock.
    pub age: Duration,
}

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    /// What shows that this worker holds it.
    pub held: Held,
    /// [`JobStatus::Completed`] or [`JobStatus::Failed`].
    pub status: JobStatus,
    /// The HTTP status of the outcome.
    pub code: u16,
    /// The result or the error, as JSON.
    pub outcome: String,
    /// How long the record is kept.
    pub ttl: Ttl,
    /// Why it was given up on: it then goes to the dead letters too.
    pub given_up: Option<&'static str>,
}

/// What became of an [`Ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is written.
    Done,
    /// This holder had written it before: an answer got lost.
    AlreadyDone,
    /// The job is another's by now: nothing is written.
    LeaseLost,
    /// There is no such job any more.
    Gone,
}

/// What `start.lua` gives for a job that is to be run: fence, request, owner, handbacks, history, progress,
/// and the time in milliseconds.
type StartedRow = (u64, String, String, u64, String, String, u64);

pub(crate) fn read_started(entry: &Entry, row: Value) -> Result<Option<Started>, QueueError> {
    if let Value::Array(refusal) = &row
        && refusal.len() == 1
    {
        tracing::debug!(job = %entry.id, ?refusal, "claimed a job that is not to be run");
        return Ok(None);
    }
    let row: StartedRow = redis::from_redis_value(row).map_err(RedisError::from)?;
    let (fence, request, owner, handbacks, history, progress, now) = row;
    // A stream's entry id begins with when it was added, by Redis's clock.
    let accepted = entry.entry.split('-').next().and_then(|millis| millis.parse().ok()).unwrap_or_default();
    let is_apart = request.ends_with('\n');
    Ok(Some(Started {
        held: Held { id: entry.id, entry: entry.entry.clone(), fence, is_apart },
        job: NewJob::from_request(entry.id, &request, &owner),
        attempt: fence.saturating_sub(handbacks),
        history,
        progress,
        age: Duration::from_millis(now.saturating_sub(accepted)),
    }))
}
