use crate::connection::{Call, Connection};
use crate::{QueueError, Store};

/// What an operator accepts of a Redis.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tolerance {
    /// A `maxmemory-policy` under which Redis throws accepted jobs or results away when it is full.
    pub eviction: bool,
    /// No append-only file: a restart of Redis loses what came after the last snapshot.
    pub no_persistence: bool,
}

/// What matters of a Redis that is to keep jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCheck {
    /// Its `maxmemory-policy`.
    pub policy: String,
    /// Whether it keeps an append-only file.
    pub append_only: bool,
    /// Its version, Valkey's own where it is one.
    pub version: String,
    /// Its `maxmemory` in bytes; 0 for none.
    pub max_memory: u64,
}

/// Why a Redis must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// It would throw jobs away.
    #[error(
        "Redis has maxmemory-policy {policy} and would throw accepted jobs away when it is full; set noeviction, or \
         accept it with HERMOD_ACCEPT_EVICTION=true"
    )]
    Evicts { policy: String },
    /// It lacks what the scripts need.
    #[error("Redis is {version}; Hermod needs Redis 7.0 or Valkey 7.2, or newer")]
    TooOld { version: String },
}

impl ServerCheck {
    /// Asks each server that holds shards about itself, with INFO alone: managed services often forbid CONFIG.
    ///
    /// # Errors
    /// If one does not answer.
    pub async fn of(store: &Store) -> Result<Vec<Self>, QueueError> {
        let mut all = Vec::new();
        for server in store.connections_to_all().await? {
            all.push(Self::of_server(&server).await?);
        }
        Ok(all)
    }

    async fn of_server(connection: &Connection) -> Result<Self, QueueError> {
        let sections = ["server", "memory", "persistence"];
        let text: String = connection.run(Call::Command(redis::cmd("INFO").arg(&sections))).await?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().to_owned()
        };
        let valkey = field("valkey_version");
        Ok(Self {
            policy: field("maxmemory_policy"),
            append_only: field("aof_enabled") == "1",
            max_memory: field("maxmemory").parse().unwrap_or_default(),
            version: if valkey.is_empty() { field("redis_version") } else { format!("Valkey {valkey}") },
        })
    }

    /// Refuses a Redis that would lose jobs by design, and warns of one that may.
    ///
    /// # Errors
    /// Why it must not be used.
    pub fn judge(&self, tolerance: Tolerance) -> Result<(), Unsuitable> {
        let version = self.version.trim_start_matches("Valkey ");
        let major: Option<u32> = version.split('.').next().and_then(|major| major.parse().ok());
        if major.is_some_and(|major| major < 7) {
            return Err(Unsuitable::TooOld { version: self.version.clone() });
        }
        let evicts = !self.policy.is_empty() && self.policy != "noeviction";
        if evicts && !tolerance.eviction {
            return Err(Unsuitable::Evicts { policy: self.policy.clone() });
        }
        if evicts {
            tracing::warn!(policy = self.policy, "Redis throws accepted jobs away when it is full");
        }
        if !self.append_only && !tolerance.no_persistence {
            tracing::warn!(
                "Redis keeps no append-only file: if it restarts, jobs accepted since its last snapshot are lost; set \
                 appendonly yes, or accept it with HERMOD_ACCEPT_NO_PERSISTENCE=true"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(policy: &str, version: &str) -> ServerCheck {
        ServerCheck {
            policy: policy.to_owned(),
            append_only: true,
            version: version.to_owned(),
            max_memory: 0,
        }
    }

    #[test]
    fn only_a_redis_that_keeps_what_it_took_is_suitable() {
        let strict = Tolerance::default();
        assert_eq!(redis("noeviction", "7.0.15").judge(strict), Ok(()));
        assert_eq!(redis("noeviction", "Valkey 9.1.2").judge(strict), Ok(()));
        assert_eq!(redis("", "7.2.4").judge(strict), Ok(()), "a service that does not say");
        for policy in ["allkeys-lru", "volatile-ttl"] {
            assert!(matches!(redis(policy, "7.0.15").judge(strict), Err(Unsuitable::Evicts { .. })));
            assert_eq!(redis(policy, "7.0.15").judge(Tolerance { eviction: true, ..strict }), Ok(()));
        }
        assert!(matches!(redis("noeviction", "6.2.0").judge(strict), Err(Unsuitable::TooOld { .. })));
    }
}
