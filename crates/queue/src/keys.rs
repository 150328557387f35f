//! Every key's name, in one place.

use hermod_types::{JobId, Shard};

/// The consumer group of every queue stream.
pub(crate) const GROUP: &str = "workers";

/// The names of one shard's keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The stream of waiting and running jobs.
    pub(crate) queue: String,
    /// The stream of jobs given up on.
    pub(crate) dead: String,
    /// The sorted set of jobs that sleep, by when they are to be queued again.
    pub(crate) later: String,
    /// The hash of what nobody is to try for a while; one for all shards.
    pub(crate) cooldowns: String,
    /// Exists while workers are to claim nothing.
    pub(crate) paused: String,
    /// Exists for a while after a check, so that workers that start together do not all make one.
    pub(crate) checked: String,
    /// What all records' keys match.
    pub(crate) jobs: String,
}

impl Keys {
    pub(crate) fn new(shard: Shard) -> Self {
        let key = |name: &str| format!("{{hermod:{}}}:{name}", shard.number());
        Self {
            queue: key("queue"),
            dead: key("dead"),
            later: key("later"),
            cooldowns: "hermod:cooldowns".to_owned(),
            paused: key("paused"),
            checked: key("checked"),
            jobs: key("job:*"),
        }
    }
}

/// The key of a job's record; it ends with the id, which `finish.lua` relies on.
pub(crate) fn job(id: JobId) -> String {
    format!("{{hermod:{}}}:job:{id}", id.shard().number())
}
