//! Connections for what is large: deadpool's, beside the ones that all share, so that nothing small waits behind a piece.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use futures_util::future::BoxFuture;
use hermod_types::Shard;
use redis::{AsyncConnectionConfig, FromRedisValue};
use tokio::time::timeout;

use crate::QueueError;
use crate::connection::Call;
use crate::topology::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, Topology};

/// Connections to each server.
const POOL_SIZE: usize = 2;
/// How long a call may wait for one of them. Each is taken for one piece, in turn, so that large texts go on together.
const POOL_WAIT: Duration = Duration::from_secs(30);
/// The longest that a piece may take: an answer, and a second to pass at 2 Mbit/s.
const PIECE_TIMEOUT: Duration = RESPONSE_TIMEOUT.saturating_add(Duration::from_secs(1));

/// A pool for each server.
#[derive(Default)]
pub(crate) struct Pools {
    /// By address.
    pools: Mutex<HashMap<String, Pool>>,
    /// Which server has a shard, as it was found last.
    homes: Mutex<HashMap<Shard, Pool>>,
}

impl Pools {
    /// Makes one call, and makes it once more over another connection if one broke: so it must be safe to repeat.
    pub(crate) async fn send<T: FromRedisValue>(
        &self,
        topology: &Topology,
        shard: Shard,
        call: Call<'_>,
    ) -> Result<T, QueueError> {
        match self.attempt(topology, shard, call).await {
            Err(error) if error.is_worth_reconnecting() => self.attempt(topology, shard, call).await,
            outcome => outcome,
        }
    }

    async fn attempt<T: FromRedisValue>(
        &self,
        topology: &Topology,
        shard: Shard,
        call: Call<'_>,
    ) -> Result<T, QueueError> {
        let mut connection = self.pool(topology, shard).await?.get().await.map_err(|error| {
            self.forget(shard);
            QueueError::from(error)
        })?;
        let outcome = match timeout(PIECE_TIMEOUT, call.send(&mut connection)).await {
            Ok(outcome) => outcome.map_err(QueueError::from),
            Err(_) => Err(QueueError::Unreachable("a piece did not pass in time".to_owned())),
        };
        if outcome.as_ref().is_err_and(QueueError::ends_connection) {
            drop(deadpool_redis::Connection::take(connection));
            self.forget(shard);
        }
        outcome
    }

    async fn pool(&self, topology: &Topology, shard: Shard) -> Result<Pool, QueueError> {
        let home = self.homes.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).cloned();
        if let Some(pool) = home {
            return Ok(pool);
        }
        // Boxed without its type, which is too deep for the compiler where a job is spawned.
        let found: BoxFuture<'_, _> = Box::pin(topology.primary_of(shard));
        let server = found.await?;
        let info = server.get_connection_info().clone();
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = match pools.get(&info.addr().to_string()) {
            Some(pool) => pool.clone(),
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(None);
                let pool = Pool::builder(Manager::new_with_config(info.clone(), config)?)
                    .max_size(POOL_SIZE)
                    .wait_timeout(Some(POOL_WAIT))
                    .create_timeout(Some(CONNECT_TIMEOUT))
                    .recycle_timeout(Some(RESPONSE_TIMEOUT))
                    .runtime(Runtime::Tokio1)
                    .build()
                    .map_err(|error| QueueError::Unexpected(error.to_string()))?;
                pools.insert(info.addr().to_string(), pool.clone());
                pool
            }
        };
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, pool.clone());
        Ok(pool)
    }

    /// Finds the shard's server anew the next time.
    fn forget(&self, shard: Shard) {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).remove(&shard);
    }
}
