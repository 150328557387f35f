//! Jobs end.

use std::sync::Arc;
use std::time::Duration;

use hermod_types::Shard;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::clock::millis;
use crate::connection::Connection;
use crate::governance::{Openings, Owed, Settlements};
use crate::pieces::pieces_of;
use crate::script::{self, SCRIPTS};
use crate::{Ended, QueueError, Settled, WorkerName};

/// Dead letters that each shard keeps: so many, this long, and so many bytes of requests, with their media. The oldest
/// go first; a larger one is not kept.
const DEAD_LETTERS: u64 = 1000;
const DEAD_LETTER_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
const DEAD_LETTER_BYTES: u64 = 256 << 20;

/// The batches of ends of one shard. With each end comes the token of its outcome, where the pieces
/// of that are staged.
pub(crate) struct Finishes {
    connection: Connection,
    queue: String,
    worker: WorkerName,
}

#[derive(Serialize)]
struct Args<'a> {
    worker: &'a str,
    now: u64,
    dead: DeadLimits,
    jobs: Vec<JobArgs<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shapes: Vec<Vec<u64>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    numbers: Vec<u64>,
}

/// What became of a job's end.
pub struct Finished {
    pub settled: Settled,
    /// Who may go on, as the ends of its call have freed what they held; with one of them.
    pub openings: Openings,
}

#[derive(Deserialize)]
struct Reply {
    results: Vec<Settled>,
    open: Openings,
}

#[derive(Serialize)]
struct DeadLimits {
    letters: u64,
    age_ms: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct JobArgs<'a> {
    id: String,
    entry: &'a str,
    fence: u64,
    code: u16,
    ttl_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pieces: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_index: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_apart: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<u64>,
    bytes: u64,
    cancelled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    owed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<u64>,
}

impl Finishes {
    pub(crate) const fn new(connection: Connection, queue: String, worker: WorkerName) -> Self {
        Self { connection, queue, worker }
    }
}

impl Batch for Finishes {
    type Item = (Arc<Ended>, Option<String>);
    type Reply = Finished;

    fn bytes((ended, token): &Self::Item) -> usize {
        if token.is_some() { 0 } else { ended.outcome.len() }
    }

    async fn call(&mut self, items: &[Self::Item]) -> Result<Vec<Finished>, QueueError> {
        let mut settlements = Settlements::default();
        let jobs =
            items.iter().map(|(ended, token)| job_args(ended, token.as_deref(), &mut settlements)).collect();
        let dead =
            DeadLimits { letters: DEAD_LETTERS, age_ms: millis(DEAD_LETTER_AGE), bytes: DEAD_LETTER_BYTES };
        let now = self.connection.now_ms().await?;
        let Settlements { names, shapes, numbers, .. } = settlements;
        let args = Args { worker: self.worker.as_str(), now, dead, jobs, names, shapes, numbers };
        let reply: Reply = script::run(&self.connection, &SCRIPTS.finish, &self.queue, &args).await?;
        let mut open = reply.open;
        let finished = |settled| Finished { settled, openings: std::mem::take(&mut open) };
        Ok(reply.results.into_iter().map(finished).collect())
    }
}

fn job_args<'a>(ended: &'a Ended, token: Option<&'a str>, settlements: &mut Settlements<'a>) -> JobArgs<'a> {
    let Ended { held, code, outcome, media, ttl, given_up, cancelled, owed } = ended;
    let size = token.map(|_| outcome.len());
    // Limits are where shard 0 is.
    let (settled, owed) =
        if held.id.shard() == Shard::default() { (owed.as_ref(), None) } else { (None, owed.as_ref()) };
    JobArgs {
        id: held.id.to_string(),
        entry: &held.entry,
        fence: held.fence,
        code: *code,
        ttl_ms: millis(ttl.as_duration()),
        outcome: if token.is_none() { Some(outcome) } else { None },
        token,
        size,
        pieces: size.map(pieces_of),
        media_index: media.as_deref(),
        reason: *given_up,
        body_apart: held.body_apart,
        media: (held.media_bytes > 0).then_some(held.media_bytes),
        bytes: held.counted_bytes,
        cancelled: *cancelled,
        owed: owed.map(Owed::to_json),
        settlement: settled.map(|owed| settlements.add_ended(owed)),
    }
}
