use hermod_types::{JobId, JobStatus, Operation, ResponseEcho, Timestamp};
use redis::{FromRedisValue, ParsingError, Value};

use super::{EndedRecord, JobRecord, Outcome, StoredOutcome, WaitingFor};
use crate::connection::{Call, Connection};
use crate::{QueueError, keys};

pub(super) const FIELDS: [&str; 15] = [
    "holder",
    "owner",
    "type",
    "code",
    "outcome",
    "completed",
    "expires",
    "apart",
    "media",
    "cancel",
    "model",
    "entry",
    "echo",
    "lane",
    "waits_for",
];

/// What `HMGET` gives of [`FIELDS`].
#[derive(Default)]
pub(super) struct Row {
    pub(super) holder: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) operation: Option<String>,
    pub(super) code: Option<u16>,
    pub(super) outcome: Option<String>,
    pub(super) completed: Option<u64>,
    pub(super) expires: Option<u64>,
    /// Of an outcome that has a key: the token in that, and bytes.
    pub(super) apart: Option<String>,
    pub(super) media: Option<String>,
    pub(super) cancel: Option<u64>,
    pub(super) model: Option<String>,
    pub(super) entry: Option<String>,
    pub(super) echo: Option<String>,
    pub(super) lane: Option<String>,
    /// Type of the refusal, and until when (ms).
    pub(super) waits_for: Option<String>,
}

impl FromRedisValue for Row {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut values = Vec::from_redis_value(value)?.into_iter();
        let mut next = || values.next().unwrap_or(Value::Nil);
        // In the order of the fields.
        Ok(Self {
            holder: read(next())?,
            owner: read(next())?,
            operation: read(next())?,
            code: read(next())?,
            outcome: read(next())?,
            completed: read(next())?,
            expires: read(next())?,
            apart: read(next())?,
            media: read(next())?,
            cancel: read(next())?,
            model: read(next())?,
            entry: read(next())?,
            echo: read(next())?,
            lane: read(next())?,
            waits_for: read(next())?,
        })
    }
}

fn read<T: FromRedisValue>(value: Value) -> Result<Option<T>, ParsingError> {
    redis::from_redis_value(value)
}

impl Row {
    /// With the size of an outcome of which an earlier version wrote the token alone. It is no record where that has expired.
    pub(super) async fn sized(mut self, connection: &Connection, id: JobId) -> Result<Self, QueueError> {
        if let Some(token) = self.apart.as_mut().filter(|apart| !apart.contains(' ')) {
            let mut command = redis::cmd("STRLEN");
            let length = Call::Command(command.arg(keys::outcome(id, token)));
            let bytes: u64 = Box::pin(connection.run(length)).await?;
            token.push_str(&format!(" {bytes}"));
            self.holder = self.holder.filter(|_| bytes > 0);
        }
        Ok(self)
    }

    /// The record; none where there is none.
    pub(super) fn record(self, id: JobId) -> Result<Option<JobRecord>, QueueError> {
        let unreadable = |field| QueueError::Unexpected(format!("job {id}: unreadable {field}"));
        let outcome = match (self.apart, self.outcome) {
            (Some(apart), _) => StoredOutcome::of(id, &apart).map(Outcome::Stored),
            // A worker has composed it as JSON; it is not parsed again.
            (None, Some(json)) if json.starts_with('{') && json.ends_with('}') => Some(Outcome::Inline(json)),
            (None, _) => None,
        };
        let Some(holder) = self.holder else { return Ok(None) };
        let operation =
            self.operation.map_or(Some(Operation::default()), |name| Operation::from_record_type(&name));
        let operation = operation.ok_or_else(|| unreadable("type"))?;
        // The fence alone, or also who runs it.
        let (fence, runs) =
            holder.split_once(' ').map_or((holder.as_str(), false), |(fence, _)| (fence, true));
        let fence: u64 = fence.parse().unwrap_or_default();
        // As `events.lua` counts.
        let seq = (2 * fence).saturating_sub(runs.into())
            + u64::from(self.cancel.is_some())
            + u64::from(self.code.is_some());
        let mut record = JobRecord {
            id,
            operation,
            status: if runs { JobStatus::Processing } else { JobStatus::Pending },
            seq,
            owner: self.owner,
            model: self.model,
            media: self.media,
            cancel_requested: self.cancel.map(Timestamp::from_millis),
            entry: self.entry.filter(|entry| !entry.is_empty()),
            echo: self.echo.and_then(ResponseEcho::from_json),
            sublane: self.lane,
            waiting_for: self
                .waits_for
                .filter(|_| !runs && self.code.is_none())
                .and_then(|text| WaitingFor::read(&text)),
            ended: None,
        };
        if let Some(code) = self.code {
            record.status = if code == 200 { JobStatus::Completed } else { JobStatus::Failed };
            record.ended = Some(EndedRecord {
                code,
                outcome: outcome.ok_or_else(|| unreadable("outcome"))?,
                completed: Timestamp::from_millis(self.completed.ok_or_else(|| unreadable("completed"))?),
                expires: Timestamp::from_millis(self.expires.ok_or_else(|| unreadable("expires"))?),
            });
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::Shard;

    use super::*;
    use crate::{JobJson, OutcomeRef};

    fn row() -> Row {
        Row {
            holder: Some("1".to_owned()),
            owner: Some("vk-1".to_owned()),
            operation: None,
            code: Some(200),
            outcome: None,
            completed: Some(1_000),
            expires: Some(2_000),
            apart: None,
            media: None,
            cancel: None,
            model: None,
            entry: None,
            echo: None,
            lane: None,
            waits_for: None,
        }
    }

    fn new_id() -> JobId {
        JobId::new(Shard::default())
    }

    #[test]
    fn a_large_outcome_fits_between_head_and_tail() {
        let id = new_id();
        let inline = Row { outcome: Some(r#"{"n":1}"#.to_owned()), ..row() }.record(id).unwrap().unwrap();
        let stored = Row { apart: Some("t 7".to_owned()), ..row() }.record(id).unwrap().unwrap();
        assert_eq!(stored.owner.as_deref(), Some("vk-1"));
        assert!(matches!(inline.outcome(), Some(OutcomeRef::Inline(r#"{"n":1}"#))));
        assert!(matches!(stored.outcome(), Some(OutcomeRef::Stored(outcome)) if outcome.bytes == 7));
        let (JobJson::Whole(whole), JobJson::Around { head, outcome, tail }) =
            (inline.into_json(), stored.into_json())
        else {
            panic!("the size decides")
        };
        assert_eq!(format!("{head}{{\"n\":1}}{tail}"), whole);
        assert_eq!((outcome.bytes, outcome.key.ends_with(":t")), (7, true));
    }

    #[test]
    fn an_ended_job_without_a_readable_outcome_is_damaged() {
        for apart in [None, Some("t"), Some("t x")] {
            let row = Row { apart: apart.map(str::to_owned), ..row() };
            assert!(row.record(new_id()).is_err(), "{apart:?}");
        }
    }

    #[test]
    fn a_record_says_what_it_calls() {
        let of = |name: Option<&str>| {
            let row = Row { code: None, operation: name.map(str::to_owned), ..row() };
            row.record(new_id()).ok().flatten().map(|record| record.operation)
        };
        assert_eq!(of(None), Some(Operation::TextCompletion));
        assert_eq!(of(Some("ocr")), Some(Operation::Ocr));
        assert_eq!(of(Some("unheard")), None);
    }
}
