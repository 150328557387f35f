use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hermod_types::webhook::{EndpointId, Event, Outcome, Row};
use hermod_types::{JobId, Timestamp};
use redis::cmd;
use serde::{Deserialize, Serialize};

use super::{StoredRow, Webhooks};
use crate::clock::millis;
use crate::connection::Call;
use crate::script::{self, SCRIPTS};
use crate::{QueueError, keys};

/// Rows that one call looks at most: Redis does nothing else meanwhile.
const CHUNK: usize = 500;
/// Rows that one search looks at most.
const MOST_ROWS: usize = 100_000;

/// What kind of answer a receiver gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// This many hundreds.
    Hundreds(u16),
    /// There was no answer.
    None,
}

/// Which deliveries are looked for: those with an attempt that matches all of it. What is empty matches any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub endpoints: Vec<EndpointId>,
    pub events: Vec<Event>,
    pub outcomes: Vec<Outcome>,
    pub classes: Vec<StatusClass>,
    pub request_id: Option<String>,
    pub delivery: Option<JobId>,
    pub job: Option<JobId>,
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The last moment.
    pub till: Option<Timestamp>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// All attempts of some deliveries: the delivery with the newest attempt first, and of each its newest attempt first.
    pub rows: Vec<Row>,
    /// How many deliveries match.
    pub deliveries: usize,
    /// Whether there are more rows than a search looks at: older ones may be missing.
    pub is_partial: bool,
}

/// A delivery that has come to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    pub delivery: JobId,
    /// Its `request`.
    pub request: String,
}

#[derive(Serialize)]
struct ScanArgs<'a> {
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a str>,
    most: usize,
    retention_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    till: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    events: &'a [Event],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    outcomes: &'a [Outcome],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
}

#[derive(Deserialize)]
struct ScanReply {
    rows: Vec<ScannedRow>,
    before: Option<String>,
}

#[derive(Deserialize)]
struct ScannedRow {
    entry: String,
    delivery: String,
    matches: bool,
}

/// A delivery, and where its rows are: the newest first.
struct Group {
    endpoint: EndpointId,
    newest: (u64, u64),
    entries: Vec<String>,
    matches: bool,
}

/// A history that is being looked through.
struct Scan {
    endpoint: EndpointId,
    before: Option<String>,
    is_over: bool,
}

impl Filter {
    fn scan<'a>(&'a self, scan: &'a Scan, retention: Duration) -> ScanArgs<'a> {
        let class = |class: &StatusClass| match class {
            StatusClass::Hundreds(hundreds) => hundreds.to_string(),
            StatusClass::None => "none".to_owned(),
        };
        ScanArgs {
            endpoint: scan.endpoint.to_string(),
            before: scan.before.as_deref(),
            most: CHUNK,
            retention_ms: millis(retention),
            from: self.from.map(Timestamp::as_millis),
            till: self.till.map(Timestamp::as_millis),
            events: &self.events,
            outcomes: &self.outcomes,
            classes: self.classes.iter().map(class).collect(),
            request_id: self.request_id.as_deref(),
            delivery: self.delivery.map(|delivery| delivery.to_string()),
            job: self.job.map(|job| job.to_string()),
        }
    }
}

impl Webhooks {
    /// Deliveries that match, without the first `offset`. `limit` and `offset` count deliveries.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn search(
        &self,
        filter: &Filter,
        offset: usize,
        limit: usize,
        retention: Duration,
    ) -> Result<Found, QueueError> {
        let endpoints = match filter.endpoints.as_slice() {
            [] => self.with_history().await?,
            some => some.to_vec(),
        };
        let mut scans: Vec<Scan> =
            endpoints.into_iter().map(|endpoint| Scan { endpoint, before: None, is_over: false }).collect();
        let (mut groups, mut looked): (HashMap<String, Group>, _) = (HashMap::new(), 0);
        // In turns, so that a long history does not keep others from being looked at.
        while looked < MOST_ROWS && scans.iter().any(|scan| !scan.is_over) {
            for scan in scans.iter_mut().filter(|scan| !scan.is_over) {
                let rows = self.scan(filter, scan, retention).await?;
                looked += rows.len();
                for row in rows {
                    add(&mut groups, scan.endpoint, row);
                }
            }
        }
        let is_partial = scans.iter().any(|scan| !scan.is_over);
        let mut matching: Vec<_> = groups.into_iter().filter(|(_, group)| group.matches).collect();
        // By id, too: of one moment, the order must be the same for the next page.
        matching.sort_unstable_by(|(id, group), (other_id, other)| {
            other.newest.cmp(&group.newest).then_with(|| id.cmp(other_id))
        });
        let mut found = Found { rows: Vec::new(), deliveries: matching.len(), is_partial };
        for (_, group) in matching.into_iter().skip(offset).take(limit) {
            let rows = self.rows(group.endpoint, &group.entries, false, retention).await?;
            found.rows.extend(rows.into_iter().map(|stored| stored.row));
        }
        Ok(found)
    }

    /// Deliveries of this endpoint whose newest attempt was after `since`, failed, and was the last of its run: the oldest first.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn failed_since(
        &self,
        endpoint: EndpointId,
        since: Timestamp,
        retention: Duration,
    ) -> Result<Vec<Unsettled>, QueueError> {
        let filter = Filter {
            outcomes: vec![Outcome::PermanentFailure, Outcome::Exhausted],
            from: Some(since),
            ..Filter::default()
        };
        let mut scan = Scan { endpoint, before: None, is_over: false };
        let (mut seen, mut failed) = (HashSet::new(), Vec::new());
        while !scan.is_over {
            for row in self.scan(&filter, &mut scan, retention).await? {
                if seen.insert(row.delivery) && row.matches {
                    failed.push(row.entry);
                }
            }
        }
        failed.reverse();
        let rows = self.rows(endpoint, &failed, true, retention).await?;
        let unsettled = |StoredRow { row, request }| Unsettled { delivery: row.webhook_id, request };
        Ok(rows.into_iter().map(unsettled).collect())
    }

    /// The next rows of a history.
    async fn scan(
        &self,
        filter: &Filter,
        scan: &mut Scan,
        retention: Duration,
    ) -> Result<Vec<ScannedRow>, QueueError> {
        let args = filter.scan(scan, retention);
        let reply: ScanReply =
            script::run(self.store.shared(), &SCRIPTS.webhook_scan, &self.queue, &args).await?;
        scan.is_over = reply.before.is_none();
        scan.before = reply.before;
        Ok(reply.rows)
    }

    /// The newest rows of all endpoints, up to `most`.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn newest(&self, most: usize, retention: Duration) -> Result<Vec<Row>, QueueError> {
        let mut rows = Vec::new();
        // Whoever is not among the endpoints with the newest row of all has none of the newest rows.
        for endpoint in self.with_newest_history(most).await? {
            rows.extend(self.history(endpoint, 0, most, retention).await?.rows);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.created_at));
        rows.truncate(most);
        Ok(rows)
    }

    /// Endpoints that have a history; the one with the newest row first. They need not be registered any more.
    async fn with_history(&self) -> Result<Vec<EndpointId>, QueueError> {
        self.with_newest_history(usize::MAX).await
    }

    async fn with_newest_history(&self, most: usize) -> Result<Vec<EndpointId>, QueueError> {
        let last = i64::try_from(most).map_or(-1, |most| most - 1);
        let mut command = cmd("ZRANGE");
        command.arg(keys::WEBHOOK_HISTORIES).arg(0).arg(last).arg("REV");
        let ids: Vec<String> = self.store.shared().run(Call::Command(&command)).await?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }
}

fn add(groups: &mut HashMap<String, Group>, endpoint: EndpointId, row: ScannedRow) {
    let newest = place(&row.entry);
    let group = groups.entry(row.delivery).or_insert_with(|| Group {
        endpoint,
        newest,
        entries: Vec::new(),
        matches: false,
    });
    group.matches |= row.matches;
    group.entries.push(row.entry);
}

/// An entry's place in the order of all.
fn place(entry: &str) -> (u64, u64) {
    let (ms, number) = entry.split_once('-').unwrap_or((entry, "0"));
    (ms.parse().unwrap_or_default(), number.parse().unwrap_or_default())
}
