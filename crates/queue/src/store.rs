use std::sync::Arc;
use std::time::Duration;

use hermod_types::Shard;
use redis::Client;
use redis::aio::MultiplexedConnection;

use crate::health::{Health, Part};
use crate::keys::PAUSED;
use crate::lane::{Call, Lane, Route};
use crate::topology::{RESPONSE_TIMEOUT, Topology, connection_config};
use crate::{QueueError, RedisUrl};

/// The longest that a read may block.
pub(crate) const LONGEST_BLOCK: Duration = Duration::from_secs(3);

/// Connections to one Redis: a server, what Sentinels watch, or a Cluster. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    url: RedisUrl,
    topology: Arc<Topology>,
    health: Health,
}

impl Store {
    /// Prepares to connect; the first call connects.
    ///
    /// # Errors
    /// If the address cannot be used, such as a TLS setting that the build lacks.
    pub fn new(url: &RedisUrl) -> Result<Self, QueueError> {
        Ok(Self { url: url.clone(), topology: Arc::new(Topology::new(url)?), health: Health::default() })
    }

    /// The same Redis over connections of its own, which live on the runtime that uses them.
    pub(crate) fn apart(&self) -> Result<Self, QueueError> {
        Ok(Self { topology: Arc::new(Topology::new(&self.url)?), ..self.clone() })
    }

    /// What this process knows of Redis's health.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Asks Redis for a sign of life: of a Cluster, each node that holds slots.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn ping(&self) -> Result<(), QueueError> {
        if !self.is_cluster() {
            return self.errand().run(Call::Command(&redis::cmd("PING"))).await;
        }
        let outcome = async {
            self.topology.ping_all().await?;
            // That a node answers does not yet mean that it serves what it holds.
            self.errand().run(Call::Command(redis::cmd("EXISTS").arg(PAUSED))).await
        };
        let outcome = outcome.await;
        self.health.note(Part::Whole, &outcome, false);
        outcome
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(*self.topology, Topology::Cluster { .. })
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The part of Redis that a shard is on.
    pub(crate) fn part(&self, shard: Shard) -> Part {
        if self.is_cluster() { Part::Shard(shard) } else { Part::Whole }
    }

    /// A connection of its own to where `shard` is, for one reader that blocks for up to [`LONGEST_BLOCK`]; and the way
    /// to that very server.
    pub(crate) async fn blocking(&self, shard: Shard) -> Result<(MultiplexedConnection, Client), QueueError> {
        // Without this, the client would give up after 500 ms while the server keeps the read blocked
        // and gives the next entry to nobody.
        let config = connection_config().set_response_timeout(Some(LONGEST_BLOCK + RESPONSE_TIMEOUT));
        let client = self.topology.primary_of(shard).await?;
        Ok((client.get_multiplexed_async_connection_with_config(&config).await?, client))
    }

    /// A new lane to where `shard` is, with a connection of its own for as long as it lives.
    pub(crate) fn lane(&self, shard: Shard) -> Lane {
        Lane::new(self.clone(), Route::Shard(shard))
    }

    /// A lane for a call or two, over a connection that others use, too. In a Cluster, each call goes to where its keys are.
    pub(crate) fn errand(&self) -> Lane {
        Lane::new(self.clone(), Route::Errand)
    }

    /// A lane to each server that holds shards.
    pub(crate) async fn lanes_to_all(&self) -> Result<Vec<Lane>, QueueError> {
        let servers = self.topology.primaries().await?;
        Ok(servers
            .into_iter()
            .map(|server| Lane::new(self.clone(), Route::Server(Box::new(server))))
            .collect())
    }
}
