//! The name of every key that Rust asks for; the scripts name the others of a shard likewise (`lua/lib.lua`).

use hermod_types::{JobId, Shard};

use crate::Lane;

/// The consumer group of every queue stream.
pub(crate) const GROUP: &str = "workers";

/// Exists while workers are to claim nothing.
pub(crate) const PAUSED: &str = "{hermod:0}:paused";
/// The number of shards in use; absent for one.
pub(crate) const SHARDS: &str = "{hermod:0}:shards";
/// Grows with each change of the cooldowns.
pub(crate) const COOLDOWNS_VERSION: &str = "{hermod:0}:cooldowns_version";
/// What was defined over HTTP, and a text that is another after each change of it.
pub(crate) const DEFINITIONS: &str = "{hermod:0}:definitions";
pub(crate) const DEFINITIONS_VERSION: &str = "{hermod:0}:definitions_version";
/// The worker that does what one has to do for all; it expires unless that worker renews it.
pub(crate) const LEADER: &str = "{hermod:0}:leader";
/// Exists for a while after records and entries have been compared.
pub(crate) const CHECKED: &str = "{hermod:0}:checked";
/// Ids of the receivers of webhooks that have a history.
pub(crate) const WEBHOOK_HISTORIES: &str = "{hermod:0}:webhook_histories";
/// What workers say of themselves.
pub(crate) const WORKERS: &str = "{hermod:0}:workers";
/// What jobs hold of their limits.
pub(crate) const PERMITS: &str = "{hermod:0}:permits";
/// What the keys of all bodies match that are kept apart, and of all media.
pub(crate) const BODIES: &str = "{hermod:*}:body:*";
pub(crate) const MEDIA: &str = "{hermod:*}:media:*";

impl Lane {
    /// What the names of its keys begin with, behind the hash tag.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Jobs => "",
            Self::Deliveries => "hooks:",
        }
    }

    /// What the keys of all its records match.
    pub(crate) const fn records(self) -> &'static str {
        match self {
            Self::Jobs => "{hermod:*}:job:*",
            Self::Deliveries => "{hermod:*}:hooks:job:*",
        }
    }

    /// The stream of a shard's waiting and running jobs: first key of every script.
    pub(crate) fn queue(self, shard: Shard) -> String {
        self.key(shard, "queue")
    }

    /// The set on which the idle workers of a shard wait.
    pub(crate) fn wake(self, shard: Shard) -> String {
        self.key(shard, "wake")
    }

    /// The sorted set of a shard's delayed jobs, by when they are due (ms).
    pub(crate) fn delayed(self, shard: Shard) -> String {
        self.key(shard, "delayed")
    }

    /// A record.
    pub(crate) fn job(self, id: JobId) -> String {
        self.key(id.shard(), &format!("job:{id}"))
    }

    fn key(self, shard: Shard, name: &str) -> String {
        of_shard(shard, &format!("{}{name}", self.prefix()))
    }
}

/// The queue of jobs in a shard: what scripts are given that are about jobs, or about what all share.
pub(crate) fn queue(shard: Shard) -> String {
    Lane::Jobs.queue(shard)
}

/// The open lanes of a shard, by virtual time.
pub(crate) fn lanes(shard: Shard) -> String {
    of_shard(shard, "lanes")
}

/// The lanes that wait for a limit, by when they open (ms).
pub(crate) fn closed(shard: Shard) -> String {
    of_shard(shard, "closed")
}

/// A lane: its jobs.
pub(crate) fn lane(shard: Shard, lane: &str) -> String {
    of_shard(shard, &format!("lane:{lane}"))
}

/// What the closed lanes wait for.
pub(crate) fn reasons(shard: Shard) -> String {
    of_shard(shard, "reasons")
}

/// The weights of those lanes that have another than 1.
pub(crate) fn weights(shard: Shard) -> String {
    of_shard(shard, "weights")
}

/// The name of the lane in which a job waits: its owner's, or of that the one for a narrow limit, as `lanes.lua` names them.
pub(crate) fn lane_of(owner: Option<&str>, sublane: Option<&str>) -> String {
    let owner = owner.unwrap_or_default();
    sublane.map_or_else(|| owner.to_owned(), |sublane| format!("{owner}\n{sublane}"))
}

/// Jobs in lanes that have a latest start of their own, by that (ms).
pub(crate) fn deadlines(shard: Shard) -> String {
    of_shard(shard, "deadlines")
}

/// A job's record.
pub(crate) fn job(id: JobId) -> String {
    Lane::Jobs.job(id)
}

/// The channel on which the transitions of a shard's jobs are told.
pub(crate) fn events(shard: Shard) -> String {
    of_shard(shard, "events")
}

/// The channel on which a worker is told which of its jobs are to be cancelled.
pub(crate) fn cancels(shard: Shard, worker: &str) -> String {
    of_shard(shard, &format!("cancel:{worker}"))
}

/// What it takes to queue a job again that was given up on.
pub(crate) fn letter(id: JobId) -> String {
    of_shard(id.shard(), &format!("letter:{id}"))
}

/// The body of a job's request, where it is kept apart from the record.
pub(crate) fn body(id: JobId) -> String {
    of_shard(id.shard(), &format!("body:{id}"))
}

/// The media of a job's request.
pub(crate) fn media(id: JobId) -> String {
    of_shard(id.shard(), &format!("media:{id}"))
}

/// Where pieces stand until a script keeps them: those of a `body`, of `media`, or of the outcome with this token.
pub(crate) fn staged(id: JobId, what: &str) -> String {
    of_shard(id.shard(), &format!("staged:{id}:{what}"))
}

/// A job's outcome, where it is kept apart from the record. `token` is its holder's, so that no late holder overwrites it.
pub(crate) fn outcome(id: JobId, token: &str) -> String {
    of_shard(id.shard(), &format!("outcome:{id}:{token}"))
}

/// What jobs of a shard have used, until it is counted.
pub(crate) fn owed(shard: Shard) -> String {
    of_shard(shard, "owed")
}

/// What was used on a day, `20300131`.
pub(crate) fn usage(day: &str) -> String {
    of_shard(Shard::default(), &format!("usage:{day}"))
}

/// What was used of a limit.
pub(crate) fn limit(name: &str) -> String {
    of_shard(Shard::default(), &format!("limit:{name}"))
}

/// What an owner has used since it was made.
pub(crate) fn totals(owner: &str) -> String {
    of_shard(Shard::default(), &format!("totals:{owner}"))
}

/// A login of an administrator.
pub(crate) fn session(token: &str) -> String {
    of_shard(Shard::default(), &format!("session:{token}"))
}

/// The ids of the jobs of an owner.
pub(crate) fn list(shard: Shard, owner: &str) -> String {
    of_shard(shard, &format!("list:{owner}"))
}

/// The owners of which there are lists.
pub(crate) fn owners(shard: Shard) -> String {
    of_shard(shard, "owners")
}

/// What is remembered of a submit that may be repeated: see [`crate::Repeats`].
pub(crate) fn remembered(shard: Shard, field: &str) -> String {
    of_shard(shard, field)
}

/// What the keys of a shard have between their braces.
pub(crate) fn tag(shard: Shard) -> String {
    format!("hermod:{}", shard.number())
}

fn of_shard(shard: Shard, name: &str) -> String {
    format!("{{{}}}:{name}", tag(shard))
}
