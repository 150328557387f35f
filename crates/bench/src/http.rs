//! The cheapest client that is still a library's: one HTTP/1.1 connection, driven by whoever waits for its answer.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::net::TcpStream;

#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    host: HeaderValue,
    jobs: String,
}

impl Target {
    /// The API at `url`.
    ///
    /// # Errors
    /// If it is not `http://`, or its host has no address.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let parsed: Url = url.parse().with_context(|| format!("{url} is no URL"))?;
        if parsed.scheme() != "http" {
            bail!("{url}: expected http://; TLS would be what is measured");
        }
        let host = parsed.host_str().context("the URL has no host")?;
        let port = parsed.port_or_known_default().unwrap_or(80);
        let address = (host.trim_matches(['[', ']']), port).to_socket_addrs();
        let address = address.with_context(|| format!("{host} is not known"))?.next();
        Ok(Self {
            address: address.with_context(|| format!("{host} has no address"))?,
            host: HeaderValue::from_str(&format!("{host}:{port}"))?,
            jobs: format!("{}/v1/async/completions", parsed.path().trim_end_matches('/')),
        })
    }

    pub(crate) fn submit(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = self.request(Method::POST, &self.jobs, Full::new(body));
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    pub(crate) fn poll(&self, id: impl std::fmt::Display) -> Request<Full<Bytes>> {
        self.request(Method::GET, &format!("{}/{id}", self.jobs), Full::default())
    }

    fn request(&self, method: Method, path: &str, body: Full<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        // A path of our own making is always one.
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(HOST, self.host.clone());
        request
    }

    /// # Errors
    /// If there is none to be had.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("nothing listens on {}", self.address))?;
        stream.set_nodelay(true)?;
        let (sender, io) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Connection { sender, io })
    }
}

/// One connection, with one request at a time.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    io: http1::Connection<TokioIo<TcpStream>, Full<Bytes>>,
}

impl Connection {
    /// Sends a request, and reads its answer to the end.
    ///
    /// # Errors
    /// If the connection breaks; it is of no use then.
    pub(crate) async fn call(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let sender = &mut self.sender;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::select! {
            biased;
            answer = exchange => answer,
            ended = &mut self.io => {
                ended?;
                bail!("the connection was closed before the answer")
            }
        }
    }
}
