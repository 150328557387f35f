//! Jobs that their limits do not admit go back into their lanes.

use hermod_types::{Shard, Timestamp};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::connection::Connection;
use crate::governance::Owed;
use crate::script::{self, SCRIPTS};
use crate::worker_queue::HeldArgs;
use crate::{Delayed, Held, QueueError, WorkerName, WorkerQueue};

/// Lanes that are opened by one call: few enough not to hold up Redis for long.
pub(crate) const OPENED: usize = 200;

/// What a job waits for that its limits do not admit.
#[derive(Clone, Debug)]
pub struct Park {
    /// The name of the narrow limit that does not admit it; none for one that concerns all jobs of its owner.
    pub lane: Option<String>,
    /// Nothing of this lane is started before, unless [`WorkerQueue::open`] says so.
    pub until: Timestamp,
    /// The `type` of the refusal.
    pub waits_for: &'static str,
    /// Its owner's share of the starts.
    pub weight: f64,
    /// How far the job has come.
    pub progress: String,
    /// What it has used of its limits so far, if an earlier start of it holds some of them.
    pub owed: Option<Owed>,
}

impl Park {
    /// That of a job which has not come far, and waits for a limit of all jobs of its owner, whose share is the usual one.
    pub const fn new(until: Timestamp, waits_for: &'static str) -> Self {
        Self { lane: None, until, waits_for, weight: 1.0, progress: String::new(), owed: None }
    }
}

/// The batches of parked jobs of one shard.
pub(crate) struct Parks {
    pub(crate) connection: Connection,
    pub(crate) queue: String,
    pub(crate) worker: WorkerName,
}

#[derive(Serialize)]
struct ParkArgs<'a> {
    worker: &'a str,
    jobs: Vec<ParkedArgs<'a>>,
}

#[derive(Serialize)]
struct ParkedArgs<'a> {
    #[serde(flatten)]
    held: HeldArgs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sublane: Option<&'a str>,
    until_ms: u64,
    waits_for: &'a str,
    weight: f64,
    progress: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owed: Option<String>,
}

impl Batch for Parks {
    type Item = (Held, Park);
    type Reply = Delayed;

    fn bytes((_, park): &Self::Item) -> usize {
        200 + park.progress.len()
    }

    async fn call(&mut self, items: &[Self::Item]) -> Result<Vec<Delayed>, QueueError> {
        let jobs = items.iter().map(|(held, park)| parked_args(held, park)).collect();
        let args = ParkArgs { worker: self.worker.as_str(), jobs };
        script::run(&self.connection, &SCRIPTS.park, &self.queue, &args).await
    }
}

fn parked_args<'a>(held: &'a Held, park: &'a Park) -> ParkedArgs<'a> {
    ParkedArgs {
        held: HeldArgs::of(held),
        sublane: park.lane.as_deref(),
        until_ms: park.until.as_millis(),
        waits_for: park.waits_for,
        weight: park.weight,
        progress: &park.progress,
        owed: park.owed.as_ref().map(Owed::to_json),
    }
}

#[derive(Serialize)]
struct OpenArgs<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    lanes: Option<[&'a str; 1]>,
    all: bool,
    count: usize,
}

#[derive(Deserialize)]
pub(crate) struct Opened {
    pub(crate) opened: usize,
    empty: usize,
    /// When the next lane opens (ms); none if none is closed.
    #[serde(default)]
    pub(crate) next: Option<f64>,
}

impl WorkerQueue {
    /// Gives a job back that its limits do not admit: it waits at its place in its lane, which is closed for a while. The start
    /// does not count as an attempt. Safe to repeat.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn park(&self, held: &Held, park: Park) -> Result<Delayed, QueueError> {
        self.parks(held.id.shard())?.ask((held.clone(), park)).await
    }

    /// Opens a lane whose limit may admit its jobs again: an owner's id, '' for none; or that, a newline, and the name of a narrow
    /// limit. False if nothing waits in it.
    ///
    /// # Errors
    /// If Redis does not answer; the lane then opens at its time.
    pub async fn open(&self, shard: Shard, lane: &str) -> Result<bool, QueueError> {
        let (connection, queue) = self.of_shard(shard)?;
        let args = OpenArgs { lanes: Some([lane]), all: false, count: 1 };
        script::run(connection, &SCRIPTS.open_lanes, queue, &args)
            .await
            .map(|opened: Opened| opened.empty == 0)
    }

    /// Opens all lanes of a shard: what their limits are has changed.
    ///
    /// # Errors
    /// If Redis does not answer; each lane then opens at its time.
    pub async fn open_all(&self, shard: Shard) -> Result<(), QueueError> {
        let (connection, queue) = self.of_shard(shard)?;
        while open(connection, queue, true).await?.opened == OPENED {}
        Ok(())
    }
}

/// Opens some of the lanes whose time has come, or of `all` that are closed.
pub(crate) async fn open(connection: &Connection, queue: &str, all: bool) -> Result<Opened, QueueError> {
    let args = OpenArgs { lanes: None, all, count: OPENED };
    script::run(connection, &SCRIPTS.open_lanes, queue, &args).await
}
