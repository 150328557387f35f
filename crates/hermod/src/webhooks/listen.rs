//! A receiver that prints what it receives.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use clap::{Args, value_parser};
use hermod_types::Timestamp;
use hermod_types::webhook::SigningSecret;
use lru::LruCache;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;
use standardwebhooks::Webhook;

use super::login::secret;
use crate::client::print;

/// The largest delivery that is read.
const LARGEST_BODY: usize = 256 << 20;
/// Deliveries that are known when they come again.
const KNOWN: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// `hermod webhooks listen`
#[derive(Args, Clone, Debug)]
pub(super) struct Listen {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8400", value_name = "ADDRESS")]
    listen: String,
    /// The endpoint's secret, `whsec_…`; without it nothing is verified.
    #[arg(
        long,
        env = "HERMOD_WEBHOOK_SECRET",
        hide_env_values = true,
        value_parser = secret,
        value_name = "SECRET"
    )]
    secret: Option<SecretString>,
    /// The status to answer with, such as 503 to see what follows.
    #[arg(long, default_value_t = 204, value_parser = value_parser!(u16).range(200..=599), value_name = "STATUS")]
    answer: u16,
}

struct Receiver {
    /// None where nothing is verified.
    webhook: Option<Webhook>,
    answer: StatusCode,
    /// Print bodies alone.
    json: bool,
    /// The `webhook-id` of what has come.
    known: Mutex<LruCache<String, ()>>,
}

impl Listen {
    /// Runs until Ctrl-C.
    ///
    /// # Errors
    /// If the secret is none, or the address cannot be listened on.
    pub(super) fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let webhook = self.secret.as_ref().map(|secret| {
            let secret = SigningSecret::parse(secret.expose_secret()).context("--secret")?;
            anyhow::Ok(Webhook::from_bytes(secret.key().to_vec())?)
        });
        let receiver = web::Data::new(Receiver {
            webhook: webhook.transpose()?,
            answer: StatusCode::from_u16(self.answer)?,
            json,
            known: Mutex::new(LruCache::new(KNOWN)),
        });
        let listener = hermod_service::bind(&self.listen, "--listen")?;
        if !json {
            let unverified =
                if receiver.webhook.is_none() { "; without --secret nothing is verified" } else { "" };
            print(&format!("listening on http://{}/{unverified}; Ctrl-C ends it", listener.local_addr()?))?;
        }
        actix_web::rt::System::new().block_on(async move {
            let app = move || {
                App::new()
                    .app_data(web::PayloadConfig::new(LARGEST_BODY))
                    .app_data(receiver.clone())
                    .default_service(web::to(receive))
            };
            HttpServer::new(app).workers(1).shutdown_timeout(1).listen(listener)?.run().await
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn receive(
    http: HttpRequest,
    body: web::Bytes,
    receiver: web::Data<Receiver>,
) -> std::io::Result<HttpResponse> {
    let verified = receiver.verify(&http, &body);
    let status = if verified.is_ok() { receiver.answer } else { StatusCode::BAD_REQUEST };
    let body: Option<&RawValue> = serde_json::from_slice(&body).ok();
    if receiver.json {
        // Whoever reads it takes each line for a delivery.
        if let (Ok(_), Some(body)) = (&verified, body) {
            print(&one_line(body))?;
        }
    } else {
        print(&receiver.line(&http, body, verified))?;
    }
    Ok(HttpResponse::new(status))
}

impl Receiver {
    /// What is said of a delivery's signature.
    fn verify(&self, http: &HttpRequest, body: &[u8]) -> Result<&'static str, String> {
        let Some(webhook) = &self.webhook else { return Ok("not verified") };
        let mut headers = HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let value =
                http.headers().get(name).and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
            headers.extend(value.map(|value| (HeaderName::from_static(name), value)));
        }
        webhook.verify(body, &headers).map(|()| "verified").map_err(|error| format!("REFUSED: {error}"))
    }

    fn line(
        &self,
        http: &HttpRequest,
        body: Option<&RawValue>,
        verified: Result<&'static str, String>,
    ) -> String {
        let header = |name| http.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
        let (id, event) = (header("webhook-id"), header("x-bifrost-event"));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let again = match &verified {
            Ok(_) if known.put(id.to_owned(), ()).is_some() => ", again",
            Ok(_) | Err(_) => "",
        };
        let verified = verified.map_or_else(|error| error, ToOwned::to_owned);
        let body = body.map_or_else(|| "(no JSON)".to_owned(), one_line);
        format!("{}  {event}  {verified}{again}  webhook-id {id}\n{body}", Timestamp::now())
    }
}

/// JSON has no line's end within a string.
fn one_line(json: &RawValue) -> String {
    json.get().replace(['\n', '\r'], " ")
}
