//! Hermod's worker: claims jobs from the queue, runs their chain of targets, and ends them.
//!
//! | module | |
//! |---|---|
//! | `intake` | claims as many jobs as there are free slots, new ones and those of workers that are gone |
//! | `lease` | renews what is held, on a thread of its own, and says what was lost |
//! | `job` | one job from start to end |
//! | `chain` | its targets in order, each with its retries |
//! | `settle` | writes the end, however long Redis is away |
//! | `server` | puts these together; drains |

mod chain;
mod intake;
mod job;
mod lease;
mod probe;
mod progress;
mod server;
mod settings;
mod settle;

pub use server::{Drained, Work, run};
pub use settings::Settings;
