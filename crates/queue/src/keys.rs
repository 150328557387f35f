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
}

impl Keys {
    pub(crate) fn new(shard: Shard) -> Self {
        let number = shard.number();
        Self { queue: format!("{{hermod:{number}}}:queue"), dead: format!("{{hermod:{number}}}:dead") }
    }
}

/// The key of a job's record; it ends with the id, which `finish.lua` relies on.
pub(crate) fn job(id: JobId) -> String {
    format!("{{hermod:{}}}:job:{id}", id.shard().number())
}
