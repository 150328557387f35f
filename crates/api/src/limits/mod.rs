//! What a virtual key may use, and how much of it, where it submits: the workers ask again, and are the ones that count.
//!
//! | module | |
//! |---|---|
//! | `targets` | what may be called, and what a model without a provider is |
//! | `max_wait` | how long a client lets its job wait |
//! | `admission` | whether a job's limits can admit it in time |
//! | `headers` | what is left of the limits, in each answer to a key |

mod admission;
mod headers;
mod max_wait;
mod targets;

pub(crate) use admission::Admission;
pub(crate) use headers::{Remaining, tell};
pub(crate) use max_wait::max_wait_of;
pub(crate) use targets::{Choice, check_targets};
