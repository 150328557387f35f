use std::collections::VecDeque;
use std::fmt;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{PATIENCE, eventually_ok};

/// What deliveries to a [`Receiver`] are signed with, unless it is told otherwise.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver of webhooks, which verifies each delivery as any receiver would. It has a thread of its own, so that a test that keeps
/// its thread does not hold it up.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where deliveries go.
    pub url: String,
    secret: String,
    state: Arc<Mutex<State>>,
}

/// A delivery that was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its `webhook-id`.
    pub id: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
    /// The same as it came.
    pub raw: Bytes,
    /// Its path.
    pub path: String,
    /// When it came.
    pub at: Instant,
}

/// What a receiver does with a delivery.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// Answers with this status.
    Answer(u16),
    /// The same with a header.
    AnswerWith(u16, &'static str, String),
    /// Answers with 204 after this time.
    AnswerAfter(Duration),
    /// Never answers.
    Hang,
    /// Answers with 500, a byte of the body each 100 ms, without end.
    Drip,
    /// Closes the connection.
    Close,
}

struct State {
    received: Vec<Received>,
    /// What was wrong with some of them.
    wrong: Vec<String>,
    next: VecDeque<Reaction>,
    then: Decision,
    open: usize,
    most_open: usize,
}

type Decision = Box<dyn FnMut(&Received) -> Reaction + Send>;

impl fmt::Debug for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, wrong, next, then: _, open, most_open } = self;
        out.debug_struct("State")
            .field("received", received)
            .field("wrong", wrong)
            .field("next", next)
            .field("open", open)
            .field("most_open", most_open)
            .finish_non_exhaustive()
    }
}

impl Received {
    /// A header as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Its `webhook-timestamp`: seconds since the epoch.
    pub fn timestamp(&self) -> u64 {
        self.header("webhook-timestamp").parse().unwrap()
    }
}

impl Receiver {
    /// Starts one that answers with 204. It ends with the process.
    pub fn start() -> Self {
        Self::with_secret(SECRET)
    }

    /// The same, of which deliveries are signed with another secret.
    pub fn with_secret(secret: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = State {
            received: Vec::new(),
            wrong: Vec::new(),
            next: VecDeque::new(),
            then: Box::new(|_| Reaction::Answer(204)),
            open: 0,
            most_open: 0,
        };
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            secret: secret.to_owned(),
            state: Arc::new(Mutex::new(state)),
        };
        let own = receiver.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::Builder::new()
            .name("receiver".to_owned())
            .spawn(move || {
                runtime.block_on(accept(listener, move |stream| {
                    let own = own.clone();
                    async move { own.serve(stream).await }
                }));
            })
            .unwrap();
        receiver
    }

    /// Itself as an endpoint of `config.json` that takes all events, with these members besides.
    pub fn endpoint(&self, name: &str, more: Value) -> Value {
        let mut endpoint = json!({
            "name": name,
            "url": self.url,
            "secret": self.secret,
            "events": ["async_job.completed", "async_job.failed", "async_job.cancelled"],
            "allow_private_network": true,
        });
        let Value::Object(more) = more else { panic!("members") };
        endpoint.as_object_mut().unwrap().extend(more);
        endpoint
    }

    /// What it does from now on.
    pub fn reacts(&self, then: Reaction) {
        self.decides(move |_| then.clone());
    }

    /// What decides from now on what it does with each delivery.
    pub fn decides(&self, then: impl FnMut(&Received) -> Reaction + Send + 'static) {
        let mut state = self.state.lock().unwrap();
        state.next.clear();
        state.then = Box::new(then);
    }

    /// What it does with the next deliveries before that.
    pub fn reacts_first(&self, next: impl IntoIterator<Item = Reaction>) {
        self.state.lock().unwrap().next.extend(next);
    }

    /// What has come, in its order. All of it was signed as it should be.
    pub fn received(&self) -> Vec<Received> {
        let state = self.state.lock().unwrap();
        assert!(state.wrong.is_empty(), "{:#?}", state.wrong);
        state.received.clone()
    }

    /// Waits until at least so many have come.
    pub async fn receives(&self, deliveries: usize) -> Vec<Received> {
        eventually_ok(&format!("{deliveries} deliveries"), PATIENCE, async || {
            let received = self.received();
            if received.len() >= deliveries { Ok(received) } else { Err(format!("but {}", received.len())) }
        })
        .await
    }

    /// The most deliveries that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.state.lock().unwrap().most_open
    }

    /// Deliveries that are under way.
    pub fn at_once(&self) -> usize {
        self.state.lock().unwrap().open
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let Some((path, headers, body)) = read_request(&mut stream, &mut buffer).await? else {
                return Ok(());
            };
            let reaction = self.note(path, headers, &body);
            let outcome = react(&mut stream, reaction).await;
            self.state.lock().unwrap().open -= 1;
            if !outcome? {
                return Ok(());
            }
        }
    }

    fn note(&self, path: String, headers: HeaderMap, body: &Bytes) -> Reaction {
        let verified = Webhook::new(&self.secret).unwrap().verify(body, &headers);
        let raw = body.clone();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut state = self.state.lock().unwrap();
        if let Err(error) = verified {
            state.wrong.push(format!("{error}: {headers:?} {body}"));
        }
        let id = headers.get("webhook-id").map_or("", |id| id.to_str().unwrap()).to_owned();
        let received = Received { id, headers, body, raw, path, at: Instant::now() };
        let reaction = match state.next.pop_front() {
            Some(reaction) => reaction,
            None => (state.then)(&received),
        };
        state.received.push(received);
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        reaction
    }
}

/// Serves each connection of a listener, until the runtime ends.
pub(crate) async fn accept<F: Future<Output = std::io::Result<()>> + Send + 'static>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let serving = serve(stream);
        // What a client breaks off is nobody's matter.
        connections.spawn(async move { serving.await.ok() });
        while connections.try_join_next().is_some() {}
    }
}

/// The next request of a connection: path, headers and body; none after the last.
pub(crate) async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<(String, HeaderMap, Bytes)>> {
    const END: &[u8] = b"\r\n\r\n";
    let head = loop {
        if let Some(at) = buffer.windows(END.len()).position(|window| window == END) {
            break at + END.len();
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8(buffer.drain(..head).collect()).unwrap();
    let mut lines = text.trim_end().lines();
    let request = lines.next().unwrap();
    let path = request.strip_prefix("POST ").and_then(|rest| rest.split(' ').next());
    let path = path.unwrap_or_else(|| panic!("{request}")).to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
    };
    let headers: HeaderMap = lines.map(header).collect();
    let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((path, headers, buffer.drain(..length).collect())))
}

/// Whether the connection can be used again.
async fn react(stream: &mut TcpStream, reaction: Reaction) -> std::io::Result<bool> {
    let answer = |status: u16, header: &str| {
        let body = if status == 204 { String::new() } else { format!("this is the answer {status}") };
        let length =
            if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        format!("HTTP/1.1 {status} X\r\n{length}{header}\r\n{body}")
    };
    match reaction {
        Reaction::Answer(status) => stream.write_all(answer(status, "").as_bytes()).await?,
        Reaction::AnswerWith(status, name, value) => {
            stream.write_all(answer(status, &format!("{name}: {value}\r\n")).as_bytes()).await?;
        }
        Reaction::AnswerAfter(time) => {
            tokio::time::sleep(time).await;
            stream.write_all(answer(204, "").as_bytes()).await?;
        }
        Reaction::Hang => {
            // Until the client closes.
            while stream.read(&mut [0; 64]).await? > 0 {}
            return Ok(false);
        }
        Reaction::Drip => {
            stream.write_all(b"HTTP/1.1 500 X\r\ncontent-length: 1000000\r\n\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Reaction::Close => return Ok(false),
    }
    Ok(true)
}
