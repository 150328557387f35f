use serde::{Deserialize, Serialize};

use crate::webhook::SigningSecret;

/// What `hermod.keys.<id>` and `hermod.defaults` say of a key's jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyOptions {
    /// Jobs that run at one time, over the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u64>,
    /// Jobs that wait at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_waiting: Option<u64>,
    /// Its share of the starts, beside those of other keys; above 0, and 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Seconds that a job may wait for its limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<u64>,
}

impl KeyOptions {
    /// Its own, and `other`'s where it has none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            max_concurrent: self.max_concurrent.or(other.max_concurrent),
            max_waiting: self.max_waiting.or(other.max_waiting),
            weight: self.weight.or(other.weight),
            max_wait: self.max_wait.or(other.max_wait),
        }
    }
}

/// What `hermod.keys.<id>` says of a key that the file does not define.
#[derive(Clone, Debug, Default)]
pub struct FileKey {
    pub options: KeyOptions,
    pub webhook_secret: Option<SigningSecret>,
}

/// What `hermod.providers.<name>` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderOptions {
    /// Jobs that run at one time, over the fleet, with this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u64>,
}

/// What a model costs whose price nobody knows, `hermod.unknown_price`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPrice {
    /// Nothing.
    #[default]
    Free,
    /// A key with a budget may not use it.
    Refuse,
}
