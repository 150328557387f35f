//! Bodies and outcomes too large for Lua, which would copy them several times. Each has a key of its own, written before the
//! script that keeps it, with an expiry that the script takes away; and its transfer has a connection of its own from
//! deadpool's pool, so that nothing small waits behind it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use hermod_types::Shard;
use redis::aio::ConnectionLike;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue};
use tokio::time::timeout;

use crate::QueueError;
use crate::topology::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, Topology};

/// From so many bytes on it pays. Measured on Redis 7.0 with prompt and result of this size: 69 µs of its CPU for a job
/// instead of 109; at 4 KiB there is no difference, at 1 MB it is 1.0 ms instead of 4.8.
pub(crate) const LARGE: usize = 16 << 10;
/// How long a text waits for its script, in seconds.
const STAGED_SECONDS: u64 = 600;
/// Connections to each server.
const POOL_SIZE: usize = 2;
/// How long a transfer may wait for one of them.
const POOL_WAIT: Duration = Duration::from_secs(30);
/// The slowest transfer that is waited for, in bytes a second: 8 Mbit/s.
const SLOWEST: u64 = 1 << 20;

/// The connections for large texts: a pool for each server.
#[derive(Default)]
pub(crate) struct LargeTexts {
    /// By address.
    pools: Mutex<HashMap<String, Pool>>,
    /// Which server has a shard, as it was found last.
    homes: Mutex<HashMap<Shard, Pool>>,
}

impl LargeTexts {
    /// Writes a text for a script to keep. One that is there already stays: a late repetition must not give the script's key
    /// an expiry again.
    pub(crate) async fn stage(
        &self,
        topology: &Topology,
        shard: Shard,
        key: &str,
        text: &str,
    ) -> Result<(), QueueError> {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(text).arg("NX").arg("EX").arg(STAGED_SECONDS);
        let _: Option<String> = self.send(topology, shard, &command, text.len()).await?;
        Ok(())
    }

    /// Reads a text of about so many bytes; none where it is gone.
    pub(crate) async fn fetch(
        &self,
        topology: &Topology,
        shard: Shard,
        key: &str,
        bytes: usize,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        self.send(topology, shard, redis::cmd("GET").arg(key), bytes).await
    }

    /// Sends one command that moves about so many bytes, and once more over another connection if one broke.
    pub(crate) async fn send<T: FromRedisValue>(
        &self,
        topology: &Topology,
        shard: Shard,
        command: &Cmd,
        bytes: usize,
    ) -> Result<T, QueueError> {
        match self.attempt(topology, shard, command, bytes).await {
            Err(error) if error.is_worth_reconnecting() => {
                self.attempt(topology, shard, command, bytes).await
            }
            outcome => outcome,
        }
    }

    async fn attempt<T: FromRedisValue>(
        &self,
        topology: &Topology,
        shard: Shard,
        command: &Cmd,
        bytes: usize,
    ) -> Result<T, QueueError> {
        let mut connection = self.pool(topology, shard).await?.get().await.map_err(|error| {
            self.forget(shard);
            QueueError::from(error)
        })?;
        let patience =
            RESPONSE_TIMEOUT + Duration::from_secs(u64::try_from(bytes).unwrap_or(u64::MAX) / SLOWEST);
        let outcome = match timeout(patience, connection.req_packed_command(command)).await {
            Ok(outcome) => outcome.and_then(|value| value.extract_error()).map_err(QueueError::from),
            Err(_) => Err(QueueError::Unreachable("a large text did not pass in time".to_owned())),
        };
        if outcome.as_ref().is_err_and(QueueError::ends_connection) {
            drop(deadpool_redis::Connection::take(connection));
            self.forget(shard);
        }
        Ok(redis::from_redis_value(outcome?).map_err(redis::RedisError::from)?)
    }

    async fn pool(&self, topology: &Topology, shard: Shard) -> Result<Pool, QueueError> {
        let home = self.homes.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).cloned();
        if let Some(pool) = home {
            return Ok(pool);
        }
        let server = topology.primary_of(shard).await?;
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
