//! The queue's data structures in Redis, and every transition of a job between them.
//!
//! | key | type | |
//! |---|---|---|
//! | `{hermod:S}:queue` | stream, one consumer group | an entry is a job's id and nothing else; acknowledged *and* deleted when the job ends |
//! | `{hermod:S}:job:<id>` | hash | the record, below; Redis itself expires it after its job has ended |
//! | `{hermod:S}:body:<id>`, `{hermod:S}:outcome:<id>:<token>` | string | a large body or outcome, apart from the record: Lua would copy it several times |
//! | `{hermod:S}:dead` | stream, capped | jobs given up on, with what is needed to queue them again |
//! | `{hermod:S}:later` | sorted set by time (ms) | jobs that sleep until a retry time; they have no entry meanwhile |
//! | `{hermod:0}:paused` | string | exists while workers are to claim nothing |
//! | `{hermod:0}:checked` | string, expires | exists for a while after a check of records against entries |
//! | `{hermod:0}:shards` | string | the number of shards in use, which never shrinks; absent for one |
//! | `hermod:cooldowns` | hash | what nobody is to try for a while, and until when |
//!
//! S is the shard: all keys of a job share one hash tag, and the id says which. So one script reaches all of them in a
//! Cluster, too, and no call carries jobs of two shards. What is not a shard's has a key of its own slot, and no script
//! touches two of those. A record holds
//!
//! | field | while the job | |
//! |---|---|---|
//! | `status` | always | `pending`, `processing`, `completed`, `failed` |
//! | `entry` | waits, runs, but not while it sleeps | its entry in the queue |
//! | `request` | waits, runs | a header line in JSON (targets, time to live), then the client's body, unless that is apart |
//! | `owner` | always | id of the virtual key that it was submitted with; absent for none |
//! | `fence` | ran | how often it was started; a write must show the newest |
//! | `worker`, `started`, `lease`, `token` | runs | who holds it, since when and until when (ms, Redis's clock), and by which call |
//! | `handbacks` | was handed back, or slept | starts that do not count as attempts |
//! | `history` | lost a worker | a line for each start that came to nothing: worker, started |
//! | `progress` | ran | the worker's own note of how far the chain of targets has come |
//! | `code`, `outcome`, `completed`, `expires` | has ended | HTTP status, result or error, and times (ms) |
//! | `apart` | has ended | instead of `outcome`: the token in the key of one that is apart |
//!
//! Each transition is one file under `lua/`, which can be read alone. Scripts check first and write after,
//! since Lua does not roll back, and take many jobs in one call. [`Queue`] is what the API calls,
//! [`WorkerQueue`] what a worker calls, [`Admin`] what an operator calls. Nothing else in Hermod knows a key or a Redis command.

mod admin;
mod apart;
mod batch;
mod check;
mod claim;
mod cooldown;
mod error;
mod find;
mod fitness;
mod health;
mod held;
mod keys;
mod lane;
mod later;
mod leases;
mod pace;
mod queue;
mod record;
mod script;
mod shard_queue;
mod shards;
mod stats;
mod store;
mod topology;
mod url;
mod worker_queue;

pub use admin::{Admin, DeadLetter, Revived, WorkerState};
pub use check::Findings;
pub use claim::{Claimer, Entry, Unblock};
pub use cooldown::{Cooldown, CooldownBoard};
pub use error::QueueError;
pub use find::{JobJson, JobRecord, OutcomeReader, StoredOutcome};
pub use fitness::{Fitness, Tolerance, Unfit};
pub use held::{Ended, Held, Settled, Started};
pub use later::Sleepers;
pub use leases::{Leases, Lost, ShardLeases};
pub use queue::{KnownShards, Queue, QueueSettings, Submission};
pub use record::NewJob;
pub use shard_queue::DEAD_LETTERS;
pub use shards::ShardRoll;
pub use stats::Stats;
pub use store::Store;
pub use url::RedisUrl;
pub use worker_queue::{WorkerName, WorkerQueue};
