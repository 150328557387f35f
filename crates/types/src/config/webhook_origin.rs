use url::{Origin, Url};

use crate::webhook::PrivateNetwork;

/// Scheme, host and port at which a submit may have its end told without a registered endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookOrigin(Url);

impl WebhookOrigin {
    /// None for what is no origin: `https://HOST`, `https://HOST:PORT`, or the same with `http`.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_origin = matches!(url.scheme(), "https" | "http")
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        is_origin.then_some(Self(url))
    }

    /// Whether `url` has this origin.
    pub fn contains(&self, url: &Url) -> bool {
        let origin = self.0.origin();
        matches!(origin, Origin::Tuple(..)) && origin == url.origin()
    }

    /// Whoever lists an origin without TLS means a receiver of their own network.
    pub fn private_network(&self) -> PrivateNetwork {
        if self.0.scheme() == "http" { PrivateNetwork::Allowed } else { PrivateNetwork::Refused }
    }
}
