//! Hermod's worker: claims jobs from the queue, runs their chain of targets, and ends them.
//!
//! | module | |
//! |---|---|
//! | `server` | puts the parts together; drains |
//! | `context` | what every running job reaches |
//! | `control` | what is asked each second: the pause, the number of shards, cooldowns; and the leader's work for all |
//! | `fetch` | waits to be woken, and claims as many jobs of each shard as there are free slots |
//! | `held`, `renewal` | what is held, and the thread that renews the leases |
//! | `job` | one job from start to end |
//! | `chain` | its targets in order; noting how far it has come, and delaying |
//! | `admission` | what a job must pass before it runs: its limits |
//! | `target` | one target: keys, retries, the journal |
//! | `cooldown` | what is not worth trying for a while, shared with the other workers |
//! | `figures` | what operators are told of the worker, and of its calls |
//! | `settle` | writes the end, however long Redis is away |
//! | `spend` | what each call has used and costs |
//! | `memory` | how many bytes of requests and answers are in memory |

mod admission;
mod chain;
mod context;
mod control;
mod cooldown;
mod counters;
mod deliveries;
mod fetch;
mod figures;
mod held;
mod job;
mod lane;
mod media;
mod memory;
mod probe;
mod progress;
mod renewal;
mod server;
mod settings;
mod settle;
mod spend;
mod target;
mod work;

pub use context::JobLimits;
pub use deliveries::{DeliverySettings, Recipients};
pub use server::{Drained, Worker, run};
pub use settings::WorkerSettings;
