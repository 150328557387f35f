//! The connections to providers.

use std::time::Duration;

use hermod_types::config::ProviderConfig;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};

use crate::InvalidProvider;

/// The longest that a connection to a provider may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What all connections have in common. HTTP/1.1: over HTTP/2 one connection a host, and its ~100 streams, would
/// cap the calls in flight. Proxies are those of the environment. Redirects are not followed: a key must not travel
/// to another host.
fn builder() -> ClientBuilder {
    Client::builder()
        .http1_only()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("hermod/", env!("CARGO_PKG_VERSION")))
}

/// The pool of connections of all providers that ask for nothing special.
pub(crate) fn http_client() -> Result<Client, InvalidProvider> {
    builder().build().map_err(|error| InvalidProvider { name: "(all)".to_owned(), what: error.to_string() })
}

/// The pool for one provider: `shared`, unless it trusts other certificates.
pub(crate) fn client_of(
    name: &str,
    config: &ProviderConfig,
    shared: &Client,
) -> Result<Client, InvalidProvider> {
    if config.ca_cert_pem.is_none() && !config.insecure_skip_verify {
        return Ok(shared.clone());
    }
    let invalid = |what: &str| InvalidProvider { name: name.to_owned(), what: what.to_owned() };
    let mut builder = builder().tls_danger_accept_invalid_certs(config.insecure_skip_verify);
    if let Some(pem) = &config.ca_cert_pem {
        let none = || invalid("network_config.ca_cert_pem: expected certificates in PEM");
        let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| none())?;
        if certificates.is_empty() {
            return Err(none());
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|_| invalid("network_config.ca_cert_pem: no certificate that can be trusted"))
}
