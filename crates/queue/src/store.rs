use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hermod_types::{Shard, ShardCount};
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use crate::clock::RedisClock;
use crate::connection::{Call, Connection, Route};
use crate::health::{Health, Part};
use crate::keys;
use crate::pieces::Pieces;
use crate::pools::Pools;
use crate::topology::Topology;
use crate::{QueueError, RedisUrl};

/// Connections to one Redis: a server, what Sentinels watch, or a Cluster. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    topology: Topology,
    health: Health,
    pools: Pools,
    clocks: Mutex<BTreeMap<Part, Arc<RedisClock>>>,
    shared: std::sync::OnceLock<Connection>,
}

/// The longest that all nodes of a Cluster may take for a sign of life.
const PING_DEADLINE: Duration = Duration::from_secs(5);
/// How long after a failure of Redis nothing is reclaimed: leases ended meanwhile, and whoever has a result that is paid
/// for is to write it first. Longer than a third of the lease, within which all holders renew.
const AFTER_OUTAGE: Duration = Duration::from_secs(4);

/// Several shards, where they are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "HERMOD_SHARDS is {0}, but REDIS_URL names one server, which several shards only slow down: leave HERMOD_SHARDS out, or give \
     the address of a Redis Cluster (redis-cluster://…)"
)]
pub struct ShardsNeedCluster(u16);

impl Store {
    /// Prepares to connect; the first call connects.
    ///
    /// # Errors
    /// If the address cannot be used, such as a TLS setting that the build lacks.
    pub fn new(url: &RedisUrl) -> Result<Self, QueueError> {
        Ok(Self(Arc::new(Inner {
            topology: Topology::new(url)?,
            health: Health::default(),
            pools: Pools::default(),
            clocks: Mutex::default(),
            shared: std::sync::OnceLock::new(),
        })))
    }

    /// Refuses several shards where there is one server.
    ///
    /// # Errors
    /// A sentence on what to do.
    pub fn allow(&self, shards: ShardCount) -> Result<(), ShardsNeedCluster> {
        if self.is_cluster() || shards == ShardCount::ONE {
            Ok(())
        } else {
            Err(ShardsNeedCluster(shards.get()))
        }
    }

    /// What this process knows of Redis's health.
    pub(crate) fn health(&self) -> &Health {
        &self.0.health
    }

    /// Asks Redis for a sign of life: of a Cluster, each node that holds slots.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn ping(&self) -> Result<(), QueueError> {
        if !self.is_cluster() {
            return self.shared().ask_time().await.map(drop);
        }
        let outcome = async {
            timeout(PING_DEADLINE, self.0.topology.ping_all())
                .await
                .map_err(|_| QueueError::Unanswered("not all nodes answer in time".to_owned()))??;
            // That a node answers does not yet mean that it serves what it holds.
            self.shared().run(Call::Command(redis::cmd("EXISTS").arg(keys::PAUSED))).await
        };
        let outcome = outcome.await;
        self.health().note(Part::Whole, &outcome, false);
        outcome
    }

    /// Whether nothing is known to be wrong with Redis, as the calls of this process have last seen it.
    pub fn is_well(&self) -> bool {
        self.health().fault_of(Part::Whole).is_none()
    }

    /// Whether there may be more than one shard.
    pub fn may_have_shards(&self) -> bool {
        self.is_cluster()
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.0.topology, Topology::Cluster { .. })
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.0.topology
    }

    /// The clock of a part of Redis, as all connections to it have last seen it.
    pub(crate) fn clock(&self, part: Part) -> Arc<RedisClock> {
        let mut clocks = self.0.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(clocks.entry(part).or_default())
    }

    /// Whether an idle time says that the holder of a job of `shard` is gone. After an outage it may only have been cut off,
    /// and after a step of Redis's clock all seem to be: within a lease each of them has renewed.
    pub(crate) fn may_reclaim(&self, shard: Shard, lease: Duration) -> bool {
        let part = self.part(shard);
        self.health().well_for(part) >= AFTER_OUTAGE.max(lease / 2)
            && !self.clock(part).has_stepped_within(lease)
    }

    /// The part of Redis that a shard is on.
    pub(crate) fn part(&self, shard: Shard) -> Part {
        if self.is_cluster() { Part::Shard(shard) } else { Part::Whole }
    }

    /// A connection of its own to where `shard` is, whose answers may take this long: for a read that blocks.
    pub(crate) async fn connect_for(
        &self,
        shard: Shard,
        response_timeout: Duration,
    ) -> Result<MultiplexedConnection, QueueError> {
        let client = self.0.topology.primary_of(shard).await?;
        self.0.topology.connect(&client, response_timeout).await
    }

    /// A new connection to where `shard` is.
    pub(crate) fn connection(&self, shard: Shard) -> Connection {
        Connection::new(self.clone(), Route::Shard(shard))
    }

    /// The connection for what is rare or small, which all of this process share. In a Cluster, each call goes to where its
    /// keys are.
    pub(crate) fn shared(&self) -> &Connection {
        self.0.shared.get_or_init(|| Connection::new(self.clone(), Route::Any))
    }

    /// A connection to each server that holds shards.
    pub(crate) async fn connections_to_all(&self) -> Result<Vec<Connection>, QueueError> {
        let servers = self.0.topology.primaries().await?;
        Ok(servers
            .into_iter()
            .map(|server| Connection::new(self.clone(), Route::Server(Box::new(server))))
            .collect())
    }

    /// Where large texts and media are.
    pub(crate) fn pieces(&self) -> Pieces<'_> {
        Pieces { pools: &self.0.pools, topology: &self.0.topology }
    }
}
