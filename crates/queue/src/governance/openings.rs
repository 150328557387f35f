use hermod_types::Shard;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::script::{self, SCRIPTS};
use crate::{QueueError, WorkerQueue, keys};

/// Openings that may wait for their turn. One that finds no place is lost, and made up for when its lane opens by itself.
const MOST_WAITING: usize = 1024;

/// Jobs that waited for room may start.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Opening {
    /// What they waited for.
    limit: String,
    shard: u16,
    lane: String,
    /// How many may.
    places: u64,
}

/// Who waited for room that there is now.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Openings(Vec<Opening>);

/// Opens the lanes of those that waited, as a task of its own, which ends with its last clone.
#[derive(Clone)]
pub(super) struct Opener(mpsc::Sender<Opening>);

#[derive(Deserialize)]
struct Reply {
    open: Openings,
}

impl Opener {
    pub(super) fn spawn(queue: &WorkerQueue, connection: Connection, tasks: &TaskTracker) -> Self {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        tasks.spawn(open_all(queue.clone(), connection, receiver));
        Self(sender)
    }

    pub(super) fn open(&self, Openings(openings): Openings) {
        for opening in openings {
            if self.0.try_send(opening).is_err() {
                tracing::debug!("too many lanes to open; the rest opens by itself");
                return;
            }
        }
    }
}

async fn open_all(queue: WorkerQueue, connection: Connection, mut receiver: mpsc::Receiver<Opening>) {
    while let Some(opening) = receiver.recv().await {
        let mut openings = vec![opening];
        while let Some(opening) = openings.pop() {
            match open(&queue, &connection, &opening).await {
                Ok(Openings(others)) => openings.extend(others),
                Err(error) => tracing::debug!(%error, "a lane is not opened; it opens by itself"),
            }
        }
    }
}

/// Opens a lane. Where nothing waits in it any more, says who may go on instead.
async fn open(
    queue: &WorkerQueue,
    connection: &Connection,
    opening: &Opening,
) -> Result<Openings, QueueError> {
    let Some(shard) = Shard::new(opening.shard) else { return Ok(Openings::default()) };
    if queue.open(shard, &opening.lane).await? {
        return Ok(Openings::default());
    }
    let queue = keys::queue(Shard::default());
    let reply: Reply = script::run(connection, &SCRIPTS.gov_unwait, &queue, opening).await?;
    Ok(reply.open)
}
