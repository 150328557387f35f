//! An endpoint as it is stored: secrets and the values of headers are sealed.

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{Endpoint, EndpointId, Event, Limits, OldSecret, PrivateNetwork, SigningSecret, TargetUrl};
use crate::{Seal, SealError, Timestamp};

/// Its members are called as on the wire: Redis's scripts read some of them.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: EndpointId,
    name: String,
    url: String,
    events: Vec<Event>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default)]
    include_response: bool,
    #[serde(flatten)]
    limits: Limits,
    #[serde(default)]
    allow_private_network: bool,
    #[serde(default)]
    disabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    virtual_key_ids: Option<Vec<String>>,
    secret: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old_secret: Option<StoredOldSecret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredOldSecret {
    secret: String,
    until: Timestamp,
}

/// Why a stored endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableEndpoint {
    /// Another version may have written it.
    #[error("a stored webhook endpoint cannot be read: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Sealed(#[from] SealError),
}

impl Endpoint {
    /// As it is stored.
    ///
    /// # Errors
    /// Where a secret cannot be sealed.
    pub fn to_stored(&self, seal: &dyn Seal) -> Result<String, SealError> {
        let sealed = |what: &str, secret: &str| seal.seal(&context(self.id, what), secret);
        let header = |(name, value): &(String, _)| {
            let value: &secrecy::SecretString = value;
            Ok((name.clone(), sealed(&header_context(name), value.expose_secret())?))
        };
        let old_secret = self.old_secret.as_ref().map(|old| {
            let secret = sealed("secret", old.secret.expose())?;
            Ok::<_, SealError>(StoredOldSecret { secret, until: old.until })
        });
        let stored = Stored {
            id: self.id,
            name: self.name.clone(),
            url: self.url.as_str().to_owned(),
            events: self.events.clone(),
            headers: self.headers.iter().map(header).collect::<Result<_, SealError>>()?,
            include_response: self.include_response,
            limits: self.limits,
            allow_private_network: self.private_network.is_allowed(),
            disabled: self.disabled,
            virtual_key_ids: self.virtual_key_ids.clone(),
            secret: sealed("secret", self.secret.expose())?,
            old_secret: old_secret.transpose()?,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        // A struct of strings and integers has no way to fail to be written to memory.
        Ok(serde_json::to_string(&stored).unwrap_or_default())
    }

    /// Reads what [`Endpoint::to_stored`] wrote.
    ///
    /// # Errors
    /// For what is no endpoint, or was sealed with another key.
    pub fn from_stored(text: &str, seal: &dyn Seal) -> Result<Self, UnusableEndpoint> {
        let unreadable = |what: String| UnusableEndpoint::Unreadable(what);
        // serde_json's own words may repeat a value.
        let stored: Stored = serde_json::from_str(text)
            .map_err(|error| unreadable(format!("line {} column {}", error.line(), error.column())))?;
        let id = stored.id;
        let signing_secret = |sealed: &str| {
            let secret = seal.open(&context(id, "secret"), sealed)?;
            SigningSecret::parse(secret.expose_secret()).map_err(|error| unreadable(error.to_string()))
        };
        let private_network = PrivateNetwork::from(stored.allow_private_network);
        let headers = stored.headers.into_iter().map(|(name, value)| {
            let value = seal.open(&context(id, &header_context(&name)), &value)?;
            Ok((name, value))
        });
        let old_secret = stored.old_secret.map(|old| {
            Ok::<_, UnusableEndpoint>(OldSecret { secret: signing_secret(&old.secret)?, until: old.until })
        });
        Ok(Self {
            id,
            url: TargetUrl::parse_stored(&stored.url, private_network)
                .map_err(|error| unreadable(error.to_string()))?,
            headers: headers.collect::<Result<_, SealError>>()?,
            secret: signing_secret(&stored.secret)?,
            old_secret: old_secret.transpose()?,
            name: stored.name,
            events: stored.events,
            include_response: stored.include_response,
            limits: stored.limits,
            private_network,
            disabled: stored.disabled,
            virtual_key_ids: stored.virtual_key_ids,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            is_from_file: false,
        })
    }
}

fn context(id: EndpointId, what: &str) -> String {
    format!("webhook/{id}/{what}")
}

/// A header's value must not come to be sent as another, nor a secret as a header.
fn header_context(name: &str) -> String {
    format!("header/{}", name.to_ascii_lowercase())
}
