//! Every key's name, in one place.

use hermod_types::{JobId, Shard};

/// The consumer group of every queue stream.
pub(crate) const GROUP: &str = "workers";

/// Exists while workers are to claim nothing.
pub(crate) const PAUSED: &str = "{hermod:0}:paused";
/// Exists for a while after a check, so that workers that start together do not all make one.
pub(crate) const CHECKED: &str = "{hermod:0}:checked";
/// The number of shards in use; absent for one.
pub(crate) const SHARDS: &str = "{hermod:0}:shards";
/// The hash of what nobody is to try for a while.
pub(crate) const COOLDOWNS: &str = "hermod:cooldowns";
/// What the keys of all records match.
pub(crate) const JOBS: &str = "{hermod:*}:job:*";

/// The names of one shard's keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The stream of waiting and running jobs.
    pub(crate) queue: String,
    /// The stream of jobs given up on.
    pub(crate) dead: String,
    /// The sorted set of jobs that sleep, by when they are to be queued again.
    pub(crate) later: String,
}

impl Keys {
    pub(crate) fn new(shard: Shard) -> Self {
        let key = |name: &str| format!("{{hermod:{}}}:{name}", shard.number());
        Self { queue: key("queue"), dead: key("dead"), later: key("later") }
    }
}

/// The key of a job's record; it ends with the id, which `finish.lua` relies on.
pub(crate) fn job(id: JobId) -> String {
    format!("{{hermod:{}}}:job:{id}", id.shard().number())
}
