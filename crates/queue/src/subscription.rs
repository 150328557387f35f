//! Sharded Pub/Sub: what scripts tell whoever listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hermod_types::{Backoff, Shard};
use redis::aio::MultiplexedConnection;
use redis::{Client, PushInfo, PushKind, Value};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::topology::{CONNECT_DEADLINE, Topology};
use crate::{QueueError, Store, WorkerName, keys};

/// Between tries to subscribe.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
/// How often a connection on which nothing is said is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// After a failover all look where their shards are, at a moment within this time.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// Where something is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel {
    shard: Shard,
    name: Arc<str>,
}

impl Channel {
    /// Each transition of a shard's jobs. A message has a line for each: `<job id> <seq> <state> <code> <owner>`.
    pub fn events(shard: Shard) -> Self {
        Self { shard, name: keys::events(shard).into() }
    }

    /// The jobs of a shard that `worker` is to cancel. A message has a line for each: its id.
    pub fn cancels(shard: Shard, worker: &WorkerName) -> Self {
        Self { shard, name: keys::cancels(shard, worker.as_str()).into() }
    }

    /// The shard whose jobs it is about.
    pub const fn shard(&self) -> Shard {
        self.shard
    }
}

/// What a [`Subscription`] hears.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// This was said on a channel.
    Message { channel: &'a Channel, text: &'a str },
    /// From now on everything is heard. What was said before may be lost: look again.
    Restored(&'a Channel),
    /// From now on nothing is heard; a new connection is being made.
    Lost(&'a Channel),
    /// A try to subscribe has failed. More tries follow.
    Away(&'a Channel),
}

/// Channels that are listened to, over one connection to each server that has some of their shards. Cheap to clone.
///
/// It mends itself: after a break, a failover, or a move of the shard to another node. Messages are lost meanwhile, so
/// whoever listens looks again after each [`Heard::Restored`].
#[derive(Clone)]
pub struct Subscription(Arc<Inner>);

struct Inner {
    store: Store,
    tell: Box<dyn Fn(Heard<'_>) + Send + Sync>,
    channels: Mutex<HashMap<Arc<str>, Listening>>,
    /// By address.
    servers: Mutex<HashMap<String, Arc<Server>>>,
    tasks: TaskTracker,
    /// The runtime of its tasks, wherever a channel is added from.
    runtime: Handle,
    stop: CancellationToken,
}

struct Listening {
    channel: Channel,
    /// Cancelled when it is removed.
    removed: CancellationToken,
}

impl Subscription {
    /// Listens to nothing yet. Its tasks run on the current runtime, and end with `stop`.
    ///
    /// `tell` is called from the task that reads, so that nothing waits in a queue: it must not take long.
    pub fn new(
        store: &Store,
        tasks: &TaskTracker,
        stop: CancellationToken,
        tell: impl Fn(Heard<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            store: store.clone(),
            tell: Box::new(tell),
            channels: Mutex::default(),
            servers: Mutex::default(),
            tasks: tasks.clone(),
            runtime: Handle::current(),
            stop,
        }))
    }

    /// Listens to a channel, too. [`Heard::Restored`] says that it does, [`Heard::Away`] that it cannot yet.
    pub fn add(&self, channel: Channel) {
        let mut channels = self.0.channels();
        if channels.contains_key(&channel.name) {
            return;
        }
        let removed = CancellationToken::new();
        let listening = Listening { channel: channel.clone(), removed: removed.clone() };
        channels.insert(Arc::clone(&channel.name), listening);
        drop(channels);
        let (inner, stop) = (Arc::clone(&self.0), self.0.stop.clone());
        let listen = async move {
            stop.run_until_cancelled(Box::pin(inner.listen(channel, removed))).await;
        };
        self.0.tasks.spawn_on(listen, &self.0.runtime);
    }

    /// Listens to a channel no longer.
    pub fn remove(&self, channel: &Channel) {
        if let Some(listening) = self.0.channels().remove(&channel.name) {
            listening.removed.cancel();
        }
    }
}

impl Inner {
    fn channels(&self) -> MutexGuard<'_, HashMap<Arc<str>, Listening>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_wanted(&self, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| self.channels().contains_key(name))
    }

    /// Keeps one channel subscribed until it is removed.
    async fn listen(self: Arc<Self>, channel: Channel, removed: CancellationToken) {
        let mut failures = 0;
        loop {
            match self.subscribe(&channel).await {
                Ok(link) => {
                    failures = 0;
                    if removed.is_cancelled() {
                        return link.unsubscribe(&channel).await;
                    }
                    (self.tell)(Heard::Restored(&channel));
                    tokio::select! {
                        () = removed.cancelled() => return link.unsubscribe(&channel).await,
                        () = link.broken.cancelled() => {}
                        () = self.moves(&channel, &link) => {}
                    }
                    (self.tell)(Heard::Lost(&channel));
                }
                Err(error) => {
                    tracing::debug!(channel = &*channel.name, %error, "not subscribed");
                    if failures == 0 && matches!(error, QueueError::Denied(_)) {
                        tracing::warn!(channel = &*channel.name, %error, "Redis does not let us subscribe");
                    }
                    (self.tell)(Heard::Away(&channel));
                    let wait = BACKOFF.wait(failures);
                    failures = failures.saturating_add(1);
                    if removed.run_until_cancelled(sleep(wait)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    async fn subscribe(self: &Arc<Self>, channel: &Channel) -> Result<Arc<Link>, QueueError> {
        let client = self.home(channel.shard).await?;
        let server = self.server(client);
        let link = server.link(self).await?;
        let mut command = redis::cmd("SSUBSCRIBE");
        command.arg(&*channel.name);
        match command.query_async::<Value>(&mut link.connection.clone()).await {
            Ok(_) => Ok(link),
            Err(error) => {
                let error = QueueError::from(error);
                if error.is_away() {
                    link.broken.cancel();
                }
                Err(error)
            }
        }
    }

    /// The server that has this shard.
    async fn home(&self, shard: Shard) -> Result<Client, QueueError> {
        // Boxed without its type, which is too deep for the compiler where a task is spawned.
        let found: BoxFuture<'_, _> = Box::pin(self.store.topology().primary_of(shard));
        found.await
    }

    fn server(&self, client: Client) -> Arc<Server> {
        let address = address_of(&client);
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.entry(address).or_insert_with(|| Arc::new(Server::new(client)));
        Arc::clone(server)
    }

    /// Ends when the shard is elsewhere: a server that has become a replica says nothing of it.
    async fn moves(&self, channel: &Channel, link: &Link) {
        let mut recoveries = self.store.health().recoveries();
        while recoveries.changed().await.is_ok() {
            sleep(LOOK_WITHIN.mul_f64(fastrand::f64())).await;
            if self.home(channel.shard).await.is_ok_and(|home| address_of(&home) != link.address) {
                return;
            }
        }
    }

    /// What the server has said unasked.
    fn pushed(&self, push: &PushInfo, broken: &CancellationToken) {
        match (&push.kind, &push.data[..]) {
            (PushKind::SMessage, [Value::BulkString(name), Value::BulkString(text)]) => {
                let (Ok(name), Ok(text)) = (std::str::from_utf8(name), std::str::from_utf8(text)) else {
                    return;
                };
                let channel = self.channels().get(name).map(|listening| listening.channel.clone());
                if let Some(channel) = channel {
                    (self.tell)(Heard::Message { channel: &channel, text });
                }
            }
            // The slot moves to another node. The redis crate has taken this for the answer to whatever was asked, so the
            // connection is of no further use.
            (PushKind::SUnsubscribe, [Value::BulkString(name), ..]) if self.is_wanted(name) => {
                broken.cancel();
            }
            (PushKind::Disconnection, _) => broken.cancel(),
            _ => {}
        }
    }
}

fn address_of(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// A server that has some of the shards.
struct Server {
    client: Client,
    state: tokio::sync::Mutex<ServerState>,
}

#[derive(Default)]
struct ServerState {
    link: Weak<Link>,
    /// Until when all tries fail at once, and with what: each with a try of its own would wait for all before it.
    closed: Option<(Instant, QueueError)>,
    failures: u32,
}

/// A connection to a server. It is closed with its last channel.
struct Link {
    address: String,
    connection: MultiplexedConnection,
    /// Cancelled when it is of no further use.
    broken: CancellationToken,
}

impl Server {
    fn new(client: Client) -> Self {
        Self { client, state: tokio::sync::Mutex::default() }
    }

    /// The connection to it, which is made if there is none.
    async fn link(&self, inner: &Arc<Inner>) -> Result<Arc<Link>, QueueError> {
        let mut state = self.state.lock().await;
        if let Some(link) = state.link.upgrade().filter(|link| !link.broken.is_cancelled()) {
            return Ok(link);
        }
        if let Some((until, fault)) = &state.closed
            && Instant::now() < *until
        {
            return Err(fault.clone());
        }
        let broken = CancellationToken::new();
        let pushed = {
            let (inner, broken) = (Arc::clone(inner), broken.clone());
            move |push: PushInfo| {
                inner.pushed(&push, &broken);
                Ok::<(), QueueError>(())
            }
        };
        let connecting = Box::pin(Topology::connect_to_hear(&self.client, pushed));
        let connected = match timeout(CONNECT_DEADLINE, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(QueueError::Unreachable("no connection in time".to_owned())),
        };
        let connection = connected.inspect_err(|error| {
            state.closed = Some((Instant::now() + BACKOFF.wait(state.failures), error.clone()));
            state.failures = state.failures.saturating_add(1);
        })?;
        let link = Arc::new(Link { address: address_of(&self.client), connection, broken });
        *state = ServerState { link: Arc::downgrade(&link), closed: None, failures: 0 };
        let watch = keep_alive(Arc::downgrade(&link), link.broken.clone());
        let stop = inner.stop.clone();
        let watch = async move {
            stop.run_until_cancelled(watch).await;
        };
        inner.tasks.spawn_on(watch, &inner.runtime);
        Ok(link)
    }
}

impl Link {
    async fn unsubscribe(&self, channel: &Channel) {
        let mut command = redis::cmd("SUNSUBSCRIBE");
        command.arg(&*channel.name);
        if let Err(error) = command.query_async::<Value>(&mut self.connection.clone()).await {
            tracing::debug!(channel = &*channel.name, %error, "not unsubscribed");
        }
    }
}

/// Asks for signs of life until the connection breaks, or nobody needs it any more.
async fn keep_alive(link: Weak<Link>, broken: CancellationToken) {
    while broken.run_until_cancelled(sleep(PING_INTERVAL)).await.is_some() {
        let Some(link) = link.upgrade() else { return };
        let answer = redis::cmd("PING").query_async::<Value>(&mut link.connection.clone()).await;
        // Any answer is a sign of life.
        if answer.is_err_and(|error| QueueError::from(error).is_away()) {
            broken.cancel();
        }
    }
}
