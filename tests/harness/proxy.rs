use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex, watch};

/// A link to Redis, which can be cut, delayed, narrowed and blocked. It has a thread of its own, so that a test that keeps
/// its thread does not hold up the link.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: String,
    /// Counts up with each cut: who carries an older number ends.
    cuts: Arc<watch::Sender<u64>>,
    state: Arc<watch::Sender<State>>,
    /// Held while a piece of data takes its time on a narrow link: all connections share it.
    wire: Arc<Mutex<()>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    delay_to_redis: Duration,
    delay_from_redis: Duration,
    bytes_a_second: Option<u32>,
    blocked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToRedis,
    FromRedis,
}

impl Proxy {
    /// Starts one in front of a Unix socket, which need not be there yet. It ends with the process.
    pub fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            cuts: Arc::new(watch::channel(0).0),
            state: Arc::new(watch::channel(State::default()).0),
            wire: Arc::default(),
        };
        let own = proxy.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(own.accept(listener, socket)))
            .unwrap();
        proxy
    }

    async fn accept(self, listener: TcpListener, socket: PathBuf) {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (proxy, socket) = (self.clone(), socket.clone());
            let mut cut = self.cuts.subscribe();
            connections.spawn(async move {
                tokio::select! {
                    () = proxy.carry(client, socket) => {}
                    _ = cut.changed() => {}
                }
            });
            while connections.try_join_next().is_some() {}
        }
    }

    /// Ends all connections that go through it.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Delays each piece of data by so long, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| (state.delay_to_redis, state.delay_from_redis) = (delay, delay));
    }

    /// The same on the way to Redis only.
    pub fn delay_to_redis(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay_to_redis = delay);
    }

    /// The same on the way from Redis only.
    pub fn delay_from_redis(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay_from_redis = delay);
    }

    /// Carries so many bytes a second, all connections and both directions together; without end for none.
    pub fn narrow(&self, bytes_a_second: Option<u32>) {
        self.state.send_modify(|state| state.bytes_a_second = bytes_a_second);
    }

    /// Carries nothing while `blocked`; connections stay, as with a network that loses everything.
    pub fn block(&self, blocked: bool) {
        self.state.send_modify(|state| state.blocked = blocked);
    }

    async fn carry(&self, client: TcpStream, socket: PathBuf) {
        let Ok(server) = UnixStream::connect(socket).await else { return };
        client.set_nodelay(true).ok();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        // Either side's end is the end of both.
        tokio::select! {
            () = self.copy(&mut from_client, &mut to_server, Direction::ToRedis) => {}
            () = self.copy(&mut from_server, &mut to_client, Direction::FromRedis) => {}
        }
    }

    async fn copy(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        direction: Direction,
    ) {
        let mut buffer = vec![0; 1 << 16];
        let mut states = self.state.subscribe();
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let Ok(state) = states.wait_for(|state| !state.blocked).await.map(|state| *state) else { return };
            let delay = match direction {
                Direction::ToRedis => state.delay_to_redis,
                Direction::FromRedis => state.delay_from_redis,
            };
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if let Some(bytes_a_second) = state.bytes_a_second {
                let _wire = self.wire.lock().await;
                let seconds = u32::try_from(length).unwrap_or(u32::MAX);
                tokio::time::sleep(Duration::from_secs(1) * seconds / bytes_a_second).await;
            }
            if to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    }
}
