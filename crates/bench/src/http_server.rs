use std::net::SocketAddr;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};

/// Connections that may wait to be accepted, and that may be open.
const BACKLOG: u32 = 16_384;
const MOST_CONNECTIONS: usize = 60_000;

/// An HTTP server of the benchmark's own, on a thread of its own.
#[derive(Debug)]
pub(crate) struct OwnServer {
    pub(crate) address: SocketAddr,
    server: ServerHandle,
    thread: JoinHandle<std::io::Result<()>>,
}

impl OwnServer {
    /// Starts it; none if it cannot listen.
    pub(crate) fn start(
        name: &str,
        listen: SocketAddr,
        routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> Option<Self> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let serve = move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || App::new().configure(&routes))
                    .workers(1)
                    .backlog(BACKLOG)
                    .max_connections(MOST_CONNECTIONS)
                    .disable_signals()
                    .shutdown_timeout(0)
                    .bind(listen)?;
                let addresses = server.addrs();
                let server = server.run();
                drop(sender.send((addresses, server.handle())));
                server.await
            })
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(serve).ok()?;
        let (addresses, server) = receiver.recv().ok()?;
        Some(Self { address: *addresses.first()?, server, thread })
    }

    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
        // It has nothing to tell any more.
        drop(self.thread.join());
    }
}
