use hermod_types::{JobId, JobView, Operation, Timestamp};
use redis::{FromRedisValue, ParsingError, Value};

use super::Row;

/// What a list says of a job.
#[derive(Debug)]
pub struct ListedJob {
    /// What a poll says, less result and error.
    pub view: JobView,
    pub operation: Operation,
    /// The first of its targets; none in a record of an earlier version.
    pub model: Option<String>,
    /// Id of the virtual key that it was submitted with.
    pub owner: Option<String>,
    /// The worker that runs it.
    pub worker: Option<String>,
    /// When that has started it.
    pub started: Option<Timestamp>,
    /// When a delayed one is due; only where delayed jobs were asked for.
    pub due: Option<Timestamp>,
}

/// What `HMGET` gives of [`ListedRow::FIELDS`].
pub(crate) struct ListedRow(Row);

impl ListedRow {
    pub(crate) const FIELDS: [&str; 8] =
        ["holder", "type", "code", "completed", "expires", "cancel", "model", "owner"];

    /// None where there is no record, or it is damaged.
    pub(crate) fn job(self, id: JobId) -> Option<ListedJob> {
        // Fence, worker, token, when it was started, and the end of its lease, as `lib.lua` writes it.
        let holder = self.0.holder.clone().unwrap_or_default();
        let mut words = holder.split(' ').skip(1);
        let worker = words.next().map(str::to_owned);
        let started = words.nth(1).and_then(|ms| ms.parse().ok()).map(Timestamp::from_millis);
        let record = self.0.record(id).ok().flatten()?;
        Some(ListedJob {
            view: record.view(),
            operation: record.operation,
            model: record.model,
            owner: record.owner,
            worker,
            started,
            due: None,
        })
    }
}

impl FromRedisValue for ListedRow {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (holder, operation, code, completed, expires, cancel, model, owner) =
            redis::from_redis_value(value)?;
        // An outcome is not read.
        let outcome = Some("{}".to_owned());
        Ok(Self(Row {
            holder,
            owner,
            operation,
            code,
            outcome,
            completed,
            expires,
            cancel,
            model,
            ..Row::default()
        }))
    }
}
