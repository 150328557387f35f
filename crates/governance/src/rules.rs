use std::sync::Arc;
use std::time::Duration;

use hermod_types::{Target, Timestamp};

use crate::{Limit, Refusal};

/// The definitions of a moment, put together for those who ask.
#[derive(Debug, Default)]
pub struct Rules {}

/// What `hermod.keys.<id>`, or `hermod.defaults`, says of a key's jobs. [`Limit`]s are not among it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeySettings {
    /// Jobs that may wait at one time; none for no limit.
    pub max_waiting: Option<u64>,
    /// Its share of the starts, beside those of other keys; above 0.
    pub weight: f64,
    /// The longest that a job may wait for its limits; none for the process's.
    pub max_wait: Option<Duration>,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { max_waiting: None, weight: 1.0, max_wait: None }
    }
}

impl Rules {
    /// Those of these definitions.
    pub fn new(_definitions: &hermod_types::governance::Definitions) -> Self {
        Self::default()
    }

    /// Whether nothing of it is used: no key, no limit. Then nothing is counted anywhere, and a job costs what it did before.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Whether a job of `owner`, the id of a virtual key, may call `target` now.
    ///
    /// # Errors
    /// Why it may not.
    pub fn judge(&self, _owner: Option<&str>, _target: &Target, _now: Timestamp) -> Result<(), Refusal> {
        Ok(())
    }

    /// The limits that a call of `owner` to `target` must pass, in the order in which they refuse.
    pub fn limits(&self, _owner: Option<&str>, _target: &Target) -> Vec<Arc<Limit>> {
        Vec::new()
    }

    /// Those of `owner`.
    pub fn settings(&self, _owner: Option<&str>) -> KeySettings {
        KeySettings::default()
    }

    /// What metrics and tables call `owner`: its name; '' for jobs without a key.
    pub fn name_of<'a>(&'a self, owner: Option<&'a str>) -> &'a str {
        owner.unwrap_or_default()
    }
}
