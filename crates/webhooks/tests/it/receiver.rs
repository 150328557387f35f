//! A receiver that does what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// `POST /path HTTP/1.1`.
    pub(crate) line: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What it does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Answers with these bytes; the connection can be used again.
    Answers(String),
    /// Answers with these bytes and closes the connection.
    AnswersAndCloses(String),
    /// Answers with these bytes, then with one more of these again and again, each after a while.
    Drips(String, &'static str),
    /// The same without a pause.
    Floods(String, &'static str),
    /// Never answers.
    Hangs,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    /// Connections that were taken, and those that ended.
    connections: watch::Sender<(usize, usize)>,
}

/// An answer with this status line's end, further headers, and this body.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

impl Receiver {
    pub(crate) async fn start(does: Does) -> Self {
        Self::listen(does, None).await
    }

    /// With TLS, and its certificate, which is for `hook.example` and 127.0.0.1.
    pub(crate) async fn start_tls(does: Does) -> (Self, Vec<u8>) {
        let names = vec!["hook.example".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let receiver = Self::listen(does, Some(TlsAcceptor::from(Arc::new(config)))).await;
        (receiver, made.cert.pem().into_bytes())
    }

    async fn listen(does: Does, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver = Self { port, received: Arc::default(), connections: watch::Sender::default() };
        let taken = receiver.clone();
        // All of it ends with the test's runtime.
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                taken.connections.send_modify(|(begun, _)| *begun += 1);
                let (taken, does, tls) = (taken.clone(), does.clone(), tls.clone());
                tasks.spawn(async move {
                    match tls {
                        None => taken.serve(stream, does).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                taken.serve(stream, does).await;
                            }
                        }
                    }
                    taken.connections.send_modify(|(_, ended)| *ended += 1);
                });
            }
        });
        receiver
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin, does: Does) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream).await {
            self.received.lock().unwrap().push(request);
            match &does {
                Does::Answers(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                Does::AnswersAndCloses(answer) => {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    return stream.shutdown().await.unwrap_or_default();
                }
                Does::Drips(beginning, again) | Does::Floods(beginning, again) => {
                    stream.write_all(beginning.as_bytes()).await.unwrap();
                    // Until the other side has had enough.
                    while stream.write_all(again.as_bytes()).await.is_ok() {
                        stream.flush().await.unwrap_or_default();
                        if matches!(does, Does::Drips(..)) {
                            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                        }
                    }
                    return;
                }
                Does::Hangs => {}
            }
            stream.flush().await.unwrap();
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        self.connections.borrow().0
    }

    /// Waits until each connection has ended.
    pub(crate) async fn until_all_have_ended(&self) {
        let mut connections = self.connections.subscribe();
        connections.wait_for(|(begun, ended)| begun == ended).await.unwrap();
    }
}

/// The next request of a connection; none at its end.
async fn read(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Received> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        let twice = headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        assert!(twice.is_none(), "{name} is sent twice");
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { line: line.trim_end().to_owned(), headers, body: String::from_utf8(body).unwrap() })
}
