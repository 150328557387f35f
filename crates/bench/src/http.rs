//! The cheapest client that is still a library's: one HTTP/1.1 connection, driven by whoever waits for its answer.

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::ControlFlow;

use anyhow::{Context, bail};
use bytes::Bytes;
use hermod_types::Operation;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::net::TcpStream;

#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    host: HeaderValue,
    /// What stands before each path.
    prefix: String,
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
        let prefix = parsed.path().trim_end_matches('/').to_owned();
        Ok(Self {
            address: address.with_context(|| format!("{host} has no address"))?,
            host: HeaderValue::from_str(&format!("{host}:{port}"))?,
            jobs: path(&prefix, Operation::TextCompletion),
            prefix,
        })
    }

    /// The same API's other endpoint.
    pub(crate) fn at(&self, operation: Operation) -> Self {
        Self { jobs: path(&self.prefix, operation), ..self.clone() }
    }

    pub(crate) fn submit(&self, body: Bytes) -> Request<Full<Bytes>> {
        self.post(HeaderValue::from_static("application/json"), Full::new(body))
    }

    pub(crate) fn post<B>(&self, content_type: HeaderValue, body: B) -> Request<B> {
        let mut request = self.request(Method::POST, &self.jobs, body);
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        request
    }

    pub(crate) fn poll(&self, id: impl std::fmt::Display) -> Request<Full<Bytes>> {
        self.request(Method::GET, &format!("{}/{id}", self.jobs), Full::default())
    }

    /// A poll that waits for the end.
    pub(crate) fn wait(&self, id: impl std::fmt::Display) -> Request<Full<Bytes>> {
        let mut request = self.poll(id);
        request.headers_mut().insert("prefer", HeaderValue::from_static("wait=60"));
        request
    }

    /// What is told of a job, until it has ended.
    pub(crate) fn events(&self, id: impl std::fmt::Display) -> Request<Full<Bytes>> {
        let path = format!("{}/{id}/events", self.jobs);
        let mut request = self.request(Method::GET, &path, Full::default());
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        request
    }

    fn request<B>(&self, method: Method, path: &str, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        // A path of our own making is always one.
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(HOST, self.host.clone());
        request
    }

    /// # Errors
    /// If there is none to be had.
    pub(crate) async fn connect<B>(&self) -> anyhow::Result<Connection<B>>
    where
        B: Body + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("nothing listens on {}", self.address))?;
        stream.set_nodelay(true)?;
        let (sender, io) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Connection { sender, io })
    }
}

fn path(prefix: &str, operation: Operation) -> String {
    format!("{prefix}/v1/async/{}", operation.path())
}

/// One connection, with one request at a time.
pub(crate) struct Connection<B: Body + 'static = Full<Bytes>> {
    sender: SendRequest<B>,
    io: http1::Connection<TokioIo<TcpStream>, B>,
}

impl<B> Connection<B>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Sends a request, and reads its answer to the end.
    ///
    /// # Errors
    /// If the connection breaks; it is of no use then.
    pub(crate) async fn call(&mut self, request: Request<B>) -> anyhow::Result<(StatusCode, Bytes)> {
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

    /// Sends a request, and hands on each piece of the answer's body until `piece` has had enough of it, or it ends.
    ///
    /// # Errors
    /// If the connection breaks. It is of no use afterwards, either.
    pub(crate) async fn stream(
        &mut self,
        request: Request<B>,
        mut piece: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> anyhow::Result<StatusCode> {
        let sender = &mut self.sender;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (status, mut body) = (response.status(), response.into_body());
            while let Some(frame) = body.frame().await {
                if frame?.data_ref().is_some_and(|data| piece(data).is_break()) {
                    break;
                }
            }
            anyhow::Ok(status)
        };
        tokio::select! {
            biased;
            status = exchange => status,
            ended = &mut self.io => {
                ended?;
                bail!("the connection was closed before the end of the answer")
            }
        }
    }
}
