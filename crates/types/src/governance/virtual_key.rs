use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{KeyOptions, ValueHash, is_false};
use crate::Timestamp;
use crate::config::Models;
use crate::webhook::SigningSecret;

/// A key that the operator gives to a client; it names an owner and what that owner may use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VirtualKey {
    /// What jobs, logs and metrics call it: never the value.
    pub id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The secret that the client sends, where it stands in the file. It is never written.
    #[serde(skip)]
    pub value: Option<SecretString>,
    /// None for a key whose value has still to be made: nobody can use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_sha256: Option<ValueHash>,
    /// The value's last characters, for a masked one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value_last4: String,
    /// The value, encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_sealed: Option<String>,
    /// The value before the last rotation, which counts until `old_value_until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_value_sha256: Option<ValueHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_value_until: Option<Timestamp>,
    /// Whether it may be used.
    pub is_active: bool,
    /// From when on it may not be used any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether its limits, and those of its provider configs, begin with the calendar's days, weeks and months.
    #[serde(default, skip_serializing_if = "is_false")]
    pub calendar_aligned: bool,
    /// Not both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_id: Option<String>,
    /// Whether it may use all of the providers that no grant names.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_all_providers: bool,
    /// What it may use.
    #[serde(rename = "provider_configs", default)]
    pub grants: Vec<ProviderGrant>,
    /// `hermod.keys.<id>`, or the same members of a body.
    #[serde(flatten)]
    pub options: KeyOptions,
    /// What deliveries to addresses that its submits name are signed with: `hermod.keys.<id>.webhook_secret`.
    #[serde(skip)]
    pub webhook_secret: Option<SigningSecret>,
    /// Of one that was made over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
}

/// Why a virtual key may not be used. The texts are Bifrost's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// The operator has switched it off.
    #[error("virtual key is inactive")]
    Inactive,
    /// Its time is over.
    #[error("virtual key has expired")]
    Expired,
}

/// One provider that a virtual key may use: a provider config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderGrant {
    /// What budgets point to it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    pub provider: String,
    /// Its share of the jobs that name no provider; none for one that takes no part.
    #[serde(default)]
    pub weight: Option<f64>,
    /// The models of it. An entry `regex:…` is a pattern.
    pub allowed_models: Models,
    /// These are not, whatever the former says.
    #[serde(default)]
    pub blacklisted_models: Vec<String>,
    /// Names of the provider's keys that may serve it.
    pub key_ids: Models,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_id: Option<String>,
}

impl VirtualKey {
    /// One with nothing but its id: active, and with nothing that it may use.
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            name: id.clone(),
            id,
            description: String::new(),
            value: None,
            value_sha256: None,
            value_last4: String::new(),
            value_sealed: None,
            old_value_sha256: None,
            old_value_until: None,
            is_active: true,
            expires_at: None,
            calendar_aligned: false,
            team_id: None,
            customer_id: None,
            rate_limit_id: None,
            allow_all_providers: false,
            grants: Vec::new(),
            options: KeyOptions::default(),
            webhook_secret: None,
            created_at: None,
            updated_at: None,
        }
    }

    /// Has it known by `value`, which it keeps only if it was there before.
    pub fn set_value(&mut self, value: &SecretString) {
        let text = value.expose_secret();
        self.value_sha256 = Some(ValueHash::of(text));
        let start = text.char_indices().rev().nth(3).map_or(0, |(start, _)| start);
        // Of a short one, four characters would be most of it.
        let is_long = text.chars().count() >= 12;
        self.value_last4 = text.get(start..).filter(|_| is_long).unwrap_or_default().to_owned();
    }

    /// Whether it may be used at `now`.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, now: Timestamp) -> Result<(), Blocked> {
        if !self.is_active {
            return Err(Blocked::Inactive);
        }
        if self.expires_at.is_some_and(|expires| expires <= now) { Err(Blocked::Expired) } else { Ok(()) }
    }
}

impl ProviderGrant {
    /// All of a provider.
    pub fn all(provider: impl Into<String>) -> Self {
        Self {
            id: None,
            provider: provider.into(),
            weight: None,
            allowed_models: Models::All,
            blacklisted_models: Vec::new(),
            key_ids: Models::All,
            rate_limit_id: None,
        }
    }
}
