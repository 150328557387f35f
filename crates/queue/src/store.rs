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
/// The longest that a read may block.
pub(crate) const LONGEST_BLOCK: Duration = Duration::from_secs(3);
/// After a failure, a lane fails at once for this long, doubling up to the longest.
const BACKOFF_INITIAL: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Connections for errands; every lane has one of its own besides.
const POOL_SIZE: usize = 8;

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
        self.errand().run(Call::Command(&redis::cmd("PING"))).await
    }

    /// A connection of its own, for one reader that blocks for up to [`LONGEST_BLOCK`].
    pub(crate) async fn blocking(&self) -> Result<MultiplexedConnection, QueueError> {
        // Without this, the client would give up after 500 ms while the server keeps the read blocked
        // and gives the next entry to nobody.
        let config = connection_config().set_response_timeout(Some(LONGEST_BLOCK + RESPONSE_TIMEOUT));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// A new lane, with a connection of its own for as long as it lives.
    pub(crate) fn lane(&self) -> Lane {
        Lane {
            store: self.clone(),
            is_errand: false,
            link: None,
            closed_until: None,
            backoff: BACKOFF_INITIAL,
        }
    }

    /// A lane for a call or two, over a connection of the pool.
    pub(crate) fn errand(&self) -> Lane {
        Lane { is_errand: true, ..self.lane() }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, QueueError> {
        let config = connection_config().set_response_timeout(Some(RESPONSE_TIMEOUT));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }
}

fn connection_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT))
}

/// A connection: a lane's own, or one of the pool, which pings it at each check-out.
enum Link {
    Own(MultiplexedConnection),
    Pooled(Connection),
}

/// One caller's connection, replaced when it breaks.
pub(crate) struct Lane {
    store: Store,
    is_errand: bool,
    link: Option<Link>,
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
        let had_connection = self.link.is_some();
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
        let mut link = match self.link.take() {
            Some(link) => link,
            None if self.is_errand => Link::Pooled(self.store.pool.get().await?),
            None => Link::Own(self.store.connect().await?),
        };
        let connection = match &mut link {
            Link::Own(connection) => connection,
            Link::Pooled(connection) => &mut **connection,
        };
        let outcome = call.send(connection).await.map_err(QueueError::from);
        match (&outcome, link) {
            (Err(error), Link::Pooled(connection)) if error.ends_connection() => {
                drop(Connection::take(connection));
            }
            (Err(error), Link::Own(_)) if error.ends_connection() => {}
            (_, link) => self.link = Some(link),
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
