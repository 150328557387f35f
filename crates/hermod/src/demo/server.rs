use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use clap::Args;
use futures_util::stream::{self, StreamExt};
use hermod_service::{LogSettings, Shutdown};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::Behaviour;
use super::completion::Request;

/// The largest request that it reads.
const MAX_BODY_BYTES: usize = 64 << 20;
/// How long an idle connection is kept: as nginx does. With actix's 5 s, a client's next call often meets a closing one.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// `hermod demo-provider`
#[derive(Args, Clone, Debug)]
pub struct DemoProvider {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    listen: String,
    #[command(flatten)]
    log: LogSettings,
}

impl DemoProvider {
    /// Serves until a signal.
    ///
    /// # Errors
    /// One sentence on what kept it from starting.
    pub fn run(self) -> anyhow::Result<()> {
        self.log.init()?;
        let listener = hermod_service::bind(&self.listen, "--listen")?;
        tracing::info!(address = %listener.local_addr()?, "demo provider listening");
        actix_web::rt::System::new().block_on(async move {
            let tasks = TaskTracker::new();
            let shutdown = Shutdown::on_signals(&tasks)?;
            let server = Demo::default().serve(listener)?;
            let handle = server.handle();
            let stop = shutdown.clone();
            tasks.spawn_local(async move {
                stop.drain.cancelled().await;
                handle.stop(false).await;
            });
            server.await?;
            shutdown.stop();
            Ok(())
        })
    }
}

/// One call that the provider received.
#[derive(Clone, Debug)]
pub struct ReceivedCall {
    /// When it came.
    pub at: Instant,
    /// The model that it named.
    pub model: String,
    /// Its body, byte for byte.
    pub body: String,
    /// Its headers, by lower-case name.
    pub headers: Vec<(String, String)>,
}

/// The calls that a provider has received, for tests.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<ReceivedCall>>>);

impl Calls {
    /// All of them so far, in order.
    pub fn all(&self) -> Vec<ReceivedCall> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, call: ReceivedCall) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
}

/// A demo provider.
#[derive(Clone, Debug, Default)]
pub struct Demo {
    /// Where its calls are kept; none to keep nothing.
    pub calls: Option<Calls>,
    flaky: Arc<AtomicU64>,
}

impl Demo {
    /// One that keeps its calls.
    pub fn recording(calls: Calls) -> Self {
        Self { calls: Some(calls), ..Self::default() }
    }

    /// Serves on `listener`.
    ///
    /// # Errors
    /// If it cannot run.
    pub fn serve(self, listener: TcpListener) -> std::io::Result<Server> {
        let demo = web::Data::new(self);
        let app = move || {
            App::new()
                .app_data(demo.clone())
                .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
                .route("/v1/completions", web::post().to(complete))
                .route("/health", web::get().to(async || HttpResponse::Ok().json(json!({"status": "ok"}))))
                .default_service(web::to(async || failure(404, "not_found", "no such path")))
        };
        let server = HttpServer::new(app).workers(1).keep_alive(KEEP_ALIVE).listen(listener)?;
        Ok(server.disable_signals().shutdown_timeout(0).run())
    }
}

/// `POST /v1/completions`
async fn complete(http: HttpRequest, body: String, demo: web::Data<Demo>) -> HttpResponse {
    let request: Request = match serde_json::from_str(&body) {
        Ok(request) => request,
        Err(error) => return failure(400, "invalid_request_error", &error.to_string()),
    };
    if let Some(calls) = &demo.calls {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = http.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        calls.push(ReceivedCall { at: Instant::now(), model: request.model.clone(), body, headers });
    }
    let behaviour: Behaviour = match request.model.parse() {
        Ok(behaviour) => behaviour,
        Err(error) => return failure(404, "model_not_found", &format!("{}: {error}", request.model)),
    };
    let echo = || HttpResponse::Ok().json(request.completion(str::to_owned));
    match behaviour {
        Behaviour::Echo => echo(),
        Behaviour::Slow(wait) => {
            tokio::time::sleep(wait).await;
            echo()
        }
        Behaviour::Fail(status) => {
            failure(status, "demo_failure", &format!("the model {} fails", request.model))
        }
        Behaviour::Flaky(percent) => {
            // Adding the share up to a whole spreads the failures evenly.
            let share = u64::from(percent);
            let before = demo.flaky.fetch_add(share, Ordering::Relaxed);
            if (before + share) / 100 > before / 100 {
                failure(500, "demo_failure", "this time it fails")
            } else {
                echo()
            }
        }
        Behaviour::Empty => HttpResponse::Ok().json(request.completion(|_| String::new())),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Drip => drip(request.completion(str::to_owned).to_string()),
        Behaviour::Html => {
            HttpResponse::Ok().content_type("text/html").body("<html>Sign in to the network</html>")
        }
        Behaviour::ErrorWith200 => HttpResponse::Ok().json(error("overloaded", "the model is overloaded")),
        Behaviour::Leak => {
            let headers = http.headers().iter();
            let headers =
                headers.filter_map(|(name, value)| Some(format!("{name}: {}", value.to_str().ok()?)));
            let headers: Vec<_> = headers.collect();
            failure(401, "invalid_api_key", &format!("Incorrect API key provided: {}.", headers.join(", ")))
        }
        Behaviour::Refuses if is_the_key(&http, &request.model) => {
            failure(401, "invalid_api_key", "this key is refused")
        }
        Behaviour::Limits if is_the_key(&http, &request.model) => {
            let mut response = failure(429, "rate_limit_exceeded", "this key has made too many calls");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("30"));
            response
        }
        Behaviour::Refuses | Behaviour::Limits => echo(),
        Behaviour::RetryAfter => {
            let mut response = failure(503, "demo_failure", "come back later");
            if let Some(Ok(value)) = request.model.strip_prefix("retry-after-").map(str::parse) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            response
        }
        Behaviour::Broken => {
            let parts =
                [Ok(web::Bytes::from_static(b"{\"choices\":[")), Err(std::io::Error::other("broken"))];
            HttpResponse::Ok().content_type("application/json").streaming(stream::iter(parts))
        }
    }
}

/// Whether the call came with the key that the model's name ends with.
fn is_the_key(http: &HttpRequest, model: &str) -> bool {
    let key =
        http.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    key.is_some() && key == model.split_once('-').map(|(_, key)| key)
}

fn drip(answer: String) -> HttpResponse {
    let bytes = stream::iter(answer.into_bytes()).then(async |byte| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::io::Result::Ok(web::Bytes::from(vec![byte]))
    });
    HttpResponse::Ok().content_type("application/json").streaming(Box::pin(bytes))
}

fn failure(status: u16, code: &str, message: &str) -> HttpResponse {
    let mut response =
        HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    if status == 429 {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response.json(error(code, message))
}

fn error(code: &str, message: &str) -> serde_json::Value {
    json!({"error": {"message": message, "type": "demo_error", "param": null, "code": code}})
}
