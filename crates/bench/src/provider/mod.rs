//! The benchmark's own provider: answers at once or after a set time, and remembers when it received which prompt. It takes text
//! completions, chat in five forms, speech and transcriptions.

mod answers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::web::ServiceConfig;
use actix_web::{HttpResponse, Route, web};
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

pub(crate) use answers::{SHORTEST_ANSWER, audio, completion};

use crate::http_server::OwnServer;
use crate::jobs::{MARK_WITHIN, Requests};

/// The largest request that it reads as a whole.
const MAX_BODY_BYTES: usize = 64 << 20;
const JSON: &str = "application/json";

/// When each job's prompt was received, for the jobs of one run.
#[derive(Debug)]
pub(crate) struct Receipts {
    started: Instant,
    /// Nanoseconds after `started`; 0 for not yet.
    first: Vec<AtomicU64>,
    answered: Vec<AtomicU64>,
    received: AtomicU64,
    again: AtomicU64,
    strangers: AtomicU64,
    /// Bytes of forms.
    uploaded: AtomicU64,
}

impl Receipts {
    fn new(jobs: u64) -> Self {
        let empty = || {
            let mut slots = Vec::new();
            slots.resize_with(usize::try_from(jobs).unwrap_or_default(), AtomicU64::default);
            slots
        };
        Self {
            started: Instant::now(),
            first: empty(),
            answered: empty(),
            received: AtomicU64::new(0),
            again: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            uploaded: AtomicU64::new(0),
        }
    }

    fn note(&self, number: Option<u64>) {
        let Some(slot) = slot(&self.first, number) else {
            self.strangers.fetch_add(1, Ordering::Relaxed);
            return;
        };
        match slot.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => self.received.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.again.fetch_add(1, Ordering::Relaxed),
        };
    }

    /// Called just before the answer is sent.
    fn note_answer(&self, number: Option<u64>) {
        if let Some(slot) = slot(&self.answered, number) {
            slot.store(self.now(), Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    fn instant(&self, slots: &[AtomicU64], number: u64) -> Option<Instant> {
        let nanos = slot(slots, Some(number))?.load(Ordering::Relaxed);
        (nanos > 0).then(|| self.started + Duration::from_nanos(nanos))
    }

    /// When the job of this number was first received.
    pub(crate) fn at(&self, number: u64) -> Option<Instant> {
        self.instant(&self.first, number)
    }

    /// When it was last answered.
    pub(crate) fn answered_at(&self, number: u64) -> Option<Instant> {
        self.instant(&self.answered, number)
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

fn slot(slots: &[AtomicU64], number: Option<u64>) -> Option<&AtomicU64> {
    slots.get(usize::try_from(number?).ok()?)
}

/// Which calls it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    All,
    /// As many as [`Provider::answer_more`] has said.
    Some,
    None,
}

#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    pub(crate) receipts: Arc<Receipts>,
    latency_ms: Arc<AtomicU64>,
    answers: watch::Sender<Answers>,
    permits: Arc<Semaphore>,
    server: OwnServer,
}

struct Shared {
    requests: Requests,
    receipts: Arc<Receipts>,
    latency_ms: Arc<AtomicU64>,
    answers: watch::Receiver<Answers>,
    permits: Arc<Semaphore>,
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
        let ((answers, answered), permits) = (watch::channel(Answers::All), Arc::new(Semaphore::new(0)));
        let shared = web::Data::new(Shared {
            requests: requests.clone(),
            receipts: Arc::clone(&receipts),
            latency_ms: Arc::clone(&latency_ms),
            answers: answered,
            permits: Arc::clone(&permits),
        });
        let mut bodies = vec![
            ("/v1/completions", JSON, completion(result_bytes)),
            ("/v1/audio/speech", "audio/mpeg", audio(speech_bytes)),
        ];
        bodies.extend(answers::chats(result_bytes).map(|(path, answer)| (path, JSON, answer)));
        let routes = move |app: &mut ServiceConfig| {
            app.app_data(shared.clone())
                .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
                .route("/v1/audio/transcriptions", web::post().to(transcribe));
            for (path, content_type, answer) in &bodies {
                app.route(path, answers_with(content_type, answer.clone()));
            }
        };
        let server = OwnServer::start("provider", listen, routes)
            .with_context(|| format!("--provider-listen: cannot listen on {listen}"))?;
        Ok(Self { address: server.address, receipts, latency_ms, answers, permits, server })
    }

    /// How long it takes to answer from now on.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.latency_ms.store(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Which calls it answers from now on.
    pub(crate) fn answer(&self, answers: Answers) {
        self.answers.send_replace(answers);
    }

    /// What lets it answer one more call each time, with [`Answers::Some`].
    pub(crate) fn answer_more(&self) -> impl Fn() + Send + 'static {
        let permits = Arc::clone(&self.permits);
        move || permits.add_permits(1)
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

/// Notes whose prompt it is, and answers each with the same.
fn answers_with(content_type: &'static str, answer: Bytes) -> Route {
    web::post().to(move |body: Bytes, shared: web::Data<Shared>| {
        let answer = answer.clone();
        async move {
            let number = shared.requests.number(&body);
            shared.receipts.note(number);
            shared.wait().await;
            shared.receipts.note_answer(number);
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
    let number = shared.requests.number(&head);
    shared.receipts.note(number);
    shared.wait().await;
    shared.receipts.note_answer(number);
    HttpResponse::Ok().content_type(JSON).body(r#"{"text":"words"}"#)
}

impl Shared {
    /// Returns when it is time to answer.
    async fn wait(&self) {
        let mut answers = self.answers.clone();
        loop {
            let now = *answers.borrow_and_update();
            let permit = async {
                match now {
                    Answers::All => {}
                    // It is never closed.
                    Answers::Some => {
                        self.permits.acquire().await.into_iter().for_each(SemaphorePermit::forget);
                    }
                    Answers::None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = permit => break,
                // The sender lives as long as the server.
                _ = answers.changed() => {}
            }
        }
        let latency_ms = self.latency_ms.load(Ordering::Relaxed);
        if latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        }
    }
}
