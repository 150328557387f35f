//! The queue's data structures in Redis, and every transition of a job between them.
//!
//! | key | type | |
//! |---|---|---|
//! | `{hermod:S}:queue` | stream, one consumer group | an entry is a job's id and nothing else; acknowledged *and* deleted when the job ends |
//! | `{hermod:S}:job:<id>` | hash | the record, below; Redis itself expires it after its job has ended |
//! | `{hermod:S}:body:<id>`, `{hermod:S}:outcome:<id>:<token>` | hash of pieces | a body or outcome of 16 KiB or more, apart from the record; fields are numbers from 0, each but the last piece has 256 KiB |
//! | `{hermod:S}:media:<id>` | hash of pieces | the files of a job's request, one behind the other |
//! | `{hermod:S}:staged:<id>:<what>` | hash of pieces, expires | the same until a script keeps it by renaming it: `body`, `media`, or an outcome's token |
//! | `{hermod:S}:list:<owner>`, `{hermod:S}:owners` | sorted set, set | ids of an owner's jobs, in the order of time; the owners, '' for none |
//! | `{hermod:S}:once:<hash>`, `{hermod:S}:sent:<hash>` | string, expires | id of the job of an idempotency key, and the print of its request; of a request that was sent, how many tries came before, and the id of the last |
//! | `{hermod:S}:hooks:…` | | a second queue with the same keys, whose jobs are deliveries of webhooks, see [`Lane`] |
//! | `{hermod:S}:events`, `{hermod:S}:cancel:<worker>` | channels | transitions of jobs, for those who wait; jobs that this worker is to cancel |
//! | `{hermod:S}:wake` | sorted set | wake-ups for idle workers, which wait on it; each kind is there once at most |
//! | `{hermod:S}:lane:<owner>`, `{hermod:S}:lane:<owner>\n<limit>` | sorted set by priority and time | jobs of an owner that wait, and those that wait for one narrow limit; they have no entry meanwhile |
//! | `{hermod:S}:lanes` | sorted set by virtual time | lanes whose jobs may be started; the lowest is next |
//! | `{hermod:S}:streamed` | string | the owner whose lane the stream is: while nobody else's jobs wait, its own may stay there. That lane stands in `lanes` as `<owner>\n`, or as `<owner>\n\n` while its jobs are moved to the owner's own lane, which is closed |
//! | `{hermod:S}:closed`, `{hermod:S}:reasons` | sorted set by time (ms), hash | lanes that wait for a limit, by when they open; what each waits for |
//! | `{hermod:S}:weights` | hash, a lane each | its weight, where it is not 1; of one that was opened lately, also when (ms), and how many were taken since |
//! | `{hermod:S}:laned`, `{hermod:S}:sublanes:<owner>` | integer, set | jobs in lanes; the lanes of an owner for narrow limits |
//! | `{hermod:S}:deadlines` | sorted set by time (ms) | jobs in lanes that have a latest start of their own |
//! | `{hermod:S}:delayed` | sorted set by time (ms) | jobs that wait for a retry time; they have no entry meanwhile |
//! | `{hermod:S}:bytes` | integer | bytes of the bodies of waiting and running jobs, where the operator limits them |
//! | `{hermod:S}:dead`, `{hermod:S}:dead_bytes` | sorted set by time (ms), hash | ids of jobs given up on, and the bytes of each |
//! | `{hermod:S}:letter:<id>` | hash, expires | what it takes to queue such a job again |
//! | `{hermod:0}:paused` | string | exists while workers are to claim nothing |
//! | `{hermod:0}:shards` | integer | the number of shards in use; absent for one |
//! | `{hermod:0}:shard_numbers` | sorted set by time (ms) | the numbers of shards that API processes spread jobs over, now or in the last two months |
//! | `{hermod:0}:checked` | string, expires | exists for a while after records and entries have been compared |
//! | `{hermod:0}:leader` | string, expires | the worker that looks after the queue for all |
//! | `{hermod:0}:cooldowns`, `{hermod:0}:cooldowns_version` | hash, expires; integer | what nobody is to try for a while; grows with each change |
//! | `{hermod:0}:definitions`, `{hermod:0}:definitions_version` | hash, string | what was defined over HTTP: `<kind>/<id>` and JSON; a text that is another after each change |
//! | `{hermod:0}:limit:<name>` | hash, expires unless its window never ends | what is used and reserved of a limit in its current window: `s`, `e` start and end (ms), `u` used, `r` reserved, `w` the window's definition |
//! | `{hermod:0}:running:<name>` | sorted set by time (ms) | jobs that run and count towards a limit of those |
//! | `{hermod:0}:permits` | hash, a job each | what it holds of its limits, from its admission until it is settled: `lua/governance.lua` |
//! | `{hermod:0}:waiters:<name>` | sorted set by time (ms), expires | lanes (`<shard> <lane>`) that wait for room in a limit, by when they were last told of some |
//! | `{hermod:S}:owed` | hash, a job each | what jobs have used that have ended, in JSON, until it is counted |
//! | `{hermod:0}:usage:<day>`, `{hermod:0}:totals:<owner>` | hash, the first expires after 400 days | what was used: `<owner>\n<model>\n<field>` of a day; of an owner the requests, and calls without a price or of unknown usage |
//! | `{hermod:0}:webhook…` | | receivers of webhooks: see [`webhooks`] |
//! | `{hermod:S}:counts:<10 minutes>` | hash, expires | jobs of each minute: `<minute><a, c, f or x>`, accepted, completed, failed and cancelled ones |
//! | `{hermod:S}:ends`, `{hermod:S}:recent` | lists, expire | ends that are not counted yet, and the latest that are: `<id> <c, f or x> <code> <time, ms>` |
//! | `{hermod:0}:workers` | hash, expires | what each worker says of itself: `<time, ms> <JSON>` |
//! | `{hermod:0}:calls:<5 minutes>` | hash, expires | calls to providers: `<e, or the bucket of how long they took>\n<provider>\n<model>` |
//! | `{hermod:0}:session:<hash of its token>` | string, expires | a login of an administrator |
//!
//! S is the shard: all keys of a job share one hash tag, and the id says which. So one script reaches all of them in a
//! Cluster, too, and no call carries jobs of two shards. On one server there is one shard, number 0. A record holds
//!
//! | field | while the job | |
//! |---|---|---|
//! | `request` | waits, runs | a header line in JSON (targets, time to live, type, bytes of what is apart), then the client's body, unless that is apart; empty once the job has ended |
//! | `type` | always | what it calls, `chat_completion`; absent for a text completion |
//! | `owner` | always | id of the virtual key that it was submitted with; absent for none |
//! | `model` | always | the first of its targets |
//! | `entry` | waits in the stream, or runs | its entry |
//! | `share` | always, until it ends | priority, weight and longest wait; absent for the usual ones |
//! | `waits_for`, `lane` | waits for a limit | type of the refusal, and until when (ms); the limit's name, if that is a narrow one |
//! | `hook` | is to be told of | id of the delivery, and what that needs to know, in JSON |
//! | `once` | may be submitted again | names of the keys that tell so, each with how long it is kept at least (ms) |
//! | `echo` | always | what its Response repeats of the request, in JSON; absent for another call |
//! | `cancel` | is to be cancelled, or was | since when (ms) |
//! | `holder` | always | the fence: how often it was started. While it runs also who runs it: worker, token of the claim, when it was started, and the end of its lease (ms, Redis's clock). A write must show fence and worker |
//! | `released` | was released, or delayed | starts that do not count as attempts |
//! | `queued` | was released, or delayed | since when it waits again (ms) |
//! | `history` | lost a worker | a line for each start that came to nothing: worker, started |
//! | `owed` | waits, and holds limits | what it has used of them so far, in JSON |
//! | `progress` | ran | the worker's own note of how far the chain of targets has come |
//! | `code`, `outcome`, `completed`, `expires` | has ended | HTTP status, result or error, and times (ms) |
//! | `apart` | has ended | instead of `outcome`: the token in the key of one that is apart, and its bytes |
//! | `media` | has completed | where media is in the result, as its worker noted it; absent if it has none |
//!
//! Each transition is one file under `lua/`, which can be read alone after `lua/lib.lua`. Scripts check first and write after,
//! since Lua does not roll back, and take many jobs in one call. [`Queue`] is what the API calls, [`WorkerQueue`] and
//! [`Claimer`] what a worker calls, [`Admin`] what an operator calls. Nothing else in Hermod knows a key or a Redis command.

mod admin;
mod batch;
mod check;
mod claim;
mod clock;
mod connection;
mod control;
mod cooldown;
mod delivery;
mod earlier;
mod error;
mod events;
mod find;
mod finish;
pub mod governance;
mod health;
mod history;
mod inspect;
mod job;
mod keys;
mod lane;
mod leases;
mod list_trim;
mod lists;
mod maintenance;
mod media;
mod options;
mod park;
mod pieces;
mod pools;
mod positions;
mod queue;
mod record;
mod scan;
mod script;
mod server_check;
mod sessions;
mod shards;
mod staged;
mod stats;
mod store;
mod submit;
mod subscription;
mod topology;
mod upload;
mod url;
pub mod webhooks;
mod worker_queue;

pub use admin::{Admin, CannotSetShards, DeadLetter, Requeued, WorkerState};
pub use check::Findings;
pub use claim::{Claimed, Claimer, Source};
pub use control::Control;
pub use cooldown::{Cooldown, SharedCooldowns};
pub use delivery::Delivery;
pub use error::QueueError;
pub use events::{End, Events, JobEvent, JobState, JobWatch, News, OwnerNews, OwnerWatch};
pub use find::{
    JobJson, JobRecord, ListedJob, OutcomeReader, OutcomeRef, Records, StoredOutcome, WaitingFor,
};
pub use finish::Finished;
pub use history::{
    CallFigures, CallsOf, DeadFilter, DeadGroup, Fleet, HISTORY_MINUTES, JobFilter, JobsIn, Minute, Outcome,
    ProviderFigures, RequeuedMany, ServerFigures, WorkerFigures,
};
pub use inspect::{ClosedLane, ClosedLanes, GivenUp, Inspected, LostStart, Run, StoredBody};
pub use job::{Ended, Held, Settled, Started};
pub use lane::{Lane, Payload};
pub use leases::{Leases, Renewed};
pub use lists::{JobPage, JobQuery, Lists, Owner};
pub use maintenance::{Leadership, Maintenance};
pub use media::MediaReader;
pub use options::{IdempotencyKey, JobOptions, Place, Repeats, Share, Start, Tries};
pub use park::Park;
pub use pieces::PIECE_BYTES;
pub use positions::{Position, Positions};
pub use queue::{ByteLimit, Cancelled, Queue, QueueSettings};
pub use record::JobRequest;
pub use server_check::{ServerCheck, Tolerance, Unsuitable};
pub use sessions::Sessions;
pub use shards::{KnownShards, raise as raise_shards};
pub use stats::Stats;
pub use store::{ShardsNeedCluster, Store};
pub use submit::Submission;
pub use subscription::{Channel, Heard, Subscription};
pub use upload::Upload;
pub use url::RedisUrl;
pub use worker_queue::{Delayed, Release, WorkerName, WorkerQueue};
