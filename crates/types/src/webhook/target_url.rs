use std::fmt;

use url::Url;

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
/// Whether the address behind it may be called is judged at each attempt, not here.
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
}

impl TargetUrl {
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str, private_network: PrivateNetwork) -> Result<Self, InvalidUrl> {
        if text.is_empty() {
            return Err(InvalidUrl::Empty);
        }
        let url = Url::parse(text).map_err(|error| InvalidUrl::NotOne(error.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if private_network == PrivateNetwork::Allowed => {}
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

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub const fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
