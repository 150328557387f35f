//! The definitions of a moment, put together for those who ask.

mod choose;
mod key;
mod limits;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hermod_types::governance::{Definitions, KeyOptions, ValueHash, VirtualKey};
use hermod_types::{Target, Timestamp};

use self::key::Key;
use self::limits::LimitTable;
use crate::{Limit, Refusal, RefusalKind};

/// The definitions of a moment, put together for those who ask.
#[derive(Debug, Default)]
pub struct Rules {
    definitions: Definitions,
    /// By their ids.
    keys: HashMap<String, Key>,
    /// Ids by the hashes of values. Those that were rotated out count until a time.
    values: HashMap<ValueHash, (String, Option<Timestamp>)>,
    limits: LimitTable,
}

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

impl From<KeyOptions> for KeySettings {
    fn from(options: KeyOptions) -> Self {
        Self {
            max_waiting: options.max_waiting,
            weight: options.weight.unwrap_or(1.0),
            max_wait: options.max_wait.map(Duration::from_secs),
        }
    }
}

impl Rules {
    /// What is wrong with a definition is without effect: who has no team has no team's limits, and a pattern that is none allows
    /// nothing. [`Definitions::faults`] names it.
    pub fn new(definitions: Definitions) -> Self {
        let mut patterns = key::Patterns::default();
        let (mut keys, mut values) = (HashMap::new(), HashMap::new());
        for (index, key) in definitions.virtual_keys.iter().enumerate() {
            if keys.contains_key(&key.id) {
                continue;
            }
            keys.insert(key.id.clone(), Key::new(index, key, &mut patterns));
            for (value, until) in [
                (key.value_sha256, None),
                (key.old_value_sha256, Some(key.old_value_until.unwrap_or(Timestamp::from_millis(0)))),
            ] {
                if let Some(value) = value {
                    values.entry(value).or_insert_with(|| (key.id.clone(), until));
                }
            }
        }
        let limits = LimitTable::new(&definitions);
        Self { definitions, keys, values, limits }
    }

    /// What they are made of.
    pub const fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// Whether nothing of it is used: no key, no limit. Then nothing is counted anywhere, and a job costs what it did before.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.limits.is_empty()
    }

    /// The virtual key with this value, usable or not.
    pub fn key_of_value(&self, value: &str, now: Timestamp) -> Option<&VirtualKey> {
        if self.values.is_empty() {
            return None;
        }
        let (id, until) = self.values.get(&ValueHash::of(value))?;
        until.is_none_or(|until| now < until).then(|| self.key(id))?
    }

    /// The virtual key with this id, usable or not.
    pub fn key(&self, id: &str) -> Option<&VirtualKey> {
        self.definitions.virtual_keys.get(self.keys.get(id)?.index)
    }

    /// Whether jobs of `owner` may run at all.
    ///
    /// # Errors
    /// Why they may not.
    pub fn admits(&self, owner: Option<&str>, now: Timestamp) -> Result<(), Refusal> {
        let Some(owner) = owner else { return Ok(()) };
        let key = self
            .key(owner)
            .ok_or_else(|| Refusal::new(RefusalKind::AccessBlocked, "virtual key does not exist any more"))?;
        key.check(now).map_err(|why| Refusal::new(RefusalKind::AccessBlocked, why.to_string()))
    }

    /// Whether a job of `owner`, the id of a virtual key, may call `target` now.
    ///
    /// # Errors
    /// Why it may not.
    pub fn judge(&self, owner: Option<&str>, target: &Target, now: Timestamp) -> Result<(), Refusal> {
        self.admits(owner, now)?;
        match owner.and_then(|owner| self.keys.get(owner)) {
            Some(key) => key.judge(target.provider(), target.model()),
            None => Ok(()),
        }
    }

    /// The provider's keys that a job of `owner` may use for `target`.
    ///
    /// # Errors
    /// As [`Rules::judge`].
    pub fn provider_keys(
        &self,
        owner: Option<&str>,
        target: &Target,
        now: Timestamp,
    ) -> Result<&hermod_types::config::Models, Refusal> {
        const ALL: &hermod_types::config::Models = &hermod_types::config::Models::All;
        self.judge(owner, target, now)?;
        let key = owner.and_then(|owner| self.key(owner));
        let grant = key.and_then(|key| key.grants.iter().find(|grant| grant.provider == target.provider()));
        Ok(grant.map_or(ALL, |grant| &grant.key_ids))
    }

    /// The limits that a call of `owner` to `target` must pass, in the order in which they refuse.
    pub fn limits(&self, owner: Option<&str>, target: &Target) -> Vec<Arc<Limit>> {
        self.limits.of(owner, target)
    }

    /// Those of `owner`.
    pub fn settings(&self, owner: Option<&str>) -> KeySettings {
        self.options(owner).into()
    }

    fn options(&self, owner: Option<&str>) -> KeyOptions {
        let own = owner.and_then(|owner| self.key(owner)).map(|key| key.options).unwrap_or_default();
        own.or(self.definitions.defaults)
    }

    /// What metrics and tables call `owner`: its name; '' for jobs without a key.
    pub fn name_of<'a>(&'a self, owner: Option<&'a str>) -> &'a str {
        let owner = owner.unwrap_or_default();
        self.key(owner).map_or(owner, |key| key.name.as_str())
    }

    /// The limits of requests and of tokens that a key's jobs may meet, whatever they call.
    pub fn rate_limits_of(&self, owner: &str) -> Vec<Arc<Limit>> {
        self.limits.rates_of(owner)
    }

    /// All limits, those of all keys included, in no order; of a budget that was raised for a time, the raised one.
    pub fn all_limits(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.limits.all(Timestamp::from_millis(0))
    }

    /// All limits as they are then, those of all keys included, in no order.
    pub fn limits_at(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Limit>> {
        self.limits.all(now)
    }
}
