use std::collections::VecDeque;
use std::time::Duration;

use hermod_types::Shard;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::connection::{Call, Connection};
use crate::script::{self, SCRIPTS};
use crate::{QueueError, keys};

/// Ids that one call looks at: some 100 µs of Redis.
const COUNT: usize = 256;
/// Calls in one round, each of which removes most of what it looks at: more than a shard can take in jobs.
const FRUITFUL: u32 = 60;
/// Calls in one round that look and remove little.
const FRUITLESS: u32 = 8;
/// Rounds follow each other so soon while there is something to remove, and else.
const BUSY: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(10);

/// Takes the ids of jobs whose records are gone out of the lists of a shard.
///
/// Most that is gone stands at the start of a list, as the oldest does: there each round removes until it comes to jobs that are
/// kept. What is gone in the midst of them, because it was kept less long, is found by going through whole lists bit by bit.
pub(crate) struct ListTrim {
    shard: Shard,
    next: Instant,
    /// Owners whose lists are still to be looked at from the start.
    fronts: VecDeque<String>,
    /// Owners whose lists are still to be gone through, and how far the first of them was.
    whole: VecDeque<String>,
    after: String,
}

#[derive(Serialize)]
struct Args<'a> {
    owner: &'a str,
    after: &'a str,
    count: usize,
}

#[derive(Deserialize)]
struct Trimmed {
    removed: usize,
    #[serde(default)]
    last: Option<String>,
}

impl Trimmed {
    const fn is_fruitful(&self) -> bool {
        self.removed >= COUNT / 2
    }
}

/// Calls that a round may still make.
struct Budget {
    fruitful: u32,
    fruitless: u32,
    removed: usize,
}

impl Budget {
    const fn is_left(&self) -> bool {
        self.fruitful > 0 && self.fruitless > 0
    }
}

impl ListTrim {
    pub(crate) fn new(shard: Shard) -> Self {
        let (fronts, whole) = (VecDeque::new(), VecDeque::new());
        Self { shard, next: Instant::now(), fronts, whole, after: String::new() }
    }

    /// Makes a round, if one is due.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(crate) async fn run(&mut self, connection: &Connection) -> Result<(), QueueError> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + BUSY;
        if self.fronts.is_empty() {
            self.fronts = self.owners(connection).await?;
        }
        if self.whole.is_empty() {
            self.whole.clone_from(&self.fronts);
            self.after.clear();
        }
        // Neither takes what the other needs.
        let mut budget = Budget { fruitful: FRUITFUL, fruitless: FRUITLESS, removed: 0 };
        self.trim_fronts(connection, &mut budget).await?;
        budget = Budget { fruitful: FRUITFUL, fruitless: FRUITLESS, ..budget };
        self.trim_whole(connection, &mut budget).await?;
        if budget.removed == 0 && self.fronts.is_empty() {
            self.next = now + IDLE;
        }
        Ok(())
    }

    async fn owners(&self, connection: &Connection) -> Result<VecDeque<String>, QueueError> {
        let mut command = redis::cmd("SMEMBERS");
        connection
            .run::<Vec<String>>(Call::Command(command.arg(keys::owners(self.shard))))
            .await
            .map(Into::into)
    }

    async fn trim_fronts(&mut self, connection: &Connection, budget: &mut Budget) -> Result<(), QueueError> {
        while budget.is_left()
            && let Some(owner) = self.fronts.front()
        {
            let trimmed = self.trim(connection, owner, "", budget).await?;
            if !trimmed.is_fruitful() {
                self.fronts.pop_front();
            }
        }
        Ok(())
    }

    async fn trim_whole(&mut self, connection: &Connection, budget: &mut Budget) -> Result<(), QueueError> {
        while budget.is_left()
            && let Some(owner) = self.whole.front()
        {
            let trimmed = self.trim(connection, owner, &self.after, budget).await?;
            if trimmed.last.is_none() {
                self.whole.pop_front();
            }
            self.after = trimmed.last.unwrap_or_default();
        }
        Ok(())
    }

    async fn trim(
        &self,
        connection: &Connection,
        owner: &str,
        after: &str,
        budget: &mut Budget,
    ) -> Result<Trimmed, QueueError> {
        let args = Args { owner, after, count: COUNT };
        let queue = keys::queue(self.shard);
        let trimmed: Trimmed = script::run(connection, &SCRIPTS.trim_list, &queue, &args).await?;
        budget.removed += trimmed.removed;
        let left = if trimmed.is_fruitful() { &mut budget.fruitful } else { &mut budget.fruitless };
        *left -= 1;
        Ok(trimmed)
    }
}
