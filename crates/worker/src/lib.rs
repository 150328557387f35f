//! Hermod's worker: claims jobs from the queue, runs their chain of targets, and ends them.
//!
//! | module | |
//! |---|---|
//! | `orders` | what it is told while it runs: the pause, and how many shards there are |
//! | `intakes`, `intake` | claims as many jobs of each shard as there are free slots, new ones and those of workers that are gone |
//! | `lease` | renews what is held, on a thread of its own, and says what was lost |
//! | `job` | one job from start to end |
//! | `chain` | its targets in order; noting how far it has come, and sleeping |
//! | `target` | one target's turn: keys, retries, the journal |
//! | `cooldown` | what is not worth trying for a while, shared with the other workers |
//! | `settle` | writes the end, however long Redis is away |
//! | `server` | puts these together; drains |

mod chain;
mod cooldown;
mod counters;
mod intake;
mod intakes;
mod job;
mod lease;
mod orders;
mod probe;
mod progress;
mod server;
mod settings;
mod settle;
mod target;

pub use server::{Drained, Work, run};
pub use settings::Settings;
