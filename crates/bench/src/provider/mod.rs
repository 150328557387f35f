//! The benchmark's own provider: answers at once or after a set time, and remembers when it received which prompt. It takes text
//! completions, chat in five forms, speech and transcriptions.

mod answers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, Route, web};
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::watch;

pub(crate) use answers::{SHORTEST_ANSWER, audio, completion};

use crate::jobs::{MARK_WITHIN, Requests};

/// Connections that may wait to be accepted, and that may be open.
const BACKLOG: u32 = 16_384;
const MOST_CONNECTIONS: usize = 60_000;
/// The largest request that it reads as a whole.
const MAX_BODY_BYTES: usize = 64 << 20;
const JSON: &str = "application/json";

/// When each job's prompt was received, for the jobs of one run.
#[derive(Debug)]
pub(crate) struct Receipts {
    started: Instant,
    /// Nanoseconds after `started`; 0 for not yet.
    first: Vec<AtomicU64>,
    received: AtomicU64,
    again: AtomicU64,
    strangers: AtomicU64,
    /// Bytes of forms.
    uploaded: AtomicU64,
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
            uploaded: AtomicU64::new(0),
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

    /// Bytes of all forms received so far, with what is around their files.
    pub(crate) fn uploaded(&self) -> u64 {
        self.uploaded.load(Ordering::Relaxed)
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
}

impl Provider {
    /// Starts it, with room for receipts of so many jobs. Its answers have `result_bytes`, and its speech `speech_bytes`.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(crate) fn start(
        listen: SocketAddr,
        requests: &Requests,
        jobs: u64,
        result_bytes: usize,
        speech_bytes: usize,
    ) -> anyhow::Result<Self> {
        let (receipts, latency_ms) = (Arc::new(Receipts::new(jobs)), Arc::<AtomicU64>::default());
        let (holds, held) = watch::channel(false);
        let shared = web::Data::new(Shared {
            requests: requests.clone(),
            receipts: Arc::clone(&receipts),
            latency_ms: Arc::clone(&latency_ms),
            holds: held,
        });
        let mut answers = vec![
            ("/v1/completions", JSON, completion(result_bytes)),
            ("/v1/audio/speech", "audio/mpeg", audio(speech_bytes)),
        ];
        answers.extend(answers::chats(result_bytes).map(|(path, answer)| (path, JSON, answer)));
        let app = move || {
            let app = App::new()
                .app_data(shared.clone())
                .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
                .route("/v1/audio/transcriptions", web::post().to(transcribe));
            answers.iter().fold(app, |app, (path, content_type, answer)| {
                app.route(path, answers_with(content_type, answer.clone()))
            })
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

/// Notes whose prompt it is, and answers each with the same.
fn answers_with(content_type: &'static str, answer: Bytes) -> Route {
    web::post().to(move |body: Bytes, shared: web::Data<Shared>| {
        let answer = answer.clone();
        async move {
            shared.receipts.note(shared.requests.number(&body));
            shared.wait().await;
            HttpResponse::Ok().content_type(content_type).body(answer)
        }
    })
}

/// Reads a form to its end, and keeps none of it.
async fn transcribe(mut body: web::Payload, shared: web::Data<Shared>) -> HttpResponse {
    let (mut head, mut bytes) = (BytesMut::new(), 0);
    while let Some(chunk) = body.next().await {
        let Ok(chunk) = chunk else { return HttpResponse::BadRequest().finish() };
        bytes += u64::try_from(chunk.len()).unwrap_or_default();
        head.extend(chunk.iter().take(MARK_WITHIN.saturating_sub(head.len())));
    }
    shared.receipts.uploaded.fetch_add(bytes, Ordering::Relaxed);
    shared.receipts.note(shared.requests.number(&head));
    shared.wait().await;
    HttpResponse::Ok().content_type(JSON).body(r#"{"text":"words"}"#)
}

impl Shared {
    /// Returns when it is time to answer.
    async fn wait(&self) {
        // The sender lives as long as the server.
        self.holds.clone().wait_for(|holds| !holds).await.ok();
        let latency_ms = self.latency_ms.load(Ordering::Relaxed);
        if latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        }
    }
}
