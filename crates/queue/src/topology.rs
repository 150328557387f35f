//! Where the shards are: on one server, on the primary that Sentinels name, or on the nodes of a Cluster.

use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use hermod_types::Shard;
use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, Slot};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, TlsMode, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::keys::Keys;
use crate::url::{self, Address};
use crate::{QueueError, RedisUrl};

/// The longest that a new connection may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that an answer may take. The redis crate's own default of 500 ms is short for a server
/// that fsyncs each write.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest that finding out where a shard is may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a command is sent on within a Cluster, and how long it waits before that, in milliseconds.
const REDIRECTS: u32 = 3;
const REDIRECT_WAITS: (u64, u64) = (20, 200);
/// Connections for errands; every lane has one of its own besides.
const POOL_SIZE: usize = 8;

/// Where the shards are, and a connection for errands.
pub(crate) enum Topology {
    /// All on one server.
    Single { client: Client, pool: Pool },
    /// All on the primary that Sentinels name.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        service: String,
        server: ConnectionInfo,
        errands: Shared<MultiplexedConnection>,
    },
    /// Each on the node that holds its slot.
    Cluster { client: ClusterClient, seeds: Vec<ConnectionInfo>, errands: Shared<ClusterConnection> },
}

/// A connection that many use, made when the first one asks.
pub(crate) struct Shared<C>(Mutex<Option<C>>);

impl<C: Clone> Shared<C> {
    const fn new() -> Self {
        Self(Mutex::const_new(None))
    }

    /// The connection; `connect` makes it.
    pub(crate) async fn get(
        &self,
        connect: impl Future<Output = Result<C, QueueError>>,
    ) -> Result<C, QueueError> {
        let mut current = self.0.lock().await;
        match &*current {
            Some(connection) => Ok(connection.clone()),
            None => Ok(current.insert(connect.await?).clone()),
        }
    }

    /// Lets the next one who asks make a new one.
    pub(crate) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

impl Topology {
    /// # Errors
    /// If an address cannot be used, such as a TLS setting that the build lacks.
    pub(crate) fn new(url: &RedisUrl) -> Result<Self, QueueError> {
        Ok(match url.0.clone() {
            Address::Single(info) => Self::Single { pool: pool(info.clone())?, client: Client::open(info)? },
            Address::Sentinel { sentinels, service, server } => {
                for info in sentinels.iter().chain([&server]) {
                    Client::open(info.clone())?;
                }
                Self::Sentinel { sentinels, service, server, errands: Shared::new() }
            }
            Address::Cluster(seeds) => {
                let client = ClusterClientBuilder::new(seeds.clone())
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(RESPONSE_TIMEOUT)
                    .retries(REDIRECTS)
                    .min_retry_wait(REDIRECT_WAITS.0)
                    .max_retry_wait(REDIRECT_WAITS.1)
                    .build()?;
                Self::Cluster { client, seeds, errands: Shared::new() }
            }
        })
    }

    /// The server that holds a shard now.
    pub(crate) async fn primary_of(&self, shard: Shard) -> Result<Client, QueueError> {
        let found = async {
            match self {
                Self::Single { client, .. } => Ok(client.clone()),
                Self::Sentinel { sentinels, service, server, .. } => {
                    // Those that hang must not be asked first each time.
                    let mut sentinels = sentinels.clone();
                    fastrand::shuffle(&mut sentinels);
                    let (sentinels, server) = (sentinels, server_settings(server));
                    let primary = SentinelServerType::Master;
                    let mut client = SentinelClient::build(sentinels, service, Some(server), primary)?;
                    Ok(client.async_get_client().await?)
                }
                Self::Cluster { seeds, .. } => {
                    let slot = Slot::for_key(Keys::new(shard).queue);
                    let ranges = self.ranges().await?;
                    let range = ranges.iter().find(|range| range.has(slot)).ok_or_else(|| {
                        QueueError::Degraded(format!("no node holds the slot of shard {}", shard.number()))
                    })?;
                    range.client(seeds)
                }
            }
        };
        let Ok(found) = timeout(LOOKUP_TIMEOUT, found).await else {
            return Err(QueueError::Unreachable("nobody says in time where the primary is".to_owned()));
        };
        found
    }

    /// Every server that holds shards.
    pub(crate) async fn primaries(&self) -> Result<Vec<Client>, QueueError> {
        let Self::Cluster { seeds, .. } = self else {
            return Ok(vec![self.primary_of(Shard::default()).await?]);
        };
        let mut ranges = self.ranges().await?;
        ranges.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        ranges.dedup_by(|a, b| (&a.host, a.port) == (&b.host, b.port));
        ranges.iter().map(|range| range.client(seeds)).collect()
    }

    /// The connection to a Cluster that finds the node for each command by itself; none for the others.
    pub(crate) async fn cluster(&self) -> Option<Result<ClusterConnection, QueueError>> {
        let Self::Cluster { client, errands, .. } = self else { return None };
        Some(errands.get(async { Ok(client.get_async_connection().await?) }).await)
    }

    /// Asks every node of a Cluster that holds slots for a sign of life; nothing to do for the others.
    pub(crate) async fn ping_all(&self) -> Result<(), QueueError> {
        let Some(connection) = self.cluster().await else { return Ok(()) };
        let primaries = MultipleNodeRoutingInfo::AllMasters;
        let routing = RoutingInfo::MultiNode((primaries, Some(ResponsePolicy::AllSucceeded)));
        connection?.route_command(redis::cmd("PING"), routing).await?;
        Ok(())
    }

    /// Which node of a Cluster has which slots.
    async fn ranges(&self) -> Result<Vec<Range>, QueueError> {
        let Some(connection) = self.cluster().await else { return Ok(Vec::new()) };
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let rows: Vec<Vec<Value>> = command.query_async(&mut connection?).await?;
        Ok(rows.into_iter().filter_map(Range::of).collect())
    }
}

struct Range {
    slots: std::ops::RangeInclusive<u16>,
    host: String,
    port: u16,
}

impl Range {
    fn of(row: Vec<Value>) -> Option<Self> {
        let mut row = row.into_iter();
        let (first, last, node) = (row.next()?, row.next()?, row.next()?);
        let (first, last) = (redis::from_redis_value(first).ok()?, redis::from_redis_value(last).ok()?);
        let mut node = redis::from_redis_value::<Vec<Value>>(node).ok()?.into_iter();
        let (host, port) = (node.next()?, node.next()?);
        // A node that does not know its own name says nil, or nothing.
        let host: Option<String> = redis::from_redis_value(host).ok()?;
        Some(Self {
            slots: first..=last,
            host: host.unwrap_or_default(),
            port: redis::from_redis_value(port).ok()?,
        })
    }

    fn has(&self, slot: Slot) -> bool {
        self.slots.clone().any(|number| Slot::new(number) == Some(slot))
    }

    fn client(&self, seeds: &[ConnectionInfo]) -> Result<Client, QueueError> {
        let seed = seeds.first().ok_or_else(|| QueueError::Unreachable("no node is known".to_owned()))?;
        let host = match (self.host.as_str(), seed.addr()) {
            // The library that asked may have been told by any seed; they are of one network.
            ("" | "?", ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) => host,
            (host, _) => host,
        };
        Ok(Client::open(url::at(seed, host, self.port))?)
    }
}

/// How the primary that Sentinels name lets us in.
fn server_settings(server: &ConnectionInfo) -> SentinelNodeConnectionInfo {
    let settings = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(server.redis_settings().clone())
        .set_tcp_settings(server.tcp_settings().clone());
    if let ConnectionAddr::TcpTls { insecure, .. } = server.addr() {
        settings.set_tls_mode(if *insecure { TlsMode::Insecure } else { TlsMode::Secure })
    } else {
        settings
    }
}

fn pool(info: ConnectionInfo) -> Result<Pool, QueueError> {
    let config = connection_config().set_response_timeout(Some(RESPONSE_TIMEOUT));
    let manager = Manager::new_with_config(info, config)?;
    Pool::builder(manager)
        .max_size(POOL_SIZE)
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| QueueError::Unexpected(error.to_string()))
}

pub(crate) fn connection_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT))
}
