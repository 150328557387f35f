use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo};

/// Where Redis is: `redis://`, `rediss://` or `unix://`, with user, password and database number.
///
/// It may hold a password, so it is never shown whole.
#[derive(Clone)]
pub struct RedisUrl(ConnectionInfo);

/// Why a string is not a [`RedisUrl`]. It does not repeat the string.
#[derive(Debug, thiserror::Error)]
#[error("expected redis://, rediss:// or unix://, as in redis://user:password@host:6379/0")]
pub struct InvalidRedisUrl;

impl RedisUrl {
    pub(crate) fn info(&self) -> ConnectionInfo {
        self.0.clone()
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, InvalidRedisUrl> {
        text.into_connection_info().map(Self).map_err(|_| InvalidRedisUrl)
    }
}

impl fmt::Display for RedisUrl {
    /// The address, without user and password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.addr().fmt(out)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
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
        ] {
            let url: RedisUrl = url.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn what_is_no_url_is_not_repeated() {
        for url in ["", "cache:6379", "http://hunter2@cache", "redis://cache/x"] {
            let error = url.parse::<RedisUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
