use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, Runtime};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation};
use tokio::time::Instant;

use crate::{Health, QueueError, RedisUrl};

/// The longest that a new connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that an answer may take. The redis crate's own default of 500 ms is short for a server
/// that fsyncs each write.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// After a failure, a lane fails at once for this long, doubling up to the longest.
const BACKOFF_INITIAL: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Connections of one process: one for each lane and a few for its operator's commands.
const POOL_SIZE: usize = 32;

/// Connections to one Redis. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    client: Client,
    health: Health,
}

impl Store {
    /// Prepares to connect; the first call connects.
    ///
    /// # Errors
    /// If the address cannot be used, such as a TLS setting that the build lacks.
    pub fn new(url: &RedisUrl) -> Result<Self, QueueError> {
        Self::to(Client::open(url.info())?, Health::default())
    }

    /// The same Redis over connections of its own, which live on the runtime that uses them.
    pub(crate) fn apart(&self) -> Result<Self, QueueError> {
        Self::to(self.client.clone(), self.health.clone())
    }

    fn to(client: Client, health: Health) -> Result<Self, QueueError> {
        let config = connection_config().set_response_timeout(Some(RESPONSE_TIMEOUT));
        let manager = Manager::new_with_config(client.get_connection_info().clone(), config)?;
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| QueueError::Unexpected(error.to_string()))?;
        Ok(Self { pool, client, health })
    }

    /// What this process knows of Redis's health.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Asks Redis for a sign of life.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn ping(&self) -> Result<(), QueueError> {
        self.lane().run(Call::Command(&redis::cmd("PING"))).await
    }

    /// A connection from the pool, for an operator's command.
    pub(crate) async fn connection(&self) -> Result<Connection, QueueError> {
        Ok(self.pool.get().await?)
    }

    /// A connection of its own, for one reader that blocks for up to `block`.
    pub(crate) async fn blocking(&self, block: Duration) -> Result<MultiplexedConnection, QueueError> {
        // Without this, the client would give up after 500 ms while the server keeps the read blocked
        // and gives the next entry to nobody.
        let config = connection_config().set_response_timeout(Some(block + RESPONSE_TIMEOUT));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// A new lane.
    pub(crate) fn lane(&self) -> Lane {
        Lane { store: self.clone(), connection: None, closed_until: None, backoff: BACKOFF_INITIAL }
    }
}

fn connection_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT))
}

/// One caller's connection. It is checked out of the pool once and kept, as deadpool pings at each
/// check-out, and replaced when it breaks.
pub(crate) struct Lane {
    store: Store,
    connection: Option<Connection>,
    closed_until: Option<Instant>,
    backoff: Duration,
}

impl Lane {
    /// Makes one call, and makes it once more over a new connection if the old one broke: so it must be
    /// safe to repeat.
    ///
    /// # Errors
    /// At once, without a try, while Redis was away a moment ago.
    pub(crate) async fn run<T: FromRedisValue>(&mut self, call: Call<'_>) -> Result<T, QueueError> {
        if self.closed_until.is_some_and(|until| Instant::now() < until)
            && let Some(fault) = self.store.health.fault()
        {
            return Err(fault);
        }
        let had_connection = self.connection.is_some();
        let mut outcome = self.attempt(call).await;
        if had_connection && outcome.as_ref().is_err_and(QueueError::is_worth_reconnecting) {
            outcome = self.attempt(call).await;
        }
        self.store.health.note(&outcome, matches!(call, Call::Script(_)));
        if matches!(outcome, Err(QueueError::Unreachable(_))) {
            self.closed_until = Some(Instant::now() + jittered(self.backoff));
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        } else {
            self.closed_until = None;
            self.backoff = BACKOFF_INITIAL;
        }
        outcome
    }

    async fn attempt<T: FromRedisValue>(&mut self, call: Call<'_>) -> Result<T, QueueError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.store.connection().await?,
        };
        let outcome = call.send(&mut connection).await.map_err(QueueError::from);
        match &outcome {
            Err(error) if error.ends_connection() => drop(Connection::take(connection)),
            Ok(_) | Err(_) => self.connection = Some(connection),
        }
        outcome
    }
}

/// What a lane can send in one round trip.
#[derive(Clone, Copy)]
pub(crate) enum Call<'a> {
    /// A script, loaded again if Redis has lost it.
    Script(&'a ScriptInvocation<'a>),
    /// Some commands.
    Pipeline(&'a Pipeline),
    /// One command.
    Command(&'a Cmd),
}

impl Call<'_> {
    async fn send<T: FromRedisValue>(self, connection: &mut MultiplexedConnection) -> RedisResult<T> {
        match self {
            Self::Script(script) => script.invoke_async(connection).await,
            Self::Pipeline(pipeline) => pipeline.query_async(connection).await,
            Self::Command(command) => command.query_async(connection).await,
        }
    }
}

/// `duration` × 0.8–1.2, so that processes that lost Redis together do not come back together.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.8 + 0.4 * fastrand::f64())
}

/// A duration as Redis takes it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
