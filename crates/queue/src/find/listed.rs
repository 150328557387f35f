use hermod_types::{JobId, JobView, Operation};
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
}

/// What `HMGET` gives of [`ListedRow::FIELDS`].
pub(crate) struct ListedRow(Row);

impl ListedRow {
    pub(crate) const FIELDS: [&str; 7] =
        ["holder", "type", "code", "completed", "expires", "cancel", "model"];

    /// None where there is no record, or it is damaged.
    pub(crate) fn job(self, id: JobId) -> Option<ListedJob> {
        let record = self.0.record(id).ok().flatten()?;
        Some(ListedJob { view: record.view(), operation: record.operation, model: record.model })
    }
}

impl FromRedisValue for ListedRow {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (holder, operation, code, completed, expires, cancel, model) = redis::from_redis_value(value)?;
        // An outcome is not read.
        let outcome = Some("{}".to_owned());
        Ok(Self(Row {
            holder,
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
