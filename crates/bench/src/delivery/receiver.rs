//! Who is told by webhooks: answers each delivery at once with 204, over connections that stay.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::web::ServiceConfig;
use actix_web::{HttpRequest, HttpResponse, web};
use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::http_server::OwnServer;
use crate::progress::progress;

/// The largest delivery that it reads.
const MAX_BODY_BYTES: usize = 64 << 20;
/// With no further delivery for so long, something is wrong.
const STALL: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(2);
/// For the fleet: more than a worker has on its way at once.
const MOST_AT_ONCE: u32 = 100_000;
/// Names of the two endpoints that lead here: without and with the job's result.
pub(super) const PLAIN: &str = "plain";
pub(super) const WITH_RESULT: &str = "with-result";

#[derive(Debug, Default)]
struct Seen {
    ids: Mutex<HashSet<Box<str>>>,
    delivered: AtomicU64,
    again: AtomicU64,
    /// Without id or signature, or with no object as its body.
    wrong: AtomicU64,
    bytes: AtomicU64,
    last: Mutex<Option<Instant>>,
}

#[derive(Debug)]
pub(super) struct Receiver {
    seen: Arc<Seen>,
    server: OwnServer,
}

impl Receiver {
    /// # Errors
    /// If it cannot listen.
    pub(super) fn start() -> anyhow::Result<Self> {
        let seen = Arc::<Seen>::default();
        let shared = web::Data::from(Arc::clone(&seen));
        let routes = move |app: &mut ServiceConfig| {
            app.app_data(shared.clone())
                .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
                .default_service(web::post().to(take));
        };
        let server = OwnServer::start("receiver", ([127, 0, 0, 1], 0).into(), routes);
        Ok(Self { seen, server: server.context("a receiver of webhooks cannot listen")? })
    }

    /// Its endpoints, as they stand in config.json.
    pub(super) fn endpoints(&self) -> Vec<Value> {
        let endpoint = |name: &str, include_response: bool| {
            json!({
                "name": name,
                "url": format!("http://{}/{name}", self.server.address),
                "events": ["async_job.completed", "async_job.failed"],
                "secret": "whsec_aGVybW9kLWJlbmNoLWhlcm1vZC1iZW5jaC1oZXJtb2Q=",
                "include_response": include_response,
                "max_concurrent_deliveries": MOST_AT_ONCE,
                "allow_private_network": true,
            })
        };
        vec![endpoint(PLAIN, false), endpoint(WITH_RESULT, true)]
    }

    /// Different deliveries so far.
    pub(super) fn delivered(&self) -> u64 {
        self.seen.delivered.load(Ordering::Relaxed)
    }

    /// Those that came once more: it has taken each the first time.
    pub(super) fn again(&self) -> u64 {
        self.seen.again.load(Ordering::Relaxed)
    }

    /// Bytes of all bodies so far.
    pub(super) fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::Relaxed)
    }

    /// When the last one came.
    pub(super) fn last(&self) -> Option<Instant> {
        *self.seen.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there were so many in all.
    ///
    /// # Errors
    /// If none comes any more, or one was not as it must be.
    pub(super) async fn wait_for(&self, what: &str, wanted: u64) -> anyhow::Result<()> {
        let wait = async {
            let (mut last, mut since) = (0, Instant::now());
            loop {
                let (delivered, wrong) = (self.delivered(), self.seen.wrong.load(Ordering::Relaxed));
                if wrong > 0 {
                    bail!("{wrong} deliveries have no id, no signature or no object as their body");
                }
                if delivered >= wanted {
                    return Ok(());
                }
                if delivered > last {
                    (last, since) = (delivered, Instant::now());
                }
                if since.elapsed() > STALL {
                    bail!("{delivered} of {wanted} deliveries came, and none more for {STALL:?}");
                }
                sleep(TICK).await;
            }
        };
        progress(|| format!("{what}: {} of {wanted}", self.delivered()), wait).await
    }

    pub(super) async fn stop(self) {
        self.server.stop().await;
    }
}

async fn take(request: HttpRequest, body: Bytes, seen: web::Data<Seen>) -> HttpResponse {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let is_signed = header("webhook-signature").is_some_and(|signature| signature.starts_with("v1,"));
    match header("webhook-id").filter(|_| is_signed && body.starts_with(b"{")) {
        Some(id) => {
            let is_new = seen.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id.into());
            let count = if is_new { &seen.delivered } else { &seen.again };
            count.fetch_add(1, Ordering::Relaxed);
        }
        None => {
            seen.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }
    seen.bytes.fetch_add(u64::try_from(body.len()).unwrap_or_default(), Ordering::Relaxed);
    *seen.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    HttpResponse::NoContent().finish()
}
