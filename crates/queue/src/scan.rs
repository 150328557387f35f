//! What a comparison of records and entries goes through, and what it remembers.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use hermod_types::{JobId, Shard};

use crate::QueueError;
use crate::connection::{Call, Connection};

/// Keys or entries of one call.
pub(crate) const PAGE: usize = 500;

/// The jobs that have an entry: one part of them.
#[derive(Default)]
pub(crate) struct Queued {
    pub(crate) part: usize,
    pub(crate) parts: usize,
    pub(crate) hasher: RandomState,
    pub(crate) ids: HashSet<JobId>,
    /// After which entry of each shard to go on.
    pub(crate) from: BTreeMap<Shard, String>,
}

impl Queued {
    fn is_of_part(&self, id: &JobId) -> bool {
        self.parts == 1
            || usize::try_from(self.hasher.hash_one(id)).unwrap_or_default() % self.parts == self.part
    }

    pub(crate) fn add(&mut self, id: JobId) {
        if self.is_of_part(&id) {
            self.ids.insert(id);
        }
    }

    /// Whether a job of this part has no entry.
    pub(crate) fn lacks(&self, id: &JobId) -> bool {
        self.is_of_part(id) && !self.ids.contains(id)
    }
}

/// The ids in some keys; what is named like ours, but not after an id, is none of ours.
pub(crate) fn ids(keys: &[String]) -> Vec<JobId> {
    keys.iter().filter_map(|key| key.rsplit(':').next()?.parse().ok()).collect()
}

pub(crate) fn by_shard(ids: Vec<JobId>) -> BTreeMap<Shard, Vec<JobId>> {
    let mut shards: BTreeMap<Shard, Vec<JobId>> = BTreeMap::new();
    for id in ids {
        shards.entry(id.shard()).or_default().push(id);
    }
    shards
}

/// Goes through the keys of one server.
pub(crate) struct Scan<'a> {
    server: &'a Connection,
    pattern: &'static str,
    cursor: Option<u64>,
}

impl<'a> Scan<'a> {
    pub(crate) const fn new(server: &'a Connection, pattern: &'static str) -> Self {
        Self { server, pattern, cursor: Some(0) }
    }

    /// The next keys; none at the end.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<String>>, QueueError> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(self.pattern).arg("COUNT").arg(PAGE);
        let (next, found): (u64, Vec<String>) = self.server.run(Call::Command(&command)).await?;
        self.cursor = (next != 0).then_some(next);
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use hermod_types::ShardCount;

    fn new_ids(count: usize) -> Vec<JobId> {
        (0..count).map(|_| JobId::new(Shard::default())).collect()
    }

    #[test]
    fn what_has_an_entry_is_not_missed() {
        let mut queued = Queued { parts: 1, ..Queued::default() };
        let all = new_ids(100);
        let (with, without) = all.split_at(50);
        with.iter().for_each(|id| queued.add(*id));
        assert!(with.iter().all(|id| !queued.lacks(id)));
        assert!(without.iter().all(|id| queued.lacks(id)));
    }

    #[test]
    fn each_job_is_looked_at_in_one_part() {
        let (all, hasher) = (new_ids(300), RandomState::new());
        let (with, without) = all.split_at(150);
        let mut missed = Vec::new();
        for part in 0..3 {
            let mut queued = Queued { part, parts: 3, hasher: hasher.clone(), ..Queued::default() };
            with.iter().for_each(|id| queued.add(*id));
            assert!(queued.ids.len() < with.len(), "memory holds a part of them");
            missed.extend(all.iter().filter(|id| queued.lacks(id)).copied());
        }
        missed.sort();
        let mut without = without.to_vec();
        without.sort();
        assert_eq!(missed, without);
    }

    #[test]
    fn keys_that_are_not_named_after_a_job_are_none_of_ours() {
        let id = JobId::new(Shard::default());
        let keys = [keys::job(id), keys::body(id), "{hermod:0}:job:x".to_owned(), String::new()];
        assert_eq!(ids(&keys), [id, id]);
    }

    #[test]
    fn jobs_are_sorted_by_shard() {
        let shards: Vec<Shard> = ShardCount::new(3).unwrap().shards().collect();
        let all: Vec<JobId> = shards.iter().chain(&shards).map(|shard| JobId::new(*shard)).collect();
        let sorted = by_shard(all);
        assert_eq!(sorted.keys().copied().collect::<Vec<_>>(), shards);
        assert!(
            sorted.iter().all(|(shard, ids)| ids.len() == 2 && ids.iter().all(|id| id.shard() == *shard))
        );
    }
}
