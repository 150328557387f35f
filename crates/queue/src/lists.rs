//! Jobs by their owner, the newest first.
//!
//! A list is a sorted set of ids for each owner and shard. An id is a UUIDv7, so its order is that of time, and lists of several
//! shards are merged by it. What a page shows, and what it is filtered by, stands in the records.

use std::collections::{BTreeMap, BinaryHeap};

use futures_util::future::try_join_all;
use hermod_types::{JobId, JobStatus, Operation, Shard, ShardCount, Timestamp};
use redis::{Pipeline, RedisResult};
use serde::Serialize;

use crate::connection::Call;
use crate::find::{ListedJob, ListedRow};
use crate::scan::by_shard;
use crate::script::{self, SCRIPTS};
use crate::{KnownShards, QueueError, QueueSettings, Store, keys};

/// Records that one page looks at, at most: some 5 ms of Redis.
const MOST_RECORDS: usize = 2_000;
/// Records that are read with one call.
const RECORDS: usize = 100;
/// Ids that are read from a shard with one call, at least.
const LEAST_IDS: usize = 8;

/// Reads lists. Cheap to clone.
#[derive(Clone)]
pub struct Lists {
    store: Store,
    shards: ShardCount,
    known: KnownShards,
}

/// Whose jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Those of the virtual key with this id.
    Key(String),
    /// All jobs, those without an owner among them.
    Anybody,
}

/// Which jobs.
#[derive(Clone, Debug)]
pub struct JobQuery {
    pub owner: Owner,
    pub status: Option<JobStatus>,
    pub operation: Option<Operation>,
    /// The first target, or the model in it.
    pub model: Option<String>,
    pub created_after: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
    /// Only jobs before this one in the list: where an earlier page ended.
    pub after: Option<JobId>,
    /// At most so many; at least 1.
    pub limit: usize,
}

/// A part of a list.
#[derive(Debug)]
pub struct JobPage {
    pub jobs: Vec<ListedJob>,
    /// The job behind which the next page begins; none at the end. It need not be in this one.
    pub next: Option<JobId>,
}

impl JobQuery {
    fn takes(&self, job: &ListedJob) -> bool {
        self.status.is_none_or(|status| status == job.view.status)
            && self.operation.is_none_or(|operation| operation == job.operation)
            && self.model.as_deref().is_none_or(|wanted| is_model(job.model.as_deref(), wanted))
    }

    /// The upper bound of the ids.
    fn newest(&self) -> String {
        let before = self.created_before.map(|at| prefix_of(at.as_millis()));
        let after = self.after.map(|id| id.to_string());
        // Of two bounds, the lower one counts.
        let bound = before.into_iter().chain(after).min();
        bound.map_or_else(|| "+".to_owned(), |bound| format!("({bound}"))
    }

    fn oldest(&self) -> String {
        let after = self.created_after.map(|at| prefix_of(at.as_millis() + 1));
        after.map_or_else(|| "-".to_owned(), |bound| format!("[{bound}"))
    }
}

/// Whether a job's first target is the wanted one, or its model is.
pub(crate) fn is_model(target: Option<&str>, wanted: &str) -> bool {
    let target = target.unwrap_or_default();
    target == wanted || target.split_once('/').is_some_and(|(_, model)| model == wanted)
}

/// What the ids of a millisecond begin with; all before it are less.
fn prefix_of(millis: u64) -> String {
    format!("{:08x}-{:04x}", millis >> 16, millis & 0xffff)
}

#[derive(Serialize)]
struct IdsArgs<'a> {
    newest: &'a str,
    oldest: &'a str,
    count: usize,
}

/// The ids of one shard, from the newest to the oldest.
struct ShardIds<'a> {
    lists: &'a Lists,
    query: &'a JobQuery,
    shard: Shard,
    oldest: &'a str,
    /// The bound below which the next call reads; none at the end.
    newest: Option<String>,
    /// What was read, the newest last.
    ids: Vec<String>,
    /// Ids to read with one call.
    count: usize,
}

impl ShardIds<'_> {
    /// Reads on, if there is more and nothing is left of what was read.
    async fn fill(&mut self) -> Result<(), QueueError> {
        if !self.ids.is_empty() {
            return Ok(());
        }
        let Some(newest) = self.newest.take() else { return Ok(()) };
        let mut ids = self.lists.ids(self.query, self.shard, &newest, self.oldest, self.count).await?;
        if ids.len() == self.count {
            self.newest = ids.last().map(|last| format!("({last}"));
        }
        ids.reverse();
        self.ids = ids;
        Ok(())
    }
}

impl Lists {
    /// Reads those of the queue in `store`.
    pub fn new(store: &Store, settings: &QueueSettings) -> Self {
        Self { store: store.clone(), shards: settings.shards, known: settings.known.clone() }
    }

    /// A page of a list. It looks at 2,000 records at most: where few of them are asked for, it may have less than is asked for, or
    /// nothing, and still not be the last.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn page(&self, query: &JobQuery) -> Result<JobPage, QueueError> {
        let used = self.known.used().unwrap_or(self.shards).max(self.shards);
        let (newest, oldest) = (query.newest(), query.oldest());
        let share = 2 * (query.limit + 1) / usize::from(used.get());
        let mut shards: Vec<ShardIds<'_>> = used
            .shards()
            .map(|shard| ShardIds {
                lists: self,
                query,
                shard,
                oldest: &oldest,
                newest: Some(newest.clone()),
                ids: Vec::new(),
                count: share.clamp(LEAST_IDS, RECORDS),
            })
            .collect();
        let mut page = JobPage { jobs: Vec::with_capacity(query.limit), next: None };
        let mut heads = BinaryHeap::new();
        try_join_all(shards.iter_mut().map(ShardIds::fill)).await?;
        for (index, shard) in shards.iter_mut().enumerate() {
            heads.extend(shard.ids.pop().map(|id| (id, index)));
        }
        let (mut looked_at, mut last) = (0, None);
        while !heads.is_empty() {
            let wanted = if looked_at == 0 { query.limit + 1 } else { RECORDS };
            let mut ids = Vec::with_capacity(wanted);
            while ids.len() < wanted
                && let Some((id, index)) = heads.pop()
            {
                if let Some(shard) = shards.get_mut(index) {
                    Box::pin(shard.fill()).await?;
                    heads.extend(shard.ids.pop().map(|id| (id, index)));
                }
                ids.extend(id.parse::<JobId>().ok());
            }
            looked_at += ids.len();
            let found = listed(&self.store, &ids).await?;
            for (id, job) in ids.into_iter().zip(found) {
                last = Some(id);
                let Some(job) = job.filter(|job| query.takes(job)) else { continue };
                if page.jobs.len() == query.limit {
                    page.next = page.jobs.last().map(|job| job.view.id);
                    return Ok(page);
                }
                page.jobs.push(job);
            }
            if looked_at >= MOST_RECORDS {
                page.next = last.filter(|_| !heads.is_empty());
                return Ok(page);
            }
        }
        Ok(page)
    }

    async fn ids(
        &self,
        query: &JobQuery,
        shard: Shard,
        newest: &str,
        oldest: &str,
        count: usize,
    ) -> Result<Vec<String>, QueueError> {
        let shared = self.store.shared();
        match &query.owner {
            Owner::Key(owner) => {
                let mut command = redis::cmd("ZRANGE");
                command.arg(keys::list(shard, owner)).arg(newest).arg(oldest);
                command.arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(count);
                shared.run(Call::Command(&command)).await
            }
            Owner::Anybody => {
                let args = IdsArgs { newest, oldest, count };
                script::run(shared, &SCRIPTS.list_ids, &keys::queue(shard), &args).await
            }
        }
    }
}

/// What the records of these jobs say, in their order; none for one that has expired, or is damaged.
pub(crate) async fn listed(store: &Store, ids: &[JobId]) -> Result<Vec<Option<ListedJob>>, QueueError> {
    let read = by_shard(ids.to_vec()).into_values().map(|ids| async move {
        let mut pipeline = Pipeline::with_capacity(ids.len());
        pipeline.ignore_errors();
        for id in &ids {
            pipeline.cmd("HMGET").arg(keys::job(*id)).arg(&ListedRow::FIELDS);
        }
        let rows: Vec<RedisResult<ListedRow>> = store.shared().run(Call::Pipeline(&pipeline)).await?;
        let jobs = ids.into_iter().zip(rows).filter_map(|(id, row)| Some((id, row.ok()?.job(id)?)));
        Ok::<_, QueueError>(jobs.collect::<Vec<_>>())
    });
    let mut found: BTreeMap<JobId, ListedJob> = try_join_all(read).await?.into_iter().flatten().collect();
    Ok(ids.iter().map(|id| found.remove(id)).collect())
}

#[cfg(test)]
mod tests {
    use hermod_types::JobView;

    use super::*;

    fn query() -> JobQuery {
        JobQuery {
            owner: Owner::Anybody,
            status: None,
            operation: None,
            model: None,
            created_after: None,
            created_before: None,
            after: None,
            limit: 20,
        }
    }

    #[test]
    fn bounds_in_time_are_bounds_of_ids() {
        const AT: u64 = 1_771_488_617_831;
        let at = Some(Timestamp::from_millis(AT));
        let ids = [AT - 1, AT, AT + 1].map(|at| JobId::at(at, Shard::default()).to_string());
        let (before, after) =
            (JobQuery { created_before: at, ..query() }, JobQuery { created_after: at, ..query() });
        let (newest, oldest) = (before.newest(), after.oldest());
        let is_before = |id: &String| id.as_str() < newest.strip_prefix('(').unwrap();
        let is_after = |id: &String| id.as_str() >= oldest.strip_prefix('[').unwrap();
        assert_eq!(ids.each_ref().map(is_before), [true, false, false]);
        assert_eq!(ids.each_ref().map(is_after), [false, false, true]);
        assert_eq!((query().newest(), query().oldest()), ("+".to_owned(), "-".to_owned()));
        let (older, newer) = (&ids[0], &ids[2]);
        let both =
            |after: &String| JobQuery { after: after.parse().ok(), created_before: at, ..query() }.newest();
        assert_eq!((both(older), both(newer)), (format!("({older}"), newest.clone()));
    }

    #[test]
    fn a_model_is_named_with_its_provider_or_without() {
        let job = |model: Option<&str>| ListedJob {
            view: JobView::accepted(JobId::new(Shard::default())),
            operation: Operation::Embedding,
            model: model.map(str::to_owned),
            owner: None,
            worker: None,
            started: None,
            due: None,
        };
        let takes =
            |wanted: &str, model| JobQuery { model: Some(wanted.to_owned()), ..query() }.takes(&job(model));
        for wanted in ["a/b/c", "b/c"] {
            assert!(takes(wanted, Some("a/b/c")) && !takes(wanted, Some("a/b/cd")) && !takes(wanted, None));
        }
        assert!(!takes("c", Some("a/b/c")));
    }
}
