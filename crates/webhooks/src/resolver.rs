use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use hermod_types::webhook::PrivateNetwork;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What a [`Lookup`] finds.
pub type Lookups = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of `host` now.
    fn lookup(&self, host: &str) -> Lookups;
}

/// As the operating system does it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> Lookups {
        let host = host.to_owned();
        Box::pin(async move {
            Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
        })
    }
}

/// Resolves names for a client that connects to what it gets: all addresses of a name must be allowed, or none is given.
#[derive(Clone)]
pub(crate) struct CheckedResolver {
    pub(crate) lookup: Arc<dyn Lookup>,
    pub(crate) private_network: PrivateNetwork,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, private_network) = (self.lookup.lookup(name.as_str()), self.private_network);
        Box::pin(async move {
            let found = found.await?;
            if found.is_empty() {
                return Err("the name has no address".into());
            }
            for address in &found {
                private_network.check(*address)?;
            }
            // The port is that of the URL.
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
