use std::fmt;
use std::str::FromStr;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// Where Redis is: one server, what Sentinels watch, or a Cluster.
///
/// | | |
/// |---|---|
/// | `redis://`, `rediss://`, `unix://` | one server, with user, password and database number |
/// | `redis-sentinel://[user:password@]host[:port][,…]/service[/database]` | the primary that these Sentinels name; user and password are the server's, `?sentinel_username=` and `?sentinel_password=` the Sentinels' |
/// | `redis-cluster://[user:password@]host[:port][,…]` | a Cluster, found through any of these nodes |
///
/// `rediss-sentinel://` and `rediss-cluster://` use TLS. It may hold a password, so it is never shown whole.
#[derive(Clone)]
pub struct RedisUrl(pub(crate) Address);

/// A [`RedisUrl`], taken apart.
#[derive(Clone)]
pub(crate) enum Address {
    /// One server.
    Single(ConnectionInfo),
    /// What Sentinels watch.
    Sentinel {
        /// Where they are, and how they let us in.
        sentinels: Vec<ConnectionInfo>,
        /// What they call it.
        service: String,
        /// How its primary lets us in; the host in it is without meaning.
        server: ConnectionInfo,
    },
    /// Nodes of a Cluster, and how each node lets us in.
    Cluster(Vec<ConnectionInfo>),
}

/// Why a string is not a [`RedisUrl`]. It does not repeat the string.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRedisUrl {
    /// No scheme of ours.
    #[error(
        "expected redis://, rediss://, unix://, redis-sentinel:// or redis-cluster://, as in redis://user:password@host:6379/0"
    )]
    Scheme,
    /// Sentinels, but not as they are written.
    #[error(
        "expected redis-sentinel://user:password@host:26379,host:26379/service/0, with at least a host and the service"
    )]
    Sentinel,
    /// A Cluster, but not as it is written.
    #[error(
        "expected redis-cluster://user:password@host:6379,host:6379, with at least a host and no database number"
    )]
    Cluster,
}

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// What stands in a URL with many hosts.
struct Parts<'a> {
    /// `redis` or `rediss`.
    scheme: &'a str,
    /// `user:password@`, or nothing.
    credentials: &'a str,
    hosts: Vec<&'a str>,
    path: Vec<&'a str>,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(scheme: &'a str, rest: &'a str) -> Self {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        Self {
            scheme,
            credentials,
            hosts: hosts.split(',').collect(),
            path: path.split('/').filter(|part| !part.is_empty()).collect(),
            query,
        }
    }

    /// How one of the hosts is reached.
    fn host(&self, host: &str, credentials: &str, port: u16, path: &str) -> Option<ConnectionInfo> {
        if host.is_empty() {
            return None;
        }
        let has_port = host.rsplit(']').next().is_some_and(|tail| tail.contains(':'));
        let port = if has_port { String::new() } else { format!(":{port}") };
        format!("{}://{credentials}{host}{port}/{path}", self.scheme).into_connection_info().ok()
    }

    fn query(&self, name: &str) -> &'a str {
        let pair = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pair.filter(|(key, _)| *key == name).map(|(_, value)| value).next().unwrap_or_default()
    }

    fn sentinel(&self) -> Option<Address> {
        let (service, database) = match self.path[..] {
            [service] => (service, ""),
            [service, database] => (service, database),
            _ => return None,
        };
        let credentials = match (self.query("sentinel_username"), self.query("sentinel_password")) {
            (_, "") => String::new(),
            (user, password) => format!("{user}:{password}@"),
        };
        let sentinels = self.hosts.iter().map(|host| self.host(host, &credentials, SENTINEL_PORT, ""));
        Some(Address::Sentinel {
            sentinels: sentinels.collect::<Option<_>>()?,
            service: service.to_owned(),
            server: self.host("server", self.credentials, REDIS_PORT, database)?,
        })
    }

    fn cluster(&self) -> Option<Address> {
        if !self.path.is_empty() {
            return None;
        }
        let nodes = self.hosts.iter().map(|host| self.host(host, self.credentials, REDIS_PORT, ""));
        nodes.collect::<Option<_>>().map(Address::Cluster)
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, InvalidRedisUrl> {
        let address = match text.split_once("://") {
            Some(("redis-sentinel", rest)) => Parts::of("redis", rest).sentinel(),
            Some(("rediss-sentinel", rest)) => Parts::of("rediss", rest).sentinel(),
            Some(("redis-cluster", rest)) => {
                return Parts::of("redis", rest).cluster().map(Self).ok_or(InvalidRedisUrl::Cluster);
            }
            Some(("rediss-cluster", rest)) => {
                return Parts::of("rediss", rest).cluster().map(Self).ok_or(InvalidRedisUrl::Cluster);
            }
            _ => {
                let single = text.into_connection_info().map_err(|_| InvalidRedisUrl::Scheme)?;
                return Ok(Self(Address::Single(single)));
            }
        };
        address.map(Self).ok_or(InvalidRedisUrl::Sentinel)
    }
}

impl fmt::Display for RedisUrl {
    /// The addresses, without user and password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[ConnectionInfo]| {
            nodes.iter().map(|node| node.addr().to_string()).collect::<Vec<_>>().join(",")
        };
        match &self.0 {
            Address::Single(info) => info.addr().fmt(out),
            Address::Sentinel { sentinels, service, .. } => {
                write!(out, "{service} at sentinels {}", list(sentinels))
            }
            Address::Cluster(nodes) => write!(out, "cluster {}", list(nodes)),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The same way into another host, as a Cluster or a Sentinel names it.
pub(crate) fn at(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let addr = if let ConnectionAddr::TcpTls { insecure, tls_params, .. } = info.addr() {
        ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    info.clone().set_addr(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_each_scheme_and_shows_no_password() {
        for (url, shown) in [
            ("redis://user:hunter2@cache:6380/3", "cache:6380"),
            ("rediss://:hunter2@cache", "cache:6379"),
            ("unix:///run/redis.sock?db=1&pass=hunter2", "/run/redis.sock"),
            ("redis-cluster://user:hunter2@a:7000,b,[::1]", "cluster a:7000,b:6379,::1:6379"),
            ("rediss-cluster://:hunter2@a/", "cluster a:6379"),
            (
                "redis-sentinel://:hunter2@a,b:1/main/2?sentinel_password=hunter2",
                "main at sentinels a:26379,b:1",
            ),
        ] {
            let url: RedisUrl = url.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn sentinels_and_servers_have_credentials_of_their_own() {
        let url: RedisUrl =
            "rediss-sentinel://u%40:p@a,b/main/2?sentinel_username=s&sentinel_password=t".parse().unwrap();
        let Address::Sentinel { sentinels, service, server } = url.0 else { unreachable!() };
        assert_eq!((sentinels.len(), service.as_str()), (2, "main"));
        let sentinel = sentinels[1].redis_settings();
        assert_eq!((sentinel.username(), sentinel.password(), sentinel.db()), (Some("s"), Some("t"), 0));
        let server = at(&server, "c", 7);
        assert_eq!(server.redis_settings().username(), Some("u@"));
        assert_eq!((server.redis_settings().password(), server.redis_settings().db()), (Some("p"), 2));
        assert!(matches!(server.addr(), ConnectionAddr::TcpTls { host, port: 7, .. } if host == "c"));
    }

    #[test]
    fn what_is_no_url_is_not_repeated_and_what_was_expected_is_named() {
        for (url, expected) in [
            ("", "redis://"),
            ("cache:6379", "redis://"),
            ("http://hunter2@cache", "redis-cluster://"),
            ("redis://cache/x", "redis://"),
            ("redis-cluster://", "redis-cluster://"),
            ("redis-cluster://:hunter2@a,,b", "redis-cluster://"),
            ("redis-cluster://:hunter2@a/1", "no database number"),
            ("redis-sentinel://:hunter2@a", "the service"),
            ("redis-sentinel://:hunter2@a/b/c", "redis-sentinel://"),
            ("redis-sentinel://:hunter2@a/b/1/2", "redis-sentinel://"),
        ] {
            let error = url.parse::<RedisUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2") && error.contains(expected), "{error}");
        }
    }
}
