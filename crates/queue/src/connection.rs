use std::sync::Arc;
use std::time::Duration;

use hermod_types::{Backoff, Shard};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Client, Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::clock::RedisClock;
use crate::health::Part;
use crate::topology::{CONNECT_DEADLINE, RESPONSE_TIMEOUT, Topology};
use crate::{QueueError, Store};

/// After a failure, calls fail at once for this long, doubling up to the longest.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// Where a connection leads.
#[derive(Clone)]
pub(crate) enum Route {
    /// To the server that holds this shard.
    Shard(Shard),
    /// To this server.
    Server(Box<Client>),
    /// To wherever each call's keys are.
    Any,
}

#[derive(Clone)]
enum Link {
    /// To one server.
    Server(MultiplexedConnection),
    /// Finds the node for each command, and mends itself.
    Cluster(ClusterConnection),
}

/// A connection that many callers share: their calls go out as they come, without waiting for each other's answers. It is
/// made by the first call, and made again after it broke. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Inner>);

struct Inner {
    store: Store,
    route: Route,
    state: Mutex<State>,
    clock: Arc<RedisClock>,
    /// The longest that an answer may take.
    response_timeout: Duration,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    /// How many links there have been: a call that failed on an older one says nothing about this one.
    number: u64,
    /// Until when calls fail at once, and with what.
    closed: Option<(Instant, QueueError)>,
    failures: u32,
}

impl Connection {
    pub(crate) fn new(store: Store, route: Route) -> Self {
        Self::with_timeout(store, route, RESPONSE_TIMEOUT)
    }

    /// One whose answers may take at most `response_timeout`.
    pub(crate) fn with_timeout(store: Store, route: Route, response_timeout: Duration) -> Self {
        let clock = match &route {
            Route::Shard(shard) => store.clock(store.part(*shard)),
            Route::Server(_) if store.is_cluster() => Arc::default(),
            Route::Server(_) | Route::Any => store.clock(Part::Whole),
        };
        Self(Arc::new(Inner { store, route, state: Mutex::default(), clock, response_timeout }))
    }

    /// The clock of the server that it leads to.
    pub(crate) fn clock(&self) -> &RedisClock {
        &self.0.clock
    }

    /// What that clock says, which is asked for where it is not known yet.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(crate) async fn now_ms(&self) -> Result<u64, QueueError> {
        match self.0.clock.now_ms() {
            Some(now) => Ok(now),
            None => self.ask_time().await,
        }
    }

    /// Asks for the time.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(crate) async fn ask_time(&self) -> Result<u64, QueueError> {
        let sent = Instant::now();
        let (seconds, micros): (u64, u64) = self.run(Call::Command(&redis::cmd("TIME"))).await?;
        let now = seconds * 1000 + micros / 1000;
        self.0.clock.note(now, sent);
        Ok(now)
    }

    /// Makes one call, and makes it once more over a new connection if the old one broke: so it must be safe to repeat.
    ///
    /// # Errors
    /// At once, without a try, while Redis was away a moment ago.
    pub(crate) async fn run<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, QueueError> {
        let mut outcome = self.attempt(call).await;
        if let Err(failed) = &outcome
            && failed.is_worth_repeating
        {
            let may_be_done = failed.error.may_be_done();
            outcome = self.attempt(call).await;
            if may_be_done {
                outcome = outcome.map_err(|failed| Failed { error: failed.error.after_sending(), ..failed });
            }
        }
        self.note(call, outcome)
    }

    /// Makes one call, which is not safe to repeat.
    ///
    /// # Errors
    /// As [`Connection::run`]. Redis may have done it all the same.
    pub(crate) async fn run_once<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, QueueError> {
        let outcome = self.attempt(call).await;
        self.note(call, outcome)
    }

    fn note<T>(&self, call: Call<'_>, outcome: Result<T, Failed>) -> Result<T, QueueError> {
        let outcome = outcome.map_err(|failed| failed.error);
        if let Some(part) = self.part() {
            self.0.store.health().note(part, &outcome, matches!(call, Call::Script(_)));
        }
        outcome
    }

    /// The part of Redis whose health its calls show. In a Cluster, calls of any shard go to one node now and to another
    /// then, and show none.
    fn part(&self) -> Option<Part> {
        match self.0.route {
            Route::Shard(shard) => Some(self.0.store.part(shard)),
            Route::Server(_) | Route::Any => (!self.0.store.is_cluster()).then_some(Part::Whole),
        }
    }

    async fn attempt<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, Failed> {
        let (mut link, number, is_new) = match self.link().await {
            Ok(found) => found,
            Err(error) => {
                return Err(Failed { error: error.before_sending(), is_worth_repeating: false });
            }
        };
        let outcome = match &mut link {
            Link::Server(connection) => call.send(connection).await,
            Link::Cluster(connection) => call.send(connection).await,
        };
        let outcome = outcome.map_err(|error| QueueError::from(error).after_sending());
        let Err(error) = outcome else {
            if is_new {
                self.0.state.lock().await.failures = 0;
            }
            return outcome.map_err(|error| Failed { error, is_worth_repeating: false });
        };
        if error.ends_connection() {
            self.drop_link(number, &link, &error, is_new).await;
        }
        Err(Failed { is_worth_repeating: !is_new && error.is_worth_reconnecting(), error })
    }

    /// The link, its number, and whether it was made just now.
    async fn link(&self) -> Result<(Link, u64, bool), QueueError> {
        let mut state = self.0.state.lock().await;
        if let Some(link) = &state.link {
            return Ok((link.clone(), state.number, false));
        }
        // Those who waited here while it failed fail with it: each with a try of its own would wait for all before it.
        if let Some((until, fault)) = &state.closed
            && Instant::now() < *until
        {
            return Err(fault.clone());
        }
        let connected = match timeout(CONNECT_DEADLINE, Box::pin(self.connect())).await {
            Ok(connected) => connected,
            Err(_) => Err(QueueError::Unreachable("no connection in time".to_owned())),
        };
        match connected {
            Ok(link) => {
                state.number += 1;
                self.0.clock.may_be_another();
                state.closed = None;
                state.link = Some(link.clone());
                Ok((link, state.number, true))
            }
            Err(error) => {
                state.close(&error);
                Err(error)
            }
        }
    }

    async fn drop_link(&self, number: u64, link: &Link, error: &QueueError, is_new: bool) {
        let mut state = self.0.state.lock().await;
        if state.number != number || state.link.is_none() {
            return;
        }
        if matches!(link, Link::Server(_)) {
            state.link = None;
            self.0.store.health().note_break();
        }
        // A connection that broke after long use is tried again at once.
        if is_new && error.is_away() {
            state.close(error);
        }
    }

    async fn connect(&self) -> Result<Link, QueueError> {
        let topology = self.0.store.topology();
        let client = match (&self.0.route, topology) {
            (Route::Any, Topology::Cluster { .. }) => {
                if let Some(connection) = topology.cluster().await {
                    return Ok(Link::Cluster(connection?));
                }
                topology.primary_of(Shard::default()).await?
            }
            (Route::Any, _) => topology.primary_of(Shard::default()).await?,
            (Route::Shard(shard), _) => topology.primary_of(*shard).await?,
            (Route::Server(client), _) => Client::clone(client),
        };
        Ok(Link::Server(topology.connect(&client, self.0.response_timeout).await?))
    }
}

impl State {
    fn close(&mut self, error: &QueueError) {
        self.closed = Some((Instant::now() + BACKOFF.wait(self.failures), error.clone()));
        self.failures = self.failures.saturating_add(1);
    }
}

struct Failed {
    error: QueueError,
    /// The connection was an old one, and a new one may help.
    is_worth_repeating: bool,
}

/// What goes out in one round trip.
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
    pub(crate) async fn send<T: FromRedisValue>(
        self,
        connection: &mut (impl ConnectionLike + Send),
    ) -> RedisResult<T> {
        match self {
            Self::Script(script) => script.invoke_async(connection).await,
            Self::Pipeline(pipeline) => pipeline.query_async(connection).await,
            Self::Command(command) => command.query_async(connection).await,
        }
    }
}
