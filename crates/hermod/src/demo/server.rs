use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use actix_web::dev::Server;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use clap::Args;
use futures_util::stream;
use hermod_service::{LogSettings, Shutdown};
use hermod_types::{BodyForm, Operation};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::calls::{Calls, ReceivedCall};
use super::perform::{failure, perform, refusal};
use super::request::{Input, Refusal, Request};
use super::upload::Upload;

/// The largest request that it reads.
pub(super) const MAX_BODY_BYTES: usize = 200 << 20;
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

/// A demo provider.
#[derive(Clone, Debug, Default)]
pub struct Demo {
    /// Where its calls are kept, whole; none to keep nothing.
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
            let mut app = App::new().app_data(demo.clone());
            for operation in Operation::all() {
                let handler = move |http: HttpRequest, body: web::Payload, demo: web::Data<Demo>| async move {
                    demo.answer(operation, &http, body).await
                };
                app = app.route(&format!("/v1/{}", operation.path()), web::post().to(handler));
            }
            app.route("/health", web::get().to(async || HttpResponse::Ok().json(json!({"status": "ok"}))))
                .default_service(web::to(async || failure(404, "not_found", "no such path")))
        };
        // Clients open connections ahead. With actix's 5 s for the first request, the next call meets its 408.
        let server = HttpServer::new(app)
            .workers(1)
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(KEEP_ALIVE)
            .listen(listener)?;
        Ok(server.disable_signals().shutdown_timeout(0).run())
    }

    async fn answer(&self, operation: Operation, http: &HttpRequest, body: web::Payload) -> HttpResponse {
        let at = Instant::now();
        let (input, whole) = match self.read(operation, http, body).await {
            Ok(read) => read,
            Err(error) => return refusal(error),
        };
        let request = Request::new(operation, input);
        if let Some(calls) = &self.calls {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let (body, form) = match operation.form() {
                BodyForm::Json => (String::from_utf8_lossy(&whole).into_owned(), Bytes::new()),
                BodyForm::Multipart => (String::new(), whole),
            };
            calls.push(ReceivedCall {
                at,
                path: http.path().to_owned(),
                model: request.as_ref().map(|request| request.model.clone()).unwrap_or_default(),
                body,
                form,
                headers: http.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            });
        }
        match request {
            Ok(request) => perform(http, &request, &self.flaky).await,
            Err(error) => refusal(error),
        }
    }

    /// The input, and the body's bytes; of a form these are there only where calls are kept.
    async fn read(
        &self,
        operation: Operation,
        http: &HttpRequest,
        body: web::Payload,
    ) -> Result<(Input, Bytes), Refusal> {
        if operation.form() == BodyForm::Json {
            let whole = whole(body).await?;
            return Ok((Input::Json(whole.clone()), whole));
        }
        let content_type = http.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        if self.calls.is_none() {
            return Ok((Input::Form(Upload::read(content_type, body).await?), Bytes::new()));
        }
        let whole = whole(body).await?;
        let once = stream::iter([std::io::Result::Ok(whole.clone())]);
        Ok((Input::Form(Upload::read(content_type, once).await?), whole))
    }
}

async fn whole(body: web::Payload) -> Result<Bytes, Refusal> {
    let read = body.to_bytes_limited(MAX_BODY_BYTES).await;
    let read = read.map_err(|_| Refusal(format!("the body is over {MAX_BODY_BYTES} bytes")))?;
    read.map_err(|error| Refusal(error.to_string()))
}
