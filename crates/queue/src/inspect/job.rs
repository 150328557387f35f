use hermod_types::{JobId, Timestamp};

use crate::connection::Call;
use crate::pieces::LARGE;
use crate::{Admin, JobRequest, Payload, QueueError, keys};

/// What a record says of a job that a poll does not tell: see the table of fields at the top of this crate.
const FIELDS: [&str; 7] = ["holder", "history", "queued", "progress", "share", "released", "hook"];

/// A job, as only an operator sees it. Nothing of its request or answer is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// How often it was started.
    pub starts: u64,
    /// Who runs it.
    pub run: Option<Run>,
    /// Starts that came to nothing, the oldest first.
    pub lost: Vec<LostStart>,
    /// Since when it waits again, of one that was handed back or delayed.
    pub queued: Option<Timestamp>,
    /// How far the chain of targets has come, in its worker's words; empty where nothing is noted.
    pub progress: String,
    /// Its place among its owner's jobs, 1 to 5; none for the usual one.
    pub priority: Option<u8>,
    /// The delivery that tells of its end, while that is to come.
    pub delivery: Option<JobId>,
}

/// A start of a job that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub worker: String,
    pub since: Timestamp,
    /// When another worker may take it over, unless this one renews it.
    pub lease_ends: Timestamp,
}

/// A start of a job that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostStart {
    pub worker: String,
    pub at: Timestamp,
}

/// Why a job was given up on that can be queued again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The code of the error.
    pub reason: String,
    /// Its starts that came to nothing, the oldest first.
    pub lost: Vec<LostStart>,
}

/// A request, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBody {
    /// Targets and settings, a JSON object.
    pub header: String,
    /// The body, up to what was asked for.
    pub body: Vec<u8>,
    /// Bytes of all of it.
    pub bytes: usize,
}

impl Inspected {
    fn read(values: [Option<Vec<u8>>; 7]) -> Option<Self> {
        let [holder, history, queued, progress, share, _released, hook] = values.map(text);
        let mut holder = holder?.split(' ').map(str::to_owned).collect::<Vec<_>>().into_iter();
        let starts = holder.next()?.parse().unwrap_or_default();
        let time = |text: Option<String>| Some(Timestamp::from_millis(text?.parse().ok()?));
        // fence, worker, token of the claim, start, end of the lease
        let run = match (holder.next().filter(|worker| !worker.is_empty()), holder.next()) {
            (Some(worker), Some(_token)) => time(holder.next())
                .zip(time(holder.next()))
                .map(|(since, lease_ends)| Run { worker, since, lease_ends }),
            _ => None,
        };
        Some(Self {
            starts,
            run,
            lost: history.as_deref().map(lost_starts).unwrap_or_default(),
            queued: time(queued),
            progress: progress.unwrap_or_default(),
            priority: share.and_then(|share| share.split(' ').next()?.parse().ok()),
            delivery: hook.and_then(|hook| hook.split(' ').next()?.parse().ok()),
        })
    }
}

impl LostStart {
    fn read(line: &str) -> Option<Self> {
        let (worker, at) = line.rsplit_once(' ')?;
        Some(Self { worker: worker.to_owned(), at: Timestamp::from_millis(at.parse().ok()?) })
    }
}

/// A record's or letter's `history`, read; lines that are none of ours are left out.
fn lost_starts(history: &str) -> Vec<LostStart> {
    history.lines().filter_map(LostStart::read).collect()
}

fn text(bytes: Option<Vec<u8>>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

impl Admin {
    /// What only an operator sees of a job; none of one that is unknown or has expired.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn inspect(&self, id: JobId) -> Result<Option<Inspected>, QueueError> {
        let mut command = redis::cmd("HMGET");
        command.arg(keys::job(id)).arg(&FIELDS);
        let values: Vec<Option<Vec<u8>>> = self.store().shared().run(Call::Command(&command)).await?;
        Ok(values.try_into().ok().and_then(Inspected::read))
    }

    /// Why a job was given up on; none for one that is not among the dead letters.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn given_up(&self, id: JobId) -> Result<Option<GivenUp>, QueueError> {
        let mut command = redis::cmd("HMGET");
        command.arg(keys::letter(id)).arg("reason").arg("history");
        let [reason, history]: [Option<Vec<u8>>; 2] =
            self.store().shared().run(Call::Command(&command)).await?;
        let lost = text(history).as_deref().map(lost_starts).unwrap_or_default();
        Ok(text(reason).map(|reason| GivenUp { reason, lost }))
    }

    /// The request of a job that waits or runs, or that is among the dead letters; its body up to `most` bytes, or somewhat more
    /// where it is small. None for a job that has ended otherwise: its request is kept no longer.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn request(&self, id: JobId, most: usize) -> Result<Option<StoredBody>, QueueError> {
        let mut command = redis::cmd("HGET");
        command.arg(keys::job(id)).arg("request");
        let stored: Option<Vec<u8>> = self.store().shared().run(Call::Command(&command)).await?;
        let stored = match stored.filter(|stored| !stored.is_empty()) {
            Some(stored) => stored,
            None => match self.letter_request(id).await? {
                Some(stored) => stored,
                None => return Ok(None),
            },
        };
        let stored = String::from_utf8_lossy(&stored).into_owned();
        let (header, body) = stored.split_once('\n').unwrap_or(("", &stored));
        let apart = JobRequest::from_stored(&stored, None).and_then(|request| request.body_apart);
        let Some(bytes) = apart.filter(|bytes| *bytes >= LARGE) else {
            let body = body.as_bytes().to_vec();
            return Ok(Some(StoredBody { header: header.to_owned(), bytes: body.len(), body }));
        };
        let body = self.store().pieces().read(id.shard(), &keys::body(id), 0, bytes.min(most)).await?;
        Ok(body.map(|body| StoredBody { header: header.to_owned(), body, bytes }))
    }

    async fn letter_request(&self, id: JobId) -> Result<Option<Vec<u8>>, QueueError> {
        let mut command = redis::cmd("HGET");
        command.arg(keys::letter(id)).arg("request");
        self.store().shared().run(Call::Command(&command)).await
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::Shard;

    use super::*;

    fn values(texts: [&str; 7]) -> [Option<Vec<u8>>; 7] {
        texts.map(|text| (!text.is_empty()).then(|| text.as_bytes().to_vec()))
    }

    #[test]
    fn a_record_tells_who_runs_it_and_who_did() {
        let delivery = JobId::new(Shard::default());
        let hook = format!("{delivery} {{}}");
        let job = Inspected::read(values([
            "3 host-1-abc token 1000 2000",
            "host-1-abc 10\nnonsense\nhost-2 with blanks 20",
            "500",
            "{}",
            "1 2.5 -",
            "1",
            &hook,
        ]))
        .unwrap();
        let run = job.run.unwrap();
        assert_eq!((job.starts, run.worker.as_str(), run.since.as_millis()), (3, "host-1-abc", 1000));
        assert_eq!(run.lease_ends.as_millis(), 2000);
        let lost: Vec<_> =
            job.lost.iter().map(|start| (start.worker.as_str(), start.at.as_millis())).collect();
        assert_eq!(lost, [("host-1-abc", 10), ("host-2 with blanks", 20)]);
        assert_eq!((job.queued.map(Timestamp::as_millis), job.priority), (Some(500), Some(1)));
        assert_eq!((job.progress.as_str(), job.delivery), ("{}", Some(delivery)));
    }

    #[test]
    fn a_record_of_a_job_that_waits_says_little() {
        let job = Inspected::read(values(["0", "", "", "", "", "", ""])).unwrap();
        assert_eq!(job, Inspected::default());
        assert!(Inspected::read(values(["", "", "", "", "", "", ""])).is_none(), "there is no such job");
        assert!(Inspected::read(values(["1 w t x y", "", "", "", "", "", ""])).unwrap().run.is_none());
    }
}
