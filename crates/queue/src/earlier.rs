//! Submits of before, where `submit.lua` does not see them: in the shards to which their place leads by another number of shards, and
//! of a try of a client in any shard, if one of them was away.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hermod_types::{JobId, Shard, ShardCount};

use crate::connection::Call;
use crate::health::Part;
use crate::{KnownShards, Place, QueueError, QueueSettings, Repeats, Store, Submission, keys};

/// So long after a fault, a first try may have been moved to another shard.
const MOVED_WITHIN: Duration = Duration::from_secs(600);

/// Looks for them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Earlier {
    store: Store,
    shards: ShardCount,
    known: KnownShards,
}

impl Earlier {
    pub(crate) fn new(store: &Store, settings: &QueueSettings) -> Self {
        Self { store: store.clone(), shards: settings.shards, known: settings.known.clone() }
    }

    /// Shards that this process spreads its jobs over.
    pub(crate) const fn shards(&self) -> ShardCount {
        self.shards
    }

    /// What became of an earlier submit that this one repeats; none where it is to be submitted. One server has one shard, where
    /// `submit.lua` sees all.
    ///
    /// # Errors
    /// If Redis does not answer: nothing is submitted.
    pub(crate) async fn find(&self, repeats: &Repeats) -> Result<Option<Submission>, QueueError> {
        match repeats.place {
            Some(place) if place.may_repeat() && self.store.is_cluster() => {
                Box::pin(self.look(place, repeats)).await.map_err(QueueError::before_sending)
            }
            Some(_) | None => Ok(None),
        }
    }

    /// The same of a submit that is not to be submitted after all: its own shard is looked at, too.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(crate) async fn find_anywhere(&self, repeats: &Repeats) -> Result<Option<Submission>, QueueError> {
        if let Some(found) = self.find(repeats).await? {
            return Ok(Some(found));
        }
        match repeats.place {
            Some(place) if place.may_repeat() => self.look_at(place.shard(self.shards), repeats).await,
            Some(_) | None => Ok(None),
        }
    }

    async fn look(&self, place: Place, repeats: &Repeats) -> Result<Option<Submission>, QueueError> {
        let shards = self.elsewhere(place, repeats.key.is_none()).await?;
        let mut found: FuturesUnordered<_> =
            shards.into_iter().map(|shard| self.look_at(shard, repeats)).collect();
        let mut submission = None;
        // All of them must answer: the one that does not may be the one.
        while let Some(outcome) = found.next().await {
            submission = submission.or(outcome?);
        }
        Ok(submission)
    }

    /// The shards besides the one that it is submitted to.
    async fn elsewhere(&self, place: Place, may_be_moved: bool) -> Result<Vec<Shard>, QueueError> {
        let others = match self.known.others() {
            Some(others) => others,
            None => {
                self.known.raise(&self.store, self.shards).await?;
                self.known.others().unwrap_or_default()
            }
        };
        let own = place.shard(self.shards);
        let used = self.known.used().unwrap_or(self.shards).max(self.shards);
        let mut shards: Vec<Shard> = if may_be_moved && self.was_away(used) {
            used.shards().collect()
        } else {
            others.into_iter().map(|number| place.shard(number)).collect()
        };
        shards.sort_unstable();
        shards.dedup();
        shards.retain(|shard| *shard != own);
        Ok(shards)
    }

    fn was_away(&self, used: ShardCount) -> bool {
        let health = self.store.health();
        let parts = used.shards().map(|shard| self.store.part(shard)).chain([Part::Whole]);
        parts.into_iter().any(|part| health.well_for(part) < MOVED_WITHIN)
    }

    async fn look_at(&self, shard: Shard, repeats: &Repeats) -> Result<Option<Submission>, QueueError> {
        let field = match repeats {
            Repeats { key: Some(key), .. } => key.field(),
            Repeats { tries: Some(tries), .. } => tries.field(),
            Repeats { .. } => return Ok(None),
        };
        let mut command = redis::cmd("GET");
        let call = Call::Command(command.arg(keys::remembered(shard, &field)));
        let known: Option<String> = self.store.shared().run(call).await?;
        Ok(known.and_then(|known| told(&known, repeats)))
    }
}

/// What is to be answered to a submit, where this is remembered: see `submit.lua`.
fn told(known: &str, repeats: &Repeats) -> Option<Submission> {
    let mut words = known.split(' ');
    let id: JobId = words.next()?.parse().ok()?;
    let second = words.next()?;
    match repeats {
        Repeats { key: Some(key), .. } if second == key.print => Some(Submission::Replayed(id)),
        Repeats { key: Some(_), .. } => Some(Submission::Conflict),
        Repeats { tries: Some(tries), .. } => {
            second.parse().is_ok_and(|count: u64| tries.count > count).then_some(Submission::Replayed(id))
        }
        Repeats { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IdempotencyKey, Tries};

    #[test]
    fn what_is_remembered_of_a_submit_answers_its_repetition() {
        let id = JobId::new(Shard::default());
        let replayed = Some(Submission::Replayed(id));
        let key = |print: &str| Repeats {
            key: Some(IdempotencyKey { name: String::new(), print: print.to_owned() }),
            ..Repeats::default()
        };
        let tries =
            |count| Repeats { tries: Some(Tries { name: String::new(), count }), ..Repeats::default() };
        let (once, sent) = (format!("{id} ab"), format!("{id} 1 {id}"));
        for (known, repeats, answer) in [
            (&once, key("ab"), replayed),
            (&once, key("cd"), Some(Submission::Conflict)),
            (&sent, tries(2), replayed),
            (&sent, tries(1), None),
            (&String::new(), key("ab"), None),
        ] {
            assert_eq!(told(known, &repeats), answer, "{known}");
        }
    }
}
