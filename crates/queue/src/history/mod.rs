//! What operators see: how many jobs were accepted and have ended in each minute of the last day, the latest ends, what waits and
//! runs, the workers, what calls to providers have come to, the servers, and dead letters by why they were given up on.
//!
//! All of it is for people: it expires, it is bounded, and no transition fails for it. All calls are [`Admin`](crate::Admin)'s;
//! what workers write for it is in [`Fleet`] and [`CallFigures`].

mod calls;
mod dead;
mod fleet;
mod jobs;
mod minutes;
mod providers;
mod recent;
mod servers;

pub use calls::{CallFigures, CallsOf};
pub use dead::{DeadFilter, DeadGroup, RequeuedMany};
pub use fleet::{Fleet, WorkerFigures};
pub use jobs::JobsIn;
pub(crate) use minutes::fold;
pub use minutes::{HISTORY_MINUTES, Minute};
pub use providers::ProviderFigures;
pub use recent::{JobFilter, Outcome};
pub use servers::ServerFigures;
pub(crate) use servers::Servers;

use hermod_types::Shard;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::script;
use crate::{Admin, Cooldown, QueueError, SharedCooldowns, keys};

impl Admin {
    /// Runs a script on each shard in use, all at once.
    async fn on_all_shards<T: DeserializeOwned>(
        &self,
        script: &redis::Script,
        args: &(impl Serialize + Sync),
    ) -> Result<Vec<T>, QueueError> {
        let shards = self.shards().await?;
        let call = |shard: Shard| async move {
            script::run(self.store().shared(), script, &keys::queue(shard), args).await
        };
        futures_util::future::try_join_all(shards.shards().map(call)).await
    }

    /// Runs a script on the shard that has what all processes share.
    async fn on_first_shard<T: DeserializeOwned>(
        &self,
        script: &redis::Script,
        args: &(impl Serialize + Sync),
    ) -> Result<T, QueueError> {
        script::run(self.store().shared(), script, &keys::queue(Shard::default()), args).await
    }

    /// What nobody is to try for a while, the ones that last longest first. One with nothing left waits for a probe.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn cooldowns(&self) -> Result<Vec<Cooldown>, QueueError> {
        let mut all = SharedCooldowns::new(self.store()).all().await?;
        all.sort_by(|a, b| (b.left, &a.name).cmp(&(a.left, &b.name)));
        Ok(all)
    }

    /// Ends a cooldown. Workers hear it within a second or two. Returns whether there was one.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn end_cooldown(&self, name: &str) -> Result<bool, QueueError> {
        SharedCooldowns::new(self.store()).lift(name).await
    }
}
