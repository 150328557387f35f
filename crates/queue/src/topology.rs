//! Where the shards are: on one server, on the primary that Sentinels name, or on the nodes of a Cluster.

use std::time::Duration;

use hermod_types::Shard;
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, TlsMode, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::keys;
use crate::url::{self, Address};
use crate::{QueueError, RedisUrl};

/// The longest that a new connection may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that an answer may take. The redis crate's own default of 500 ms is short for a server
/// that fsyncs each write.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest that finding out where a shard is may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it is believed which node has which slots.
const RANGES_FRESH: Duration = Duration::from_secs(1);
/// Slots of every Cluster.
const SLOTS: u16 = 16384;
/// How often a command is sent on within a Cluster, and how long it waits before that, in milliseconds.
const REDIRECTS: u32 = 3;
const REDIRECT_WAITS: (u64, u64) = (20, 200);
/// The longest that it may take to find a server and connect to it.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(4);

/// Where the shards are.
pub(crate) enum Topology {
    /// All on one server.
    Single(Client),
    /// All on the primary that Sentinels name.
    Sentinel { sentinels: Vec<ConnectionInfo>, service: String, server: ConnectionInfo },
    /// Each on the node that holds its slot. The connection finds the node for each command by itself.
    Cluster {
        client: Box<ClusterClient>,
        seeds: Vec<ConnectionInfo>,
        connection: Mutex<Option<ClusterConnection>>,
        /// Which node has which slots, as it was a moment ago: all shards of a process connect together.
        ranges: Mutex<Option<(Instant, Vec<Range>)>>,
    },
}

impl Topology {
    /// # Errors
    /// If an address cannot be used, such as a TLS setting that the build lacks.
    pub(crate) fn new(url: &RedisUrl) -> Result<Self, QueueError> {
        Ok(match url.0.clone() {
            Address::Single(info) => Self::Single(Client::open(quiet(info))?),
            Address::Sentinel { sentinels, service, server } => {
                for info in sentinels.iter().chain([&server]) {
                    Client::open(info.clone())?;
                }
                Self::Sentinel { sentinels, service, server }
            }
            Address::Cluster(seeds) => {
                let client = ClusterClientBuilder::new(seeds.clone())
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(RESPONSE_TIMEOUT)
                    .retries(REDIRECTS)
                    .min_retry_wait(REDIRECT_WAITS.0)
                    .max_retry_wait(REDIRECT_WAITS.1)
                    .build()?;
                Self::Cluster {
                    client: Box::new(client),
                    seeds,
                    connection: Mutex::new(None),
                    ranges: Mutex::new(None),
                }
            }
        })
    }

    /// The server that holds a shard now.
    pub(crate) async fn primary_of(&self, shard: Shard) -> Result<Client, QueueError> {
        let found = async {
            match self {
                Self::Single(client) => Ok(client.clone()),
                Self::Sentinel { sentinels, service, server } => {
                    // Those that hang must not be asked first each time.
                    let mut sentinels = sentinels.clone();
                    fastrand::shuffle(&mut sentinels);
                    let (sentinels, server) = (sentinels, server_settings(server));
                    let primary = SentinelServerType::Master;
                    let mut client = SentinelClient::build(sentinels, service, Some(server), primary)?;
                    let primary = client.async_get_client().await?;
                    Ok(Client::open(quiet(primary.get_connection_info().clone()))?)
                }
                Self::Cluster { seeds, .. } => {
                    let slot = slot_of(shard);
                    let ranges = self.ranges().await?;
                    let range = ranges.iter().find(|range| range.slots.contains(&slot)).ok_or_else(|| {
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

    /// Connects to one server. `response_timeout` is the longest that an answer may take.
    pub(crate) async fn connect(
        &self,
        client: &Client,
        response_timeout: Duration,
    ) -> Result<MultiplexedConnection, QueueError> {
        // The redis crate would give up after 500 ms.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// The same for what the server says unasked: `pushed` is called with it, from the task that reads.
    pub(crate) async fn connect_to_hear(
        client: &Client,
        pushed: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, QueueError> {
        let info = client.get_connection_info().clone();
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_push_sender(pushed);
        let client = Client::open(info.set_redis_settings(settings))?;
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// The connection to a Cluster; none for the others.
    pub(crate) async fn cluster(&self) -> Option<Result<ClusterConnection, QueueError>> {
        let Self::Cluster { client, connection, .. } = self else { return None };
        let mut current = connection.lock().await;
        if let Some(connection) = &*current {
            return Some(Ok(connection.clone()));
        }
        let made = timeout(CONNECT_DEADLINE, client.get_async_connection()).await;
        Some(match made {
            Ok(Ok(made)) => Ok(current.insert(made).clone()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(QueueError::Unreachable("no node of the Cluster answers in time".to_owned())),
        })
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
        let (Self::Cluster { ranges, .. }, Some(connection)) = (self, self.cluster().await) else {
            return Ok(Vec::new());
        };
        let mut connection = connection?;
        let mut known = ranges.lock().await;
        if let Some((at, ranges)) = &*known
            && at.elapsed() < RANGES_FRESH
        {
            return Ok(ranges.clone());
        }
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let rows: Vec<Vec<Value>> = command.query_async(&mut connection).await?;
        let ranges: Vec<Range> = rows.into_iter().filter_map(Range::of).collect();
        *known = Some((Instant::now(), ranges.clone()));
        Ok(ranges)
    }
}

#[derive(Clone)]
pub(crate) struct Range {
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

    fn client(&self, seeds: &[ConnectionInfo]) -> Result<Client, QueueError> {
        let seed = seeds.first().ok_or_else(|| QueueError::Unreachable("no node is known".to_owned()))?;
        let host = match (self.host.as_str(), seed.addr()) {
            // The library that asked may have been told by any seed; they are of one network.
            ("" | "?", ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) => host,
            (host, _) => host,
        };
        Ok(Client::open(quiet(url::at(seed, host, self.port)))?)
    }
}

/// The slot of a Cluster that a shard's hash tag leads to.
fn slot_of(shard: Shard) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(keys::tag(shard).as_bytes()) % SLOTS
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

/// Without the redis crate's introduction of itself, which is two commands at each connect: after an outage all connect
/// together.
fn quiet(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    info.set_redis_settings(settings)
}
