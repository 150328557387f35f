use std::sync::Arc;
use std::time::Duration;

use hermod_governance::LiveRules;
use hermod_queue::governance::{
    KnownDefinitions, Limits, LiveDefinitions, PutDefinitions, UsageRows, Waiting,
};
use hermod_queue::{QueueError, Store};
use hermod_types::governance::{Kind, VirtualKey};
use hermod_types::{Seal, SealError};
use hermod_webhooks::Vault;
use secrecy::{ExposeSecret, SecretString};

use super::draft::Draft;
use super::shown::{budget_name, requests_name, tokens_name};
use crate::error::ApiError;

/// How often a change is made anew on what somebody else has changed meanwhile.
const TRIES: usize = 10;

/// What the administration of governance works with. One for all threads; cheap to clone.
#[derive(Clone)]
pub(crate) struct Governance {
    pub(crate) live: LiveDefinitions,
    pub(crate) rules: LiveRules,
    pub(super) usage: UsageRows,
    pub(crate) limits: Limits,
    pub(crate) waiting: Waiting,
    vault: Arc<Vault>,
    /// How long the value before a rotation lives on.
    pub(super) rotation_cooldown: Duration,
}

impl Governance {
    pub(crate) fn new(
        store: &Store,
        live: LiveDefinitions,
        rules: LiveRules,
        limits: Limits,
        waiting: Waiting,
        vault: Arc<Vault>,
        rotation_cooldown: Duration,
    ) -> Self {
        Self { live, rules, usage: UsageRows::new(store), limits, waiting, vault, rotation_cooldown }
    }

    /// All that is defined now.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(super) async fn known(&self) -> Result<Arc<KnownDefinitions>, ApiError> {
        self.live.refresh().await.map_err(ApiError::Unavailable)
    }

    /// Changes what is defined over HTTP, whoever else changes it meanwhile. Gives what `change` gives, and what is defined since.
    ///
    /// # Errors
    /// Those of `change`, or if what it makes is wrong beside all else.
    pub(super) async fn change<T>(
        &self,
        mut change: impl FnMut(&mut Draft) -> Result<T, ApiError>,
    ) -> Result<(T, Draft), ApiError> {
        for _ in 0..TRIES {
            let known = self.known().await?;
            let mut draft = Draft::new(&known, self.live.file());
            let value = change(&mut draft)?;
            if draft.changes.is_empty() {
                return Ok((value, draft));
            }
            draft.check()?;
            let put = self.live.put(&known, draft.changes.clone(), draft.all.clone()).await;
            match put.map_err(ApiError::Unavailable)? {
                PutDefinitions::Done(_) => {
                    self.forget(&draft).await;
                    return Ok((value, draft));
                }
                PutDefinitions::Changed => {}
                PutDefinitions::Full => {
                    return Err(ApiError::Conflict(
                        "there are as many definitions as there may be".to_owned(),
                    ));
                }
            }
        }
        Err(ApiError::Conflict("the definitions are being changed by others; try again".to_owned()))
    }

    /// Forgets what was used of what is defined no more.
    async fn forget(&self, draft: &Draft) {
        let (mut limits, mut owners) = (Vec::new(), Vec::new());
        for name in &draft.changes.removes {
            let Some((kind, id)) = name.split_once('/') else { continue };
            if kind == Kind::Budgets.as_str() {
                limits.push(budget_name(id));
            } else if kind == Kind::RateLimits.as_str() {
                limits.extend([tokens_name(id), requests_name(id)]);
            } else if kind == Kind::VirtualKeys.as_str() {
                owners.push(id.to_owned());
            }
        }
        if let Err(error) = self.usage.forget(&limits, &owners).await {
            tracing::debug!(%error, "what was used of it stays");
        }
    }

    /// Has a key known by `value`, which is kept encrypted, if it can be.
    ///
    /// # Errors
    /// If it cannot be encrypted.
    pub(super) fn set_value(&self, key: &mut VirtualKey, value: &SecretString) -> Result<(), ApiError> {
        key.set_value(value);
        key.value_sealed = self.sealed(&key.id, value)?;
        Ok(())
    }

    /// A value as it may be stored; none where nothing is encrypted.
    ///
    /// # Errors
    /// If it cannot be encrypted.
    pub(super) fn sealed(&self, key: &str, value: &SecretString) -> Result<Option<String>, ApiError> {
        if !self.vault.encrypts() {
            return Ok(None);
        }
        let sealed = self.vault.seal(&context(key), value.expose_secret()).map_err(internal)?;
        Ok(Some(sealed))
    }

    /// A value that was stored.
    ///
    /// # Errors
    /// For what was encrypted with another key.
    pub(super) fn opened(&self, key: &str, sealed: &str) -> Result<SecretString, SealError> {
        self.vault.open(&context(key), sealed)
    }

    /// Whether values are kept, encrypted.
    pub(super) fn encrypts(&self) -> bool {
        self.vault.encrypts()
    }
}

fn context(key: &str) -> String {
    format!("virtual_key/{key}/value")
}

fn internal(error: SealError) -> ApiError {
    ApiError::Internal(QueueError::Unexpected(error.to_string()))
}

/// A value for a new key.
pub(super) fn new_value() -> SecretString {
    SecretString::from(format!("{}{}", hermod_types::governance::NEW_PREFIX, new_id()))
}

/// An id for something new: a random UUID.
pub(super) fn new_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}
