use hermod_types::{JobId, JobStatus, JobView, Target, Timestamp, Ttl};
use serde::{Deserialize, Serialize};

use crate::{QueueError, apart};

/// A job to be accepted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id, which makes submitting it twice harmless.
    pub id: JobId,
    /// The targets to try, in order; never empty.
    pub targets: Vec<Target>,
    /// What the provider gets, less the model's name: a JSON object.
    pub body: String,
    /// How long its result is kept.
    pub ttl: Ttl,
    /// Id of the virtual key that it was submitted with.
    pub owner: Option<String>,
}

/// The first line of a record's `request`; the body follows untouched.
#[derive(Serialize, Deserialize)]
struct Header {
    targets: Vec<Target>,
    ttl: Ttl,
}

impl NewJob {
    /// Whether its body is kept apart from its record.
    pub(crate) fn is_large(&self) -> bool {
        self.body.len() >= apart::LARGE
    }

    /// The `request` of its record.
    pub(crate) fn request(&self) -> String {
        #[derive(Serialize)]
        struct HeaderRef<'a> {
            targets: &'a [Target],
            ttl: Ttl,
        }
        // Strings and an integer have no way to fail to be written to memory, and JSON escapes newlines.
        let header = HeaderRef { targets: &self.targets, ttl: self.ttl };
        let mut request = serde_json::to_string(&header).unwrap_or_default();
        let body = if self.is_large() { "" } else { &self.body };
        request.reserve_exact(body.len() + 1);
        request.push('\n');
        request.push_str(body);
        request
    }

    /// Reads a record's `request` back. One whose body is apart has an empty one.
    pub(crate) fn from_request(id: JobId, request: &str, owner: &str) -> Option<Self> {
        let (header, body) = request.split_once('\n')?;
        let Header { targets, ttl } = serde_json::from_str(header).ok()?;
        let owner = (!owner.is_empty()).then(|| owner.to_owned());
        (!targets.is_empty()).then(|| Self { id, targets, body: body.to_owned(), ttl, owner })
    }
}

/// A job as its record tells it to a poll.
#[derive(Debug)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// Where it is in its life.
    pub status: JobStatus,
    /// Id of the virtual key that it was submitted with.
    pub owner: Option<String>,
    ended: Option<EndedRecord>,
}

#[derive(Debug)]
struct EndedRecord {
    code: u16,
    outcome: String,
    completed: Timestamp,
    expires: Timestamp,
}

/// What `HMGET` gives of [`JobRecord::FIELDS`].
pub(crate) type Fields =
    (Option<String>, Option<String>, Option<u16>, Option<String>, Option<u64>, Option<u64>, Option<String>);

impl JobRecord {
    pub(crate) const FIELDS: [&str; 7] =
        ["status", "owner", "code", "outcome", "completed", "expires", "apart"];

    /// The key of its outcome, where that is apart.
    pub(crate) fn outcome_key(id: JobId, fields: &Fields) -> Option<String> {
        fields.6.as_deref().map(|token| apart::outcome_key(id, token))
    }

    /// Puts in an outcome that was apart. One that is gone has expired, and its record a moment before or after.
    pub(crate) fn put_outcome(fields: &mut Fields, outcome: Option<String>) {
        if outcome.is_none() {
            fields.0 = None;
        }
        fields.3 = outcome;
    }

    /// Reads what `HMGET` gave; none where there is no record.
    pub(crate) fn read(id: JobId, fields: Fields) -> Result<Option<Self>, QueueError> {
        let (Some(status), owner, code, outcome, completed, expires, _) = fields else { return Ok(None) };
        let unreadable = |field| QueueError::Unexpected(format!("job {id}: unreadable {field}"));
        let status: JobStatus = status.parse().map_err(|_| unreadable("status"))?;
        let ended = if status.is_ended() {
            // A worker has composed it: what it is in the answer is JSON, and need not be read again.
            let outcome = outcome.filter(|outcome| outcome.starts_with('{') && outcome.ends_with('}'));
            Some(EndedRecord {
                code: code.ok_or_else(|| unreadable("code"))?,
                outcome: outcome.ok_or_else(|| unreadable("outcome"))?,
                completed: Timestamp::from_millis(completed.ok_or_else(|| unreadable("completed"))?),
                expires: Timestamp::from_millis(expires.ok_or_else(|| unreadable("expires"))?),
            })
        } else {
            None
        };
        Ok(Some(Self { id, status, owner, ended }))
    }

    /// What its client sees, as JSON.
    pub fn to_json(&self) -> String {
        let mut view = JobView::accepted(self.id);
        view.status = self.status;
        if let Some(ended) = &self.ended {
            view.completed_at = Some(ended.completed);
            view.expires_at = Some(ended.expires);
            view.status_code = Some(ended.code);
        }
        view.to_json(self.ended.as_ref().map(|ended| ended.outcome.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::Shard;

    use super::*;

    #[test]
    fn a_request_comes_back_as_it_went_in() {
        let job = NewJob {
            id: JobId::new(Shard::default()),
            targets: vec!["a/b\\\"c".parse().unwrap(), "d/e/f".parse().unwrap()],
            body: "{\"prompt\":\"x\",\n \"n\":1.50}".to_owned(),
            ttl: Ttl::from_seconds(60).unwrap(),
            owner: Some("vk-1".to_owned()),
        };
        let back = NewJob::from_request(job.id, &job.request(), "vk-1").unwrap();
        assert_eq!(
            (back.targets, back.body, back.ttl, back.owner),
            (job.targets, job.body, job.ttl, job.owner)
        );
    }

    #[test]
    fn a_request_that_is_none_is_told() {
        for request in
            ["", "{}", "{}\n{}", "{\"targets\":[],\"ttl\":1}\n{}", "{\"targets\":[\"a/b\"],\"ttl\":0}\n{}"]
        {
            assert!(NewJob::from_request(JobId::new(Shard::default()), request, "").is_none(), "{request}");
        }
    }
}
