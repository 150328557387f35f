//! The benchmark's own provider: answers at once or after a set time, and remembers when it received which prompt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use bytes::Bytes;
use tokio::sync::watch;

use crate::jobs::Requests;

/// Connections that may wait to be accepted, and that may be open.
const BACKLOG: u32 = 16_384;
const MOST_CONNECTIONS: usize = 60_000;
/// The largest request that it reads.
const MAX_BODY_BYTES: usize = 64 << 20;

/// When each job's prompt was received, for the jobs of one run.
#[derive(Debug)]
pub(crate) struct Receipts {
    started: Instant,
    /// Nanoseconds after `started`; 0 for not yet.
    first: Vec<AtomicU64>,
    received: AtomicU64,
    again: AtomicU64,
    strangers: AtomicU64,
}

impl Receipts {
    fn new(jobs: u64) -> Self {
        let mut first = Vec::new();
        first.resize_with(usize::try_from(jobs).unwrap_or_default(), AtomicU64::default);
        Self {
            started: Instant::now(),
            first,
            received: AtomicU64::new(0),
            again: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
        }
    }

    fn note(&self, number: Option<u64>) {
        let slot = number.and_then(|number| self.first.get(usize::try_from(number).ok()?));
        let Some(slot) = slot else {
            self.strangers.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
        match slot.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => self.received.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.again.fetch_add(1, Ordering::Relaxed),
        };
    }

    /// When the job of this number was first received.
    pub(crate) fn at(&self, number: u64) -> Option<Instant> {
        let nanos = self.first.get(usize::try_from(number).ok()?)?.load(Ordering::Relaxed);
        (nanos > 0).then(|| self.started + Duration::from_nanos(nanos))
    }

    /// Jobs received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Jobs received once more. The provider never fails, so nothing is retried: each was run twice.
    pub(crate) fn doubled(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    pub(crate) receipts: Arc<Receipts>,
    latency_ms: Arc<AtomicU64>,
    holds: watch::Sender<bool>,
    server: ServerHandle,
    thread: JoinHandle<std::io::Result<()>>,
}

struct Shared {
    requests: Requests,
    receipts: Arc<Receipts>,
    latency_ms: Arc<AtomicU64>,
    holds: watch::Receiver<bool>,
    answer: Bytes,
}

impl Provider {
    /// Starts it, with room for receipts of so many jobs.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(crate) fn start(
        listen: SocketAddr,
        requests: &Requests,
        jobs: u64,
        result_bytes: usize,
    ) -> anyhow::Result<Self> {
        let (receipts, latency_ms) = (Arc::new(Receipts::new(jobs)), Arc::<AtomicU64>::default());
        let (holds, held) = watch::channel(false);
        let shared = web::Data::new(Shared {
            requests: requests.clone(),
            receipts: Arc::clone(&receipts),
            latency_ms: Arc::clone(&latency_ms),
            holds: held,
            answer: completion(result_bytes),
        });
        let app = move || {
            App::new()
                .app_data(shared.clone())
                .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
                .route("/v1/completions", web::post().to(complete))
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("provider".to_owned()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(app)
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
        })?;
        let started = receiver.recv().ok();
        let started = started.and_then(|(addresses, server)| Some((*addresses.first()?, server)));
        let (address, server) =
            started.with_context(|| format!("--provider-listen: cannot listen on {listen}"))?;
        Ok(Self { address, receipts, latency_ms, holds, server, thread })
    }

    /// How long it takes to answer from now on.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.latency_ms.store(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether it answers no call for now.
    pub(crate) fn hold(&self, hold: bool) {
        self.holds.send_replace(hold);
    }

    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
        // It has nothing to tell any more.
        drop(self.thread.join());
    }
}

async fn complete(body: Bytes, shared: web::Data<Shared>) -> HttpResponse {
    shared.receipts.note(shared.requests.number(&body));
    // The sender lives as long as the server.
    shared.holds.clone().wait_for(|holds| !holds).await.ok();
    let latency_ms = shared.latency_ms.load(Ordering::Relaxed);
    if latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
    }
    HttpResponse::Ok().content_type("application/json").body(shared.answer.clone())
}

/// The shortest answer that is a `text_completion`.
pub(crate) const SHORTEST_ANSWER: usize = BEFORE_TEXT.len() + AFTER_TEXT.len();

const BEFORE_TEXT: &str = r#"{"id":"cmpl-hermod-bench","object":"text_completion","created":1730000000,"model":"echo","choices":[{"text":""#;
const AFTER_TEXT: &str = r#"","index":0,"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}"#;

/// A `text_completion` of so many bytes.
pub(crate) fn completion(bytes: usize) -> Bytes {
    let text: String = "words ".chars().cycle().take(bytes.saturating_sub(SHORTEST_ANSWER)).collect();
    format!("{BEFORE_TEXT}{text}{AFTER_TEXT}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_of_its_length() {
        let answer = completion(1024);
        assert_eq!(answer.len(), 1024);
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert!(answer["choices"][0]["text"].as_str().unwrap().len() > 500);
    }
}
