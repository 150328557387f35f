use super::Models;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::webhook::SigningSecret;
use crate::{Target, Timestamp};

/// A key that the operator gives to a client; it names an owner and what that owner may use.
#[derive(Debug)]
pub struct VirtualKey {
    /// What jobs, logs and metrics call it: never the value.
    pub id: String,
    /// The secret that the client sends.
    pub value: SecretString,
    /// Whether it may be used.
    pub active: bool,
    /// From when on it may not be used any more.
    pub expires: Option<Timestamp>,
    /// What it may use; nothing where empty.
    pub grants: Vec<ProviderGrant>,
    /// What deliveries to addresses that its submits name are signed with: `hermod.keys.<id>.webhook_secret`.
    pub webhook_secret: Option<SigningSecret>,
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

/// One provider that a virtual key may use.
#[derive(Debug)]
pub struct ProviderGrant {
    /// The provider.
    pub provider: String,
    /// The models of it.
    pub models: Models,
    /// Names of the provider's keys that may serve it.
    pub key_ids: Models,
}

impl VirtualKey {
    /// Whether it may be used at `now`.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, now: Timestamp) -> Result<(), Blocked> {
        if !self.active {
            return Err(Blocked::Inactive);
        }
        if self.expires.is_some_and(|expires| expires <= now) { Err(Blocked::Expired) } else { Ok(()) }
    }

    /// Whether it may use `target`.
    pub fn allows(&self, target: &Target) -> bool {
        self.grant(target.provider()).is_some_and(|grant| grant.models.contains(target.model()))
    }

    /// What it may use of `provider`.
    pub fn grant(&self, provider: &str) -> Option<&ProviderGrant> {
        self.grants.iter().find(|grant| grant.provider == provider)
    }

    /// Compares in a time that does not depend on where the two differ.
    pub(super) fn has_value(&self, value: &str) -> bool {
        self.value.expose_secret().as_bytes().ct_eq(value.as_bytes()).into()
    }
}
