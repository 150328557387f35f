use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::ForbiddenAddress;

/// Whether a receiver may be at a private or loopback address, and without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrivateNetwork {
    #[default]
    Refused,
    Allowed,
}

impl PrivateNetwork {
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed)
    }
}

impl From<bool> for PrivateNetwork {
    fn from(is_allowed: bool) -> Self {
        if is_allowed { Self::Allowed } else { Self::Refused }
    }
}

/// Where deliveries go: `https`, or `http` where private addresses are allowed, without credentials and fragment.
///
/// An address in it is one that may be called. What a name leads to is judged at each attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl {
    text: String,
    url: Url,
}

/// Why a text is no [`TargetUrl`]. The texts are Bifrost's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    #[error("webhook URL cannot be empty")]
    Empty,
    #[error("invalid webhook URL: {0}")]
    NotOne(String),
    #[error("webhook URL must use https (http requires allow_private_network)")]
    NotHttps,
    #[error("webhook URL must not contain credentials")]
    Credentials,
    #[error("webhook URL must not contain a fragment")]
    Fragment,
    /// Ours.
    #[error("invalid webhook URL: {0}")]
    Address(#[from] ForbiddenAddress),
    /// Ours.
    #[error("invalid webhook URL: {0} is this machine (it requires allow_private_network)")]
    Localhost(String),
}

impl TargetUrl {
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str, private_network: PrivateNetwork) -> Result<Self, InvalidUrl> {
        let url = Self::parse_stored(text, private_network)?;
        if let Some(address) = url.address() {
            private_network.check(address)?;
        }
        match url.url.host() {
            Some(Host::Domain(name)) if is_localhost(name) && !private_network.is_allowed() => {
                Err(InvalidUrl::Localhost(name.to_owned()))
            }
            Some(_) | None => Ok(url),
        }
    }

    /// Without a look at its address: the rules may have changed since it was taken, and hold at each attempt.
    pub(super) fn parse_stored(text: &str, private_network: PrivateNetwork) -> Result<Self, InvalidUrl> {
        if text.is_empty() {
            return Err(InvalidUrl::Empty);
        }
        let url = Url::parse(text).map_err(|error| InvalidUrl::NotOne(error.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if private_network.is_allowed() => {}
            _ => return Err(InvalidUrl::NotHttps),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::Credentials);
        }
        if url.fragment().is_some() {
            return Err(InvalidUrl::Fragment);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    /// The address, if it has one in place of a name. No resolver sees it.
    pub fn address(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub const fn url(&self) -> &Url {
        &self.url
    }
}

/// RFC 6761, 6.3.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
