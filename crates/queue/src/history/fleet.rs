use std::time::Duration;

use hermod_types::Shard;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::clock::millis;
use crate::connection::Call;
use crate::keys::{self, WORKERS};
use crate::script::{self, SCRIPTS};
use crate::{Admin, QueueError, Store, WorkerName};

/// After so long without a word a worker is gone.
const SILENT: Duration = Duration::from_secs(20);
/// The registry expires where no worker is left.
const KEPT: Duration = Duration::from_secs(60);

/// What a worker says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerFigures {
    #[serde(skip_deserializing)]
    pub name: String,
    pub version: String,
    /// When it started, in milliseconds since the epoch.
    pub started_ms: u64,
    /// When it last said so, in milliseconds since the epoch, by Redis's clock.
    #[serde(skip_deserializing)]
    pub seen_ms: u64,
    /// Jobs that it runs at once.
    pub slots: usize,
    /// Jobs that it runs now.
    pub running: usize,
    pub delivery_slots: usize,
    pub deliveries_running: usize,
    /// Whether it claims no more and is about to stop.
    pub draining: bool,
    /// Whether it looks after the queue for all.
    pub leads: bool,
}

/// The registry of workers, as a worker writes it. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    store: Store,
    worker: WorkerName,
}

#[derive(Serialize)]
struct TellArgs<'a> {
    worker: &'a str,
    figures: String,
    leads: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<u64>,
    silent_ms: u64,
    kept_ms: u64,
}

#[derive(Serialize)]
struct FleetArgs {
    silent_ms: u64,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    seen: u64,
    figures: ByteBuf,
}

impl Fleet {
    /// That of `worker`.
    pub fn new(store: &Store, worker: WorkerName) -> Self {
        Self { store: store.clone(), worker }
    }

    /// Says what there is to say; to be called every few seconds.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn tell(&self, figures: &WorkerFigures) -> Result<(), QueueError> {
        let args = TellArgs {
            worker: self.worker.as_str(),
            figures: serde_json::to_string(figures)
                .map_err(|error| QueueError::Unexpected(format!("figures: {error}")))?,
            leads: figures.leads,
            now: self.store.clock(self.store.part(Shard::default())).now_ms(),
            silent_ms: millis(SILENT),
            kept_ms: millis(KEPT),
        };
        let queue = keys::queue(Shard::default());
        let _noted: bool = script::run(self.store.shared(), &SCRIPTS.history_tell, &queue, &args).await?;
        Ok(())
    }

    /// Takes the worker out: it has stopped.
    ///
    /// # Errors
    /// If Redis does not answer; it is forgotten by itself.
    pub async fn leave(&self) -> Result<(), QueueError> {
        let mut command = redis::cmd("HDEL");
        command.arg(WORKERS).arg(self.worker.as_str());
        self.store.shared().run(Call::Command(&command)).await
    }
}

impl Admin {
    /// The workers that have told of themselves within 20 seconds, by name.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn fleet(&self) -> Result<Vec<WorkerFigures>, QueueError> {
        let args = FleetArgs { silent_ms: millis(SILENT) };
        let rows: Vec<Row> = self.on_first_shard(&SCRIPTS.history_fleet, &args).await?;
        let figures = |row: Row| {
            let figures = serde_json::from_slice(&row.figures).ok()?;
            Some(WorkerFigures { name: row.name, seen_ms: row.seen, ..figures })
        };
        let mut fleet: Vec<WorkerFigures> = rows.into_iter().filter_map(figures).collect();
        fleet.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(fleet)
    }
}
