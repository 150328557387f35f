//! What a virtual key may use, and how much of it, where it submits.

mod targets;

pub(crate) use targets::{check_targets, choose};
