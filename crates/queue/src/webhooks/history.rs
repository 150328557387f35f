use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hermod_types::webhook::{EndpointId, Row};
use hermod_types::{JobId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Webhooks;
use crate::QueueError;
use crate::clock::millis;
use crate::script::{self, SCRIPTS};

/// Rows that one call reads at most: Redis does nothing else meanwhile.
const CHUNK: usize = 500;
/// Rows among which one that was just written is looked for.
const FEW: usize = 50;

/// Where a row is, which is its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    pub endpoint: EndpointId,
    /// Its entry in the endpoint's history.
    pub(super) entry: String,
}

/// A row, with what a redelivery needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    pub row: Row,
    /// The delivery's `request`.
    pub request: String,
}

/// Some of the rows of an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub rows: Vec<Row>,
    /// How many it has.
    pub total: usize,
}

#[derive(Serialize)]
struct HistoryArgs<'a> {
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a str>,
    skip: usize,
    count: usize,
    most: usize,
    retention_ms: u64,
}

#[derive(Deserialize)]
struct HistoryReply {
    total: usize,
    rows: Vec<EntryRow>,
    skipped: usize,
    before: Option<String>,
}

#[derive(Serialize)]
struct RowsArgs<'a> {
    endpoint: String,
    entries: &'a [String],
    with_request: bool,
    retention_ms: u64,
}

/// A row as the scripts give it: its entry, and the fields that are there.
#[derive(Deserialize)]
#[serde(transparent)]
struct EntryRow(HashMap<String, ByteBuf>);

impl EntryRow {
    /// None for what is somebody else's writing, or that of a version that knows more words.
    fn read(self, endpoint: EndpointId, retention: Duration) -> Option<StoredRow> {
        let text = |name: &str| self.0.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let id = RowId { endpoint, entry: text("entry")? };
        let at = id.at_ms();
        let row = Row {
            id: id.to_string(),
            webhook_id: text("delivery")?.parse().ok()?,
            endpoint_id: endpoint,
            async_job_id: text("job")?.parse().ok()?,
            request_id: text("request_id")?,
            event: text("event")?.parse().ok()?,
            attempt_no: text("attempt_no")?.parse().ok()?,
            outcome: text("outcome")?.parse().ok()?,
            status_code: text("code")?.parse().ok()?,
            error: text("error")?,
            created_at: Timestamp::from_millis(at),
            expires_at: Timestamp::from_millis(at.saturating_add(millis(retention))),
        };
        Some(StoredRow { row, request: text("request").unwrap_or_default() })
    }
}

impl RowId {
    /// When it was written, in milliseconds since the Unix epoch.
    fn at_ms(&self) -> u64 {
        self.entry.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or_default()
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.endpoint, self.entry)
    }
}

/// A text that is no [`RowId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a row")]
pub struct InvalidRowId;

impl FromStr for RowId {
    type Err = InvalidRowId;

    fn from_str(text: &str) -> Result<Self, InvalidRowId> {
        let hyphens: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
        let [.., end, _] = hyphens.as_slice() else { return Err(InvalidRowId) };
        let (endpoint, entry) = text.split_at_checked(*end).ok_or(InvalidRowId)?;
        let entry = entry.strip_prefix('-').ok_or(InvalidRowId)?;
        let is_number =
            |part: &str| part.parse::<u64>().is_ok() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !entry.split('-').all(is_number) {
            return Err(InvalidRowId);
        }
        Ok(Self { endpoint: endpoint.parse().map_err(|_| InvalidRowId)?, entry: entry.to_owned() })
    }
}

impl Webhooks {
    /// Rows of one endpoint, the newest first, without the first `offset`; none of an endpoint that has none.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn history(
        &self,
        endpoint: EndpointId,
        offset: usize,
        limit: usize,
        retention: Duration,
    ) -> Result<Page, QueueError> {
        let (mut page, mut before, mut skip) = (Page::default(), None, offset);
        loop {
            let args = HistoryArgs {
                endpoint: endpoint.to_string(),
                before: before.as_deref(),
                skip,
                count: limit.saturating_sub(page.rows.len()),
                most: CHUNK,
                retention_ms: millis(retention),
            };
            let reply: HistoryReply =
                script::run(self.store.shared(), &SCRIPTS.webhook_history, &self.queue, &args).await?;
            if before.is_none() {
                page.total = reply.total;
            }
            skip -= reply.skipped.min(skip);
            let rows = reply.rows.into_iter().filter_map(|row| row.read(endpoint, retention));
            page.rows.extend(rows.map(|stored| stored.row));
            before = reply.before;
            if before.is_none() || offset >= page.total || page.rows.len() >= limit {
                return Ok(page);
            }
        }
    }

    /// The row with this id.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn row(&self, id: &RowId, retention: Duration) -> Result<Option<StoredRow>, QueueError> {
        let mut rows = self.rows(id.endpoint, std::slice::from_ref(&id.entry), true, retention).await?;
        Ok(rows.pop())
    }

    /// These rows of an endpoint. Those that are gone are left out.
    pub(super) async fn rows(
        &self,
        endpoint: EndpointId,
        entries: &[String],
        with_request: bool,
        retention: Duration,
    ) -> Result<Vec<StoredRow>, QueueError> {
        let mut found = Vec::new();
        for entries in entries.chunks(CHUNK) {
            let args = RowsArgs {
                endpoint: endpoint.to_string(),
                entries,
                with_request,
                retention_ms: millis(retention),
            };
            let rows: Vec<EntryRow> =
                script::run(self.store.shared(), &SCRIPTS.webhook_rows, &self.queue, &args).await?;
            found.extend(rows.into_iter().filter_map(|row| row.read(endpoint, retention)));
        }
        Ok(found)
    }

    /// The newest row of a delivery, if it is among the last few of its endpoint.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn newest_of(
        &self,
        endpoint: EndpointId,
        delivery: JobId,
        retention: Duration,
    ) -> Result<Option<Row>, QueueError> {
        let newest = self.history(endpoint, 0, FEW, retention).await?;
        Ok(newest.rows.into_iter().find(|row| row.webhook_id == delivery))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_by_its_id() {
        let id = RowId { endpoint: EndpointId::random(), entry: "1771488617831-3".to_owned() };
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_eq!(id.at_ms(), 1_771_488_617_831);
        let endpoint = id.endpoint;
        for text in [
            String::new(),
            endpoint.to_string(),
            format!("{endpoint}-1"),
            format!("{endpoint}-1-x"),
            format!("{endpoint}-+1-2"),
            format!("{endpoint}-1-2-3"),
            format!("x{endpoint}-1-2"),
            "1-2".to_owned(),
            "ü-1-2".to_owned(),
        ] {
            assert!(text.parse::<RowId>().is_err(), "{text}");
        }
    }
}
