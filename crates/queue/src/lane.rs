use std::time::Duration;

use deadpool_redis::Connection;
use hermod_types::Shard;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Client, Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation};
use tokio::time::Instant;

use crate::health::Part;
use crate::topology::{RESPONSE_TIMEOUT, Topology, connection_config};
use crate::{QueueError, Store};

/// After a failure, a lane fails at once for this long, doubling up to the longest.
const BACKOFF_INITIAL: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Where a lane leads.
pub(crate) enum Route {
    /// To the server that holds this shard, over a connection of its own.
    Shard(Shard),
    /// To this server, over a connection of its own.
    Server(Box<Client>),
    /// To wherever each call's keys are, over a connection that others use, too.
    Errand,
}

/// A connection: a lane's own, one of the pool, which pings it at each check-out, or one that finds its node for
/// each command.
enum Link {
    Own(MultiplexedConnection),
    Pooled(Connection),
    Cluster(ClusterConnection),
}

/// One caller's connection, replaced when it breaks.
pub(crate) struct Lane {
    store: Store,
    route: Route,
    link: Option<Link>,
    closed_until: Option<Instant>,
    backoff: Duration,
}

impl Lane {
    pub(crate) const fn new(store: Store, route: Route) -> Self {
        Self { store, route, link: None, closed_until: None, backoff: BACKOFF_INITIAL }
    }

    /// Makes one call, and makes it once more over a new connection if the old one broke: so it must be
    /// safe to repeat.
    ///
    /// # Errors
    /// At once, without a try, while Redis was away a moment ago.
    pub(crate) async fn run<T: FromRedisValue>(&mut self, call: Call<'_>) -> Result<T, QueueError> {
        let part = self.part();
        if self.closed_until.is_some_and(|until| Instant::now() < until)
            && let Some(fault) = part.and_then(|part| self.store.health().fault_of(part))
        {
            return Err(fault.before_sending());
        }
        let had_connection = self.link.is_some();
        let mut outcome = self.attempt(call).await;
        if had_connection && outcome.as_ref().is_err_and(QueueError::is_worth_reconnecting) {
            let may_be_done = outcome.as_ref().is_err_and(QueueError::may_be_done);
            outcome = self.attempt(call).await;
            if may_be_done {
                outcome = outcome.map_err(QueueError::after_sending);
            }
        }
        if let Some(part) = part {
            self.store.health().note(part, &outcome, matches!(call, Call::Script(_)));
        }
        if outcome.as_ref().is_err_and(QueueError::is_away) {
            self.closed_until = Some(Instant::now() + jittered(self.backoff));
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        } else {
            self.closed_until = None;
            self.backoff = BACKOFF_INITIAL;
        }
        outcome
    }

    /// The part of Redis whose health its calls show. Errands in a Cluster go to one node now and to another then, and
    /// show none.
    fn part(&self) -> Option<Part> {
        match self.route {
            Route::Shard(shard) => Some(self.store.part(shard)),
            Route::Server(_) | Route::Errand => (!self.store.is_cluster()).then_some(Part::Whole),
        }
    }

    async fn attempt<T: FromRedisValue>(&mut self, call: Call<'_>) -> Result<T, QueueError> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Box::pin(self.connect()).await?,
        };
        let outcome = match &mut link {
            Link::Own(connection) => call.send(connection).await,
            Link::Pooled(connection) => call.send(&mut **connection).await,
            Link::Cluster(connection) => call.send(connection).await,
        };
        let outcome = outcome.map_err(|error| QueueError::from(error).after_sending());
        match (&outcome, link) {
            (Err(error), Link::Pooled(connection)) if error.ends_connection() => {
                drop(Connection::take(connection));
            }
            (Err(error), Link::Own(_)) if error.ends_connection() => {
                if let (Route::Errand, Topology::Sentinel { errands, .. }) =
                    (&self.route, self.store.topology())
                {
                    errands.forget().await;
                }
            }
            // That of a Cluster mends itself.
            (_, link) => self.link = Some(link),
        }
        outcome
    }

    async fn connect(&self) -> Result<Link, QueueError> {
        let topology = self.store.topology();
        let client = match (&self.route, topology) {
            (Route::Errand, Topology::Single { pool, .. }) => return Ok(Link::Pooled(pool.get().await?)),
            (Route::Errand, Topology::Sentinel { errands, .. }) => {
                let connect = async { connect_to(&topology.primary_of(Shard::default()).await?).await };
                return Ok(Link::Own(errands.get(connect).await?));
            }
            (Route::Errand, Topology::Cluster { .. }) => match topology.cluster().await {
                Some(connection) => return Ok(Link::Cluster(connection?)),
                None => topology.primary_of(Shard::default()).await?,
            },
            (Route::Shard(shard), topology) => topology.primary_of(*shard).await?,
            (Route::Server(client), _) => Client::clone(client),
        };
        Ok(Link::Own(connect_to(&client).await?))
    }
}

/// A connection of its own to one server.
pub(crate) async fn connect_to(client: &Client) -> Result<MultiplexedConnection, QueueError> {
    let config = connection_config().set_response_timeout(Some(RESPONSE_TIMEOUT));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
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
    async fn send<T: FromRedisValue>(self, connection: &mut (impl ConnectionLike + Send)) -> RedisResult<T> {
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
