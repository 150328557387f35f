//! Jobs that sleep until a retry time.

use hermod_types::{JobId, Shard};
use redis::Pipeline;

use crate::keys::{self, Keys};
use crate::lane::{Call, Lane};
use crate::script::Scripts;
use crate::{QueueError, Store};

/// Jobs of one call: few enough not to hold up Redis for long.
const PAGE: usize = 500;

/// Wakes the jobs of one shard that sleep, once their time has come. Every worker does so; each job is queued once.
pub struct Sleepers {
    lane: Lane,
    keys: Keys,
    scripts: Scripts,
}

impl Sleepers {
    /// Those of `shard`.
    pub fn new(store: &Store, shard: Shard) -> Self {
        Self { lane: store.errand(), keys: Keys::new(shard), scripts: Scripts::new() }
    }

    /// Queues the jobs whose sleep is over by Redis's clock. Returns how many.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn wake(&mut self) -> Result<usize, QueueError> {
        let mut woken = 0;
        loop {
            let due = self.due().await?;
            if due.is_empty() {
                return Ok(woken);
            }
            let mut script = self.scripts.wake.prepare_invoke();
            script.key(&self.keys.queue).key(&self.keys.later);
            for id in &due {
                script.key(keys::job(*id)).arg(id.to_string());
            }
            woken += self.lane.run::<usize>(Call::Script(&script)).await?;
            if due.len() < PAGE {
                return Ok(woken);
            }
        }
    }

    /// The first of those whose time has come. What is no id is nobody's job, and is removed.
    async fn due(&mut self) -> Result<Vec<JobId>, QueueError> {
        let mut first = Pipeline::with_capacity(2);
        first.cmd("TIME").cmd("ZRANGE").arg(&self.keys.later).arg(0).arg(0).arg("WITHSCORES");
        let ((seconds, micros), first): ((u64, u64), Vec<(String, u64)>) =
            self.lane.run(Call::Pipeline(&first)).await?;
        let now = seconds * 1000 + micros / 1000;
        if first.first().is_none_or(|(_, at)| *at > now) {
            return Ok(Vec::new());
        }
        let mut page = redis::cmd("ZRANGEBYSCORE");
        page.arg(&self.keys.later).arg("-inf").arg(now).arg("LIMIT").arg(0).arg(PAGE);
        let names: Vec<String> = self.lane.run(Call::Command(&page)).await?;
        let (ids, strangers): (Vec<_>, Vec<_>) =
            names.into_iter().map(|name| name.parse::<JobId>().map_err(|_| name)).partition(Result::is_ok);
        let strangers: Vec<String> = strangers.into_iter().filter_map(Result::err).collect();
        if !strangers.is_empty() {
            let mut remove = redis::cmd("ZREM");
            remove.arg(&self.keys.later).arg(&strangers);
            self.lane.run::<()>(Call::Command(&remove)).await?;
        }
        Ok(ids.into_iter().filter_map(Result::ok).collect())
    }
}
