use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hermod_types::{JobId, Shard};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamInfoGroupsReply, StreamReadReply};
use redis::{Client, Cmd, FromRedisValue, Pipeline};

use crate::keys::{GROUP, Keys};
use crate::lane::{Call, Lane, connect_to};
use crate::store::LONGEST_BLOCK;
use crate::{QueueError, Store, WorkerName};

/// Where XAUTOCLAIM starts, and where it says that it has seen all.
const FROM_THE_START: &str = "0-0";
/// Reclaim calls in one go: each looks at up to ten entries for each free slot.
const MAX_SWEEPS: usize = 100;

/// An entry of the queue that this worker has claimed but not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id in the stream.
    pub entry: String,
    /// The job that it is for.
    pub id: JobId,
}

/// Takes entries out of one shard's queue for one worker: new ones, and those of workers that are gone.
pub struct Claimer {
    worker: WorkerName,
    shard: Shard,
    keys: Keys,
    lease: Duration,
    store: Store,
    lane: Lane,
    blocking: Option<MultiplexedConnection>,
    reader: Reader,
    cursor: String,
}

/// The server that a blocking connection leads to, and that server's id of it; none while there is none.
type Reader = Arc<Mutex<Option<(Client, u64)>>>;

impl Claimer {
    pub(crate) fn new(store: &Store, worker: WorkerName, shard: Shard, lease: Duration) -> Self {
        Self {
            worker,
            shard,
            keys: Keys::new(shard),
            lease,
            lane: store.lane(shard),
            store: store.clone(),
            blocking: None,
            reader: Reader::default(),
            cursor: FROM_THE_START.to_owned(),
        }
    }

    /// Makes the consumer group, from the first entry on, if it is missing.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn ensure_group(&mut self) -> Result<(), QueueError> {
        let mut command = redis::cmd("XGROUP");
        command.arg("CREATE").arg(&self.keys.queue).arg(GROUP).arg("0").arg("MKSTREAM");
        match self.lane.run::<()>(Call::Command(&command)).await {
            Err(QueueError::Unexpected(text)) if text.contains("BUSYGROUP") => Ok(()),
            outcome => outcome,
        }
    }

    /// Claims up to `slots` new entries, and waits up to `block`, at most 3 s, for the first. Nothing is lost when the
    /// wait is cut short through [`Unblock`].
    ///
    /// # Errors
    /// If Redis does not answer, or the group is missing.
    pub async fn claim(&mut self, slots: usize, block: Duration) -> Result<Vec<Entry>, QueueError> {
        let mut command = self.read_group(slots);
        command.arg("BLOCK").arg(block_ms(block)).arg("STREAMS").arg(&self.keys.queue).arg(">");
        let reply: Option<StreamReadReply> = self.wait_for(&command).await?;
        self.read_entries(reply).await
    }

    /// Claims up to `slots` new entries that are there already.
    ///
    /// # Errors
    /// If Redis does not answer, or the group is missing.
    pub async fn claim_waiting(&mut self, slots: usize) -> Result<Vec<Entry>, QueueError> {
        let mut command = self.read_group(slots);
        command.arg("STREAMS").arg(&self.keys.queue).arg(">");
        let reply: Option<StreamReadReply> = self.lane.run(Call::Command(&command)).await?;
        self.read_entries(reply).await
    }

    /// Waits up to `block`, at most 3 s, until there is an entry that nobody has claimed, and claims nothing. Says
    /// whether there is one; it may be another's the next moment.
    ///
    /// # Errors
    /// If Redis does not answer, or the group is missing.
    pub async fn watch(&mut self, block: Duration) -> Result<bool, QueueError> {
        let mut command = redis::cmd("XINFO");
        command.arg("GROUPS").arg(&self.keys.queue);
        let groups = match self.lane.run::<StreamInfoGroupsReply>(Call::Command(&command)).await {
            Ok(reply) => reply.groups,
            Err(QueueError::Unexpected(text)) if text.contains("no such key") => Vec::new(),
            Err(error) => return Err(error),
        };
        let group = groups.into_iter().find(|group| group.name == GROUP).ok_or(QueueError::NoGroup)?;
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(1).arg("BLOCK").arg(block_ms(block));
        command.arg("STREAMS").arg(&self.keys.queue).arg(group.last_delivered_id);
        let reply: Option<StreamReadReply> = self.wait_for(&command).await?;
        Ok(reply.is_some_and(|reply| !reply.keys.is_empty()))
    }

    fn read_group(&self, slots: usize) -> Cmd {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(self.worker.as_str()).arg("COUNT").arg(slots);
        command
    }

    async fn read_entries(&mut self, reply: Option<StreamReadReply>) -> Result<Vec<Entry>, QueueError> {
        self.entries(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|stream| stream.ids)).await
    }

    /// Sends a read that blocks, over the connection for those.
    async fn wait_for<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, QueueError> {
        let had_connection = self.blocking.is_some();
        let mut outcome = self.read(command).await;
        if had_connection && outcome.as_ref().is_err_and(QueueError::ends_connection) {
            // It may have broken long ago, while there was no slot to claim for.
            outcome = self.read(command).await;
        }
        self.store.health().note(self.store.part(self.shard), &outcome, false);
        outcome
    }

    async fn read<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, QueueError> {
        let connection = match &mut self.blocking {
            Some(connection) => connection,
            none => {
                let (mut connection, server) = self.store.blocking(self.shard).await?;
                let client_id = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await?;
                *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some((server, client_id));
                none.insert(connection)
            }
        };
        let outcome = command.query_async(connection).await.map_err(QueueError::from);
        if outcome.as_ref().is_err_and(QueueError::ends_connection) {
            // The server keeps the read blocked and would give the next entry to nobody, so the connection
            // is dropped whole. The next one leads to where the shard is then.
            self.blocking = None;
            *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        outcome
    }

    /// Claims up to `slots` entries whose worker has not renewed them for a lease: it is gone, or has
    /// handed them back.
    ///
    /// # Errors
    /// If Redis does not answer, or the group is missing.
    pub async fn reclaim(&mut self, slots: usize) -> Result<Vec<Entry>, QueueError> {
        let mut claimed = Vec::new();
        for _ in 0..MAX_SWEEPS {
            let mut command = redis::cmd("XAUTOCLAIM");
            command.arg(&self.keys.queue).arg(GROUP).arg(self.worker.as_str());
            command.arg(self.lease.as_millis().to_string()).arg(&self.cursor);
            command.arg("COUNT").arg(slots - claimed.len());
            let reply: StreamAutoClaimReply = self.lane.run(Call::Command(&command)).await?;
            claimed.extend(self.entries(reply.claimed.into_iter()).await?);
            self.cursor = reply.next_stream_id;
            if self.cursor == FROM_THE_START || claimed.len() >= slots {
                break;
            }
        }
        Ok(claimed)
    }

    /// What ends a [`Claimer::claim`] or a [`Claimer::watch`] that waits.
    pub fn unblock(&self) -> Unblock {
        Unblock(Arc::clone(&self.reader))
    }

    /// The jobs that `ids` stand for. What stands for none is not ours: it is removed, or it would be
    /// claimed for ever.
    async fn entries(&mut self, ids: impl Iterator<Item = StreamId>) -> Result<Vec<Entry>, QueueError> {
        let (mut entries, mut strangers) = (Vec::new(), Vec::new());
        for stream in ids {
            let id: Option<String> = stream.get("id");
            match id.and_then(|id| id.parse().ok()) {
                Some(id) => entries.push(Entry { entry: stream.id, id }),
                None => strangers.push(stream.id),
            }
        }
        if !strangers.is_empty() {
            tracing::warn!(entries = ?strangers, "removed entries of the queue that name no job");
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.cmd("XACK").arg(&self.keys.queue).arg(GROUP).arg(&strangers);
            pipeline.cmd("XDEL").arg(&self.keys.queue).arg(&strangers);
            self.lane.run::<()>(Call::Pipeline(&pipeline)).await?;
        }
        Ok(entries)
    }
}

/// Ends one claimer's blocked read from outside, so that no entry is on its way to it afterwards. Cheap to clone.
#[derive(Clone)]
pub struct Unblock(Reader);

impl Unblock {
    /// Makes the read return, if there is one.
    ///
    /// # Errors
    /// If that server does not answer; the read then ends at the end of its wait.
    pub async fn run(&self) -> Result<(), QueueError> {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((server, client_id)) = reader else { return Ok(()) };
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(client_id);
        Ok(command.query_async(&mut connect_to(&server).await?).await?)
    }
}

/// How long to block, as Redis takes it: 0 would be for ever.
fn block_ms(block: Duration) -> String {
    block.min(LONGEST_BLOCK).as_millis().max(1).to_string()
}
