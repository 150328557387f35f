use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hermod_types::{ErrorBody, JobId, JobStatus, Operation, ShardCount};
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;

use crate::connection::Call;
use crate::earlier::Earlier;
use crate::find::Finder;
use crate::script::{self, SCRIPTS};
use crate::submit::Submitter;
use crate::{
    JobOptions, JobRecord, JobRequest, KnownShards, Place, QueueError, Repeats, Store, Submission, Upload,
    WaitingFor, keys,
};

/// The API's side of the queue: jobs go in, and their records are read. Cheap to clone.
///
/// Submits and reads have connections of their own, so that neither waits for the other; calls form batches. Make one for each
/// thread that serves requests.
#[derive(Clone)]
pub struct Queue {
    /// One for each shard: none waits for the node of another.
    submitters: Arc<[Submitter]>,
    next: Arc<AtomicUsize>,
    earlier: Earlier,
    finder: Finder,
    store: Store,
}

/// What an operator sets.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Waiting jobs beyond which a submit is refused; none for no limit. Each shard has an equal share.
    pub limit: Option<u64>,
    /// Bytes of the bodies of waiting and running jobs beyond which a submit is refused; likewise.
    pub limit_bytes: ByteLimit,
    /// Shards that new jobs are spread over: more than one only in a Cluster, see [`Store::allow`].
    pub shards: ShardCount,
    /// What all queues of this process know of the numbers of shards.
    pub known: KnownShards,
    /// Whether jobs can be listed by their owner.
    pub lists: bool,
}

impl Default for QueueSettings {
    /// One shard, and no limit.
    fn default() -> Self {
        Self {
            limit: None,
            limit_bytes: ByteLimit::default(),
            shards: ShardCount::ONE,
            known: KnownShards::default(),
            lists: true,
        }
    }
}

/// A limit that may be learnt while jobs come in; none at first. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ByteLimit(Arc<AtomicU64>);

impl ByteLimit {
    /// Sets it to this many bytes; 0 for no limit.
    pub fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn no_shards() -> QueueError {
    QueueError::Unexpected("there are no shards".to_owned())
}

/// A shard whose node is away is tried with one submit in so many.
const TRY_IN: u32 = 16;

impl Queue {
    /// Starts the queue's tasks on the current runtime; they end with the last clone.
    pub fn spawn(store: &Store, settings: &QueueSettings, tasks: &TaskTracker) -> Self {
        let submitters =
            settings.shards.shards().map(|shard| Submitter::spawn(store, shard, settings, tasks));
        Self {
            submitters: submitters.collect(),
            next: Arc::default(),
            earlier: Earlier::new(store, settings),
            finder: Finder::spawn(store, tasks),
            store: store.clone(),
        }
    }

    /// Writes a job's record and its entry. It has no media, whatever `request` says.
    ///
    /// # Errors
    /// If Redis cannot take it. Where the connection broke before the answer, it may have been taken.
    pub async fn submit(&self, request: JobRequest, options: JobOptions) -> Result<Submission, QueueError> {
        if let Some(earlier) = self.earlier.find(&options.repeats).await? {
            return Ok(earlier);
        }
        let submitter = self.submitter(options.repeats.place)?;
        submitter.submit(JobRequest { media_bytes: 0, ..request }, options).await
    }

    /// The id that a job gets with [`Queue::submit_as`], should something be done for it before.
    ///
    /// # Errors
    /// If there is no shard for it.
    pub fn new_id(&self, options: &JobOptions) -> Result<JobId, QueueError> {
        Ok(self.submitter(options.repeats.place)?.new_id())
    }

    /// The same as [`Queue::submit`], with an id that was made before.
    ///
    /// # Errors
    /// As [`Queue::submit`].
    pub async fn submit_as(
        &self,
        id: JobId,
        request: JobRequest,
        options: JobOptions,
    ) -> Result<Submission, QueueError> {
        if let Some(earlier) = self.earlier.find(&options.repeats).await? {
            return Ok(earlier);
        }
        let submitter = self.submitters.iter().find(|submitter| submitter.shard == id.shard());
        let submitter = submitter.ok_or_else(no_shards)?;
        submitter.submit_as(id, JobRequest { media_bytes: 0, ..request }, options).await
    }

    /// What became of an earlier submit that one with these options repeats.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn earlier(&self, repeats: &Repeats) -> Result<Option<Submission>, QueueError> {
        self.earlier.find_anywhere(repeats).await
    }

    /// Begins to take media for a job, of about as many bytes as are `announced`; none where the queue is full. The job's id,
    /// and so its `created_at`, is from now. `place`: that of what it is submitted with.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn upload(
        &self,
        announced: Option<u64>,
        place: Option<Place>,
    ) -> Result<Option<Upload>, QueueError> {
        self.submitter(place)?.upload(announced.unwrap_or_default()).await
    }

    /// Writes the rest of an upload, and the record and the entry of its job. The job's media are those of the upload.
    ///
    /// # Errors
    /// As [`Queue::submit`].
    pub async fn submit_upload(
        &self,
        upload: Upload,
        request: JobRequest,
        options: JobOptions,
    ) -> Result<Submission, QueueError> {
        if let Some(earlier) = self.earlier.find(&options.repeats).await? {
            return Ok(earlier);
        }
        let (id, media_bytes) = (upload.id(), upload.bytes());
        let submitter = self.submitters.iter().find(|submitter| submitter.shard == id.shard());
        let submitter = submitter.ok_or_else(no_shards)?;
        let mut media = upload.stage().await?;
        let submission = submitter.submit_as(id, JobRequest { media_bytes, ..request }, options).await?;
        media.settled();
        Ok(submission)
    }

    /// That of the next shard in turn whose node is not away; where there is a place, first that of its shard.
    fn submitter(&self, place: Option<Place>) -> Result<&Submitter, QueueError> {
        if let [only] = &*self.submitters {
            return Ok(only);
        }
        let is_open = |submitter: &&Submitter| {
            let fault = self.store.health().fault_of(self.store.part(submitter.shard));
            fault.is_none() || fastrand::u32(..TRY_IN) == 0
        };
        if let Some(place) = place {
            let shard = place.shard(self.earlier.shards());
            let its = self.submitters.get(usize::from(shard.number())).ok_or_else(no_shards)?;
            if place.may_repeat() || is_open(&its) {
                return Ok(its);
            }
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.submitters.len();
        let (before, after) = self.submitters.split_at(first);
        let open = after.iter().chain(before).find(is_open);
        open.or(self.submitters.get(first)).ok_or_else(no_shards)
    }

    /// Reads a job's record; none for an unknown or expired one.
    ///
    /// # Errors
    /// If Redis does not answer, or the record is not one of ours.
    pub async fn find(&self, id: JobId) -> Result<Option<JobRecord>, QueueError> {
        let mut record = self.finder.find(&self.store, id).await?;
        // It may wait in its lane behind one that its limits did not admit.
        if let Some(record) = &mut record
            && record.status == JobStatus::Pending
            && record.entry.is_none()
            && record.waiting_for.is_none()
        {
            record.waiting_for = Box::pin(self.reason(record)).await?;
        }
        Ok(record)
    }

    /// What the lane of a job waits for.
    async fn reason(&self, record: &JobRecord) -> Result<Option<WaitingFor>, QueueError> {
        let mut command = redis::cmd("HGET");
        command.arg(keys::reasons(record.id.shard())).arg(record.lane());
        let reason: Option<String> = self.store.shared().run(Call::Command(&command)).await?;
        Ok(reason.and_then(|reason| WaitingFor::read(&reason)))
    }

    /// Ends a job that waits or is delayed, or marks one that runs, whose worker then ends it.
    ///
    /// # Errors
    /// If Redis does not answer. It is safe to ask again.
    pub async fn cancel(&self, id: JobId, operation: Operation) -> Result<Cancelled, QueueError> {
        let args = CancelArgs { id: id.to_string(), error: ErrorBody::cancelled().of(operation).to_json() };
        script::run(self.store.shared(), &SCRIPTS.cancel, &keys::queue(id.shard()), &args).await
    }

    /// Removes all of a job that has ended. False for one that waits or runs.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn forget(&self, id: JobId) -> Result<bool, QueueError> {
        let args = ForgetArgs { id: id.to_string() };
        script::run(self.store.shared(), &SCRIPTS.forget, &keys::queue(id.shard()), &args).await
    }
}

/// What became of a job that was to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "became", rename_all = "snake_case")]
pub enum Cancelled {
    /// There is no such job.
    Unknown,
    /// It has ended by itself before.
    Ended,
    /// It has ended as cancelled, by this call.
    Cancelled,
    /// It has ended as cancelled before.
    AlreadyCancelled,
    /// It runs. Its worker is told, and ends it.
    Requested {
        /// When it was asked for first, by Redis's clock.
        since_ms: u64,
    },
}

#[derive(Serialize)]
struct CancelArgs {
    id: String,
    error: String,
}

#[derive(Serialize)]
struct ForgetArgs {
    id: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::tests::{integer, map, text};

    #[test]
    fn what_became_of_a_job_is_told_in_the_words_of_the_script() {
        let script = include_str!("../lua/cancel.lua");
        for (word, became) in [
            ("unknown", Cancelled::Unknown),
            ("ended", Cancelled::Ended),
            ("cancelled", Cancelled::Cancelled),
            ("already_cancelled", Cancelled::AlreadyCancelled),
            ("requested", Cancelled::Requested { since_ms: 1_700_000_000_000 }),
        ] {
            assert!(script.contains(&format!("'{word}'")), "{word}");
            let since = ("since_ms", integer(1_700_000_000_000));
            let reply = map(&[("became", text(word.as_bytes())), since]);
            assert_eq!(script::decode::<Cancelled>(&reply).unwrap(), became);
        }
    }

    #[test]
    fn the_script_can_put_a_journal_into_the_error_of_a_cancelled_job() {
        for operation in Operation::all() {
            let error = ErrorBody::cancelled().of(operation).to_json();
            let head = error.strip_suffix("}}").unwrap();
            let whole = format!(
                r#"{head},"attempts":[{{"target":"a/b","started_at":"2026-02-19T08:10:17.831Z","duration_ms":7}}]}}}}"#
            );
            let read: ErrorBody = serde_json::from_str(&whole).unwrap();
            assert_eq!((read.extra_fields.attempts.into_iter().count(), read.to_json()), (1, whole));
        }
    }
}
