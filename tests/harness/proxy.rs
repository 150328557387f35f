use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// A proxy between our processes and Redis, which can cut and delay what goes through it.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: String,
    /// Counts up with each cut: who carries an older number ends.
    cuts: Arc<watch::Sender<u64>>,
    delay_ms: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts one in front of a Unix socket, which need not be there yet.
    pub async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            cuts: Arc::new(watch::channel(0).0),
            delay_ms: Arc::default(),
        };
        let (cuts, delay_ms) = (Arc::clone(&proxy.cuts), Arc::clone(&proxy.delay_ms));
        spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut cut, delay_ms, socket) = (cuts.subscribe(), Arc::clone(&delay_ms), socket.clone());
                spawn(async move {
                    tokio::select! {
                        () = carry(client, socket, delay_ms) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        proxy
    }

    /// Ends all connections that go through it.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Delays each piece of data by so long, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "it ends with the runtime of the test")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

async fn carry(client: TcpStream, socket: PathBuf, delay_ms: Arc<AtomicU64>) {
    let Ok(server) = UnixStream::connect(socket).await else { return };
    client.set_nodelay(true).ok();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    // Either side's end is the end of both.
    tokio::select! {
        () = copy(&mut from_client, &mut to_server, &delay_ms) => {}
        () = copy(&mut from_server, &mut to_client, &delay_ms) => {}
    }
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), delay_ms: &AtomicU64) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let delay = delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
