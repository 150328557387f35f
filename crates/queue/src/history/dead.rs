use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::lists::is_model;
use crate::script::SCRIPTS;
use crate::stats::NoArgs;
use crate::{Admin, DeadLetter, QueueError, Requeued};

/// Dead letters that are queued again together.
const TOGETHER: usize = 16;

/// Dead letters that were given up on for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadGroup {
    /// The code of the error.
    pub reason: String,
    pub count: u64,
    /// When the first of them was given up on, in milliseconds since the epoch.
    pub oldest_ms: u64,
    /// When the last one was.
    pub newest_ms: u64,
}

/// Which dead letters; what is none takes all.
#[derive(Clone, Debug, Default)]
pub struct DeadFilter {
    /// The code of the error.
    pub reason: Option<String>,
    /// The first target, or the model in it.
    pub model: Option<String>,
}

/// What became of dead letters that were to be queued again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RequeuedMany {
    pub queued: u64,
    /// They were gone by then.
    pub unknown: u64,
    /// They wait or run already.
    pub alive: u64,
}

#[derive(Deserialize)]
struct Row {
    reason: String,
    count: u64,
    oldest: f64,
    newest: f64,
}

impl Admin {
    /// Dead letters by why they were given up on, the largest group first.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn dead_groups(&self) -> Result<Vec<DeadGroup>, QueueError> {
        let rows: Vec<Vec<Row>> = self.on_all_shards(&SCRIPTS.history_dead, &NoArgs {}).await?;
        let mut groups: BTreeMap<String, DeadGroup> = BTreeMap::new();
        for row in rows.into_iter().flatten() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
            let (oldest_ms, newest_ms) = (row.oldest as u64, row.newest as u64);
            let reason = row.reason.clone();
            let group =
                groups.entry(row.reason).or_insert(DeadGroup { reason, count: 0, oldest_ms, newest_ms });
            group.count += row.count;
            group.oldest_ms = group.oldest_ms.min(oldest_ms);
            group.newest_ms = group.newest_ms.max(newest_ms);
        }
        let mut groups: Vec<DeadGroup> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        Ok(groups)
    }

    /// The newest dead letters among these, up to `most`, without their requests.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn dead_letters_of(
        &self,
        filter: &DeadFilter,
        most: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let all = if filter.model.is_some() { usize::MAX } else { most };
        let mut letters = self.letters_of(filter.reason.as_deref(), all).await?;
        let is_wanted = |letter: &DeadLetter| {
            filter.model.as_deref().is_none_or(|model| is_model(letter.model.as_deref(), model))
        };
        letters.retain(is_wanted);
        letters.truncate(most);
        Ok(letters)
    }

    /// Queues all of these again, those that are dead now.
    ///
    /// # Errors
    /// If Redis does not answer; some may be queued by then.
    pub async fn requeue_all(&self, filter: &DeadFilter) -> Result<RequeuedMany, QueueError> {
        let letters = self.dead_letters_of(filter, usize::MAX).await?;
        let mut done = RequeuedMany::default();
        for letters in letters.chunks(TOGETHER) {
            for outcome in try_join_all(letters.iter().map(|letter| self.requeue(letter.id))).await? {
                match outcome {
                    Requeued::Queued => done.queued += 1,
                    Requeued::Unknown => done.unknown += 1,
                    Requeued::Alive => done.alive += 1,
                }
            }
        }
        Ok(done)
    }
}
