use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::connection::{Call, Connection, Route};
use crate::topology::Topology;
use crate::{Admin, QueueError, Store};

/// A server that holds shards, as it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerFigures {
    /// Its address, `host:port`.
    pub node: String,
    /// The version, Valkey's own where it is one.
    pub version: String,
    pub memory_bytes: u64,
    /// Its `maxmemory`; 0 for none.
    pub memory_limit_bytes: u64,
    /// Whether it keeps an append-only file.
    pub aof_enabled: bool,
    /// Whether its last writes to its files have succeeded.
    pub persistence_ok: bool,
    pub clients: u64,
    /// Commands a second.
    pub ops: u64,
}

impl ServerFigures {
    fn read(node: String, info: &str) -> Self {
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim()
        };
        let number = |name: &str| field(name).parse().unwrap_or_default();
        // What a service does not say has not failed.
        let is_ok = |name: &str| matches!(field(name), "ok" | "");
        let aof_enabled = field("aof_enabled") == "1";
        let aof_ok = is_ok("aof_last_write_status") && is_ok("aof_last_bgrewrite_status");
        let valkey = field("valkey_version");
        Self {
            node,
            version: if valkey.is_empty() {
                field("redis_version").to_owned()
            } else {
                format!("Valkey {valkey}")
            },
            memory_bytes: number("used_memory"),
            memory_limit_bytes: number("maxmemory"),
            aof_enabled,
            persistence_ok: is_ok("rdb_last_bgsave_status") && (aof_ok || !aof_enabled),
            clients: number("connected_clients"),
            ops: number("instantaneous_ops_per_sec"),
        }
    }
}

/// Connections to the servers that were asked last, by address: whoever asks again makes no new ones. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Servers(Arc<Mutex<BTreeMap<String, Connection>>>);

impl Servers {
    async fn of(&self, store: &Store) -> Result<Vec<(String, Connection)>, QueueError> {
        let clients = store.topology().primaries().await?;
        let mut known = self.0.lock().await;
        let mut servers = BTreeMap::new();
        for client in clients {
            let node = client.get_connection_info().addr().to_string();
            let connection = match (store.topology(), known.remove(&node)) {
                (Topology::Single(_), _) => store.shared().clone(),
                (_, Some(connection)) => connection,
                (_, None) => Connection::new(store.clone(), Route::Server(Box::new(client))),
            };
            servers.insert(node, connection);
        }
        known.clone_from(&servers);
        Ok(servers.into_iter().collect())
    }
}

impl Admin {
    /// Each server that holds shards, by address.
    ///
    /// # Errors
    /// If one does not answer.
    pub async fn servers(&self) -> Result<Vec<ServerFigures>, QueueError> {
        let asked = self.servers.of(self.store()).await?.into_iter().map(|(node, connection)| async move {
            let sections = ["server", "clients", "memory", "persistence", "stats"];
            let info: String = connection.run(Call::Command(redis::cmd("INFO").arg(&sections))).await?;
            Ok(ServerFigures::read(node, &info))
        });
        try_join_all(asked).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_how_it_is() {
        let info = "# Server\r\nredis_version:7.0.15\r\nconnected_clients:12\r\nused_memory:1048576\r\nmaxmemory:2097152\r\n\
                    aof_enabled:1\r\nrdb_last_bgsave_status:ok\r\naof_last_bgrewrite_status:ok\r\naof_last_write_status:err\r\n\
                    instantaneous_ops_per_sec:42\r\n";
        let figures = ServerFigures::read("a:1".to_owned(), info);
        let wanted = ServerFigures {
            node: "a:1".to_owned(),
            version: "7.0.15".to_owned(),
            memory_bytes: 1 << 20,
            memory_limit_bytes: 2 << 20,
            aof_enabled: true,
            persistence_ok: false,
            clients: 12,
            ops: 42,
        };
        assert_eq!(figures, wanted);
        let info = info.replace("aof_enabled:1", "aof_enabled:0") + "valkey_version:9.1.2\r\n";
        let figures = ServerFigures::read("a:1".to_owned(), &info);
        assert_eq!((figures.persistence_ok, figures.version.as_str()), (true, "Valkey 9.1.2"));
    }
}
