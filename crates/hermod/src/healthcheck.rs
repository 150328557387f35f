//! `hermod healthcheck`: a container's image has no other program that could ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client;

/// How long a process may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Where processes have their probes, in the order in which they are looked for: the variable, and its default. An API process whose
/// operators have a port of their own is asked there, so its port for clients comes last.
const LISTENERS: [(&str, Option<&str>); 3] = [
    ("HERMOD_OPS_LISTEN", None),
    ("HERMOD_METRICS_LISTEN", Some("0.0.0.0:9091")),
    ("HERMOD_LISTEN", Some("0.0.0.0:8080")),
];

/// `hermod healthcheck`
#[derive(Args, Clone, Debug)]
pub struct Healthcheck {
    /// What to ask; without it, `/readyz` of the API process or worker of this container or machine, where `HERMOD_OPS_LISTEN`,
    /// `HERMOD_METRICS_LISTEN` or `HERMOD_LISTEN` say that it listens.
    url: Option<String>,
}

impl Healthcheck {
    /// Asks once.
    ///
    /// # Errors
    /// If there is no answer, or nobody to ask.
    #[expect(clippy::disallowed_methods, reason = "they are settings of another process")]
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let url = match self.url {
            Some(url) => url,
            None => probe_of_this_machine(|name| std::env::var(name).ok()).await?,
        };
        client::Healthcheck { url }.run().await
    }
}

/// The readiness probe of the first listener that accepts a connection.
async fn probe_of_this_machine(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<String> {
    let mut tried = Vec::new();
    for (name, default) in LISTENERS {
        let set = variable(name).filter(|address| !address.is_empty());
        let Some(address) = set.or_else(|| default.map(str::to_owned)) else { continue };
        let address = reachable(&address);
        if let Ok(Ok(_)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(&address)).await {
            return Ok(format!("http://{address}/readyz"));
        }
        tried.push(address);
    }
    bail!("nothing listens on {}", tried.join(" or "))
}

/// Where to connect to what listens on `address`.
fn reachable(address: &str) -> String {
    let Ok(mut socket) = address.parse::<SocketAddr>() else { return address.to_owned() };
    if socket.ip().is_unspecified() {
        socket.set_ip(match socket.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    socket.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_on_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:9091", "127.0.0.1:9091"),
            ("[::]:9091", "[::1]:9091"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("localhost:80", "localhost:80"),
        ] {
            assert_eq!(reachable(listens), reached);
        }
    }

    #[tokio::test]
    async fn the_first_that_listens_is_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap().to_string();
        // A port that was free a moment ago.
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (of_worker, of_clients) = (closed.clone(), open.clone());
        let url = probe_of_this_machine(move |name| match name {
            "HERMOD_METRICS_LISTEN" => Some(of_worker.clone()),
            "HERMOD_LISTEN" => Some(of_clients.clone()),
            _ => None,
        });
        assert_eq!(url.await.unwrap(), format!("http://{open}/readyz"));
        let said = probe_of_this_machine(|_| Some(closed.clone())).await.unwrap_err().to_string();
        assert_eq!(said, format!("nothing listens on {closed} or {closed} or {closed}"));
    }
}
