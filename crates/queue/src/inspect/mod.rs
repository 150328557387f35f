//! What an operator sees of one job, and of what waits for a limit.

mod closed;
mod job;

pub use closed::{ClosedLane, ClosedLanes};
pub use job::{GivenUp, Inspected, LostStart, Run, StoredBody};
