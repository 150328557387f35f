//! The client on the command line.

mod answer;
mod body;
mod cancel;
mod download;
mod endpoint;
mod get;
mod jobs;
mod submit;
mod upload;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use hermod_types::Operation;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::value::RawValue;

use crate::json::Json;

pub(crate) use body::{Field, JsonObject};
pub use cancel::Cancel;
pub use get::Get;
pub use jobs::Jobs;
pub use submit::Submit;

/// The longest that a request may take that carries no media; with media it takes as long as it needs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a health check may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the API is asked to wait for the end of a job; less than [`TIMEOUT`].
const PREFER: &str = "wait=25";
/// The wait between polls where the answer does not say.
const POLL_MS: u64 = 500;

/// Where the API is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Address {
    /// Where the API is.
    #[arg(long, global = true, env = "HERMOD_URL", default_value = "http://localhost:8080")]
    url: String,
}

/// Where the API is, and who asks.
#[derive(Args, Clone, Debug)]
struct Server {
    #[command(flatten)]
    address: Address,
    /// A virtual key.
    #[arg(long, env = "HERMOD_VIRTUAL_KEY", hide_env_values = true, value_name = "KEY")]
    virtual_key: Option<String>,
}

/// The API, asked over the same connections again and again.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    url: String,
    client: Client,
}

/// `hermod healthcheck`
#[derive(Args, Clone, Debug)]
pub struct Healthcheck {
    /// What to ask.
    pub url: String,
}

/// The API's refusal.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {message}")]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    message: String,
}

/// A job as a poll shows it.
#[derive(Debug)]
struct Polled {
    operation: Operation,
    id: String,
    /// Until the next poll; nothing where the API has waited.
    wait: Duration,
    /// The answer as it came.
    job: Box<RawValue>,
}

/// Runs a client's command.
///
/// # Errors
/// The command's own.
pub fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

impl Healthcheck {
    /// Asks once.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        // It asks its own container or machine, which a proxy for the way out does not reach.
        let client = Client::builder().timeout(HEALTH_TIMEOUT).no_proxy().build()?;
        let response = client.get(&self.url).send().await?;
        Ok(if response.status() == StatusCode::OK { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Address {
    /// The API, which gets these headers with each request.
    ///
    /// # Errors
    /// If the address is none.
    pub(crate) fn api(self, headers: HeaderMap) -> anyhow::Result<Api> {
        let is_web = ["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme));
        ensure!(is_web, "--url: expected an address that begins with http:// or https://");
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).default_headers(headers).build()?;
        Ok(Api { url: self.url.trim_end_matches('/').to_owned(), client })
    }
}

impl Server {
    fn api(self) -> anyhow::Result<Api> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.virtual_key {
            headers.insert("x-bf-vk", secret_header(key, "--virtual-key")?);
        }
        self.address.api(headers)
    }
}

/// The value of a header that is shown to nobody.
///
/// # Errors
/// If no header can have it.
pub(crate) fn secret_header(value: &str, option: &str) -> anyhow::Result<HeaderValue> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| anyhow!("{option}: expected printable ASCII"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Api {
    /// Where jobs of this kind are.
    fn jobs(&self, operation: Operation) -> String {
        format!("{}/v1/async/{}", self.url, operation.path())
    }

    /// A request to the address that begins with the API's and goes on with `path`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Sends; an answer that is an error becomes [`Refused`].
    pub(crate) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.map_err(reqwest::Error::without_url);
        let response =
            response.with_context(|| format!("no answer from {}: is `hermod up` running?", self.url))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = json(status, response.text().await?)?;
        bail!(Refused { status, message: message(Json::new(&body)) })
    }

    async fn poll(&self, operation: Operation, id: &str) -> anyhow::Result<Polled> {
        self.polled(self.client.get(self.job(operation, id)), operation, id).await
    }

    fn job(&self, operation: Operation, id: &str) -> String {
        format!("{}/{id}", self.jobs(operation))
    }

    async fn polled(
        &self,
        request: RequestBuilder,
        operation: Operation,
        id: &str,
    ) -> anyhow::Result<Polled> {
        let asked = Instant::now();
        let response = self.send(request.timeout(TIMEOUT)).await?;
        let (status, wait) = (response.status(), poll_after(&response));
        let job = json(status, response.text().await?)?;
        Ok(Polled { operation, id: id.to_owned(), wait: wait.saturating_sub(asked.elapsed()), job })
    }

    /// Looks for the job under these endpoints.
    async fn find(&self, operations: &[Operation], id: &str) -> anyhow::Result<Polled> {
        self.first(operations, async |operation| self.poll(operation, id).await).await
    }

    /// Asks under these endpoints, one after the other: under all but its own a job is not found.
    async fn first<T>(
        &self,
        operations: &[Operation],
        ask: impl AsyncFn(Operation) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut not_found = None;
        for operation in operations {
            match ask(*operation).await {
                Err(error) if is_not_found(&error) => {
                    not_found.get_or_insert(error);
                }
                found => return found,
            }
        }
        Err(not_found.unwrap_or_else(|| anyhow::anyhow!("no endpoint to ask for the job")))
    }

    /// Waits until the job has ended: the API says so at once, or if it does not know how to wait, when it is polled.
    async fn ended(&self, mut polled: Polled) -> anyhow::Result<Polled> {
        // On standard error, and only if that is a terminal.
        let spinner = ProgressBar::new_spinner().with_message(format!("job {}", polled.id));
        spinner.enable_steady_tick(Duration::from_millis(100));
        while !matches!(polled.job().get("status").raw(), "\"completed\"" | "\"failed\"") {
            tokio::time::sleep(polled.wait).await;
            let request = self.client.get(self.job(polled.operation, &polled.id)).header("prefer", PREFER);
            polled = self.polled(request, polled.operation, &polled.id).await?;
        }
        spinner.finish_and_clear();
        Ok(polled)
    }
}

impl Polled {
    fn job(&self) -> Json<'_> {
        Json::new(&self.job)
    }

    /// It, unless the job has failed.
    fn completed(self) -> anyhow::Result<Self> {
        let job = self.job();
        if job.get("status").raw() == "\"failed\"" {
            bail!("the job failed with {}: {}", job.get("status_code").raw(), message(job.get("error")));
        }
        Ok(self)
    }
}

/// What an error says.
fn message(error: Json<'_>) -> String {
    error.get("error").get("message").string().unwrap_or_else(|| "no message".to_owned())
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == StatusCode::NOT_FOUND)
}

/// An answer's body.
///
/// # Errors
/// If it is not JSON.
pub(crate) fn json(status: StatusCode, text: String) -> anyhow::Result<Box<RawValue>> {
    RawValue::from_string(text).with_context(|| format!("{status}, and not JSON"))
}

fn poll_after(response: &Response) -> Duration {
    let header = response.headers().get("openai-poll-after-ms").and_then(|value| value.to_str().ok());
    Duration::from_millis(header.and_then(|millis| millis.parse().ok()).unwrap_or(POLL_MS))
}

/// Bytes, total and rate: on standard error, and only if that is a terminal.
fn progress_bar(total: Option<u64>) -> anyhow::Result<ProgressBar> {
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}";
    let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    Ok(bar.with_style(ProgressStyle::with_template(template)?))
}

/// Prints a line.
///
/// # Errors
/// If standard output is closed.
pub fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use actix_web::{App, HttpResponse, HttpServer, web};
    use serde_json::{Value, json};

    use super::*;

    #[actix_web::test]
    async fn a_job_is_looked_for_under_each_endpoint_until_it_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        fn error(message: &str) -> Value {
            json!({"error": {"message": message}})
        }
        let app = || {
            let ocr =
                web::get().to(async || HttpResponse::Ok().json(json!({"id": "ID", "status": "completed"})));
            let broken = web::get().to(async || HttpResponse::ServiceUnavailable().json(error("broken")));
            let missing = web::to(async || HttpResponse::NotFound().json(error("no job")));
            App::new()
                .route("/v1/async/ocr/ID", ocr)
                .route("/v1/async/ocr/OTHER", broken)
                .default_service(missing)
        };
        actix_web::rt::spawn(
            HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run(),
        );
        let api = Address { url }.api(HeaderMap::new()).unwrap();
        let all: Vec<_> = Operation::public().collect();
        let found = api.find(&all, "ID").await.unwrap();
        assert_eq!((found.operation, found.job().get("status").raw()), (Operation::Ocr, "\"completed\""));
        for (operations, id, said) in [
            (&all[..], "NONE", "404 Not Found: no job"),
            (&[Operation::ChatCompletion], "ID", "404 Not Found: no job"),
            (&all, "OTHER", "503 Service Unavailable: broken"),
        ] {
            assert_eq!(api.find(operations, id).await.unwrap_err().to_string(), said);
        }
    }
}
