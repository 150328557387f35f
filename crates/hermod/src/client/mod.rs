//! The client on the command line: `hermod_client` asks, and what is here reads flags and prints.

mod answer;
mod body;
mod cancel;
mod download;
mod endpoint;
mod get;
mod jobs;
mod submit;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use hermod_client::{Client, ClientBuilder, Error, Job, StatusCode};
use hermod_types::Operation;
use indicatif::{ProgressBar, ProgressStyle};

use crate::admin_login::AdminLogin;

pub(crate) use body::{Field, JsonObject};
pub use cancel::Cancel;
pub use get::Get;
pub use jobs::Jobs;
pub use submit::Submit;

/// The longest that a health check may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

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

/// `hermod healthcheck`
#[derive(Args, Clone, Debug)]
pub struct Healthcheck {
    /// What to ask.
    pub url: String,
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
        let client = reqwest::Client::builder().timeout(HEALTH_TIMEOUT).no_proxy().build()?;
        let response = client.get(&self.url).send().await?;
        Ok(if response.status() == StatusCode::OK { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Address {
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(&self.url)
    }
}

impl Server {
    fn client(self) -> anyhow::Result<Client> {
        build(self.builder()?)
    }

    /// The same, with an administrator's login.
    fn client_of(self, admin: &AdminLogin) -> anyhow::Result<Client> {
        build(admin.add_to(self.builder()?)?)
    }

    fn builder(&self) -> anyhow::Result<ClientBuilder> {
        let builder = self.address.builder();
        match &self.virtual_key {
            Some(key) => builder.virtual_key(key).map_err(|error| of_option("--virtual-key", error)),
            None => Ok(builder),
        }
    }
}

/// # Errors
/// If the address is none.
pub(crate) fn build(builder: ClientBuilder) -> anyhow::Result<Client> {
    builder.build().map_err(|error| of_option("--url", error))
}

/// What is wrong with an option.
pub(crate) fn of_option(option: &str, error: Error) -> anyhow::Error {
    let Error::Invalid { expected, .. } = error else { return error.into() };
    anyhow!("{option}: expected {expected}")
}

/// An error, and what may help.
pub(crate) fn hinted(error: Error) -> anyhow::Error {
    let Error::NoAnswer { url, source } = error else { return error.into() };
    anyhow::Error::new(source).context(format!("no answer from {url}: is `hermod up` running?"))
}

/// Asks under these endpoints, one after the other: under all but its own a job is not found.
async fn first<T>(
    operations: &[Operation],
    ask: impl AsyncFn(Operation) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut not_found = None;
    for operation in operations {
        match ask(*operation).await {
            Err(error) if error.is_not_found() => {
                not_found.get_or_insert(error);
            }
            found => return found,
        }
    }
    Err(not_found.unwrap_or(Error::Invalid { what: "endpoint", expected: "one to ask for the job" }))
}

/// Waits until the job has ended.
async fn ended(api: &Client, job: Job) -> anyhow::Result<Job> {
    // On standard error, and only if that is a terminal.
    let spinner = ProgressBar::new_spinner().with_message(format!("job {}", job.at().id));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let ended = api.wait(job).await.map_err(hinted);
    spinner.finish_and_clear();
    ended
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
    use hermod_client::JobRef;
    use hermod_types::JobId;
    use serde_json::{Value, json};

    use super::*;

    #[actix_web::test]
    async fn a_job_is_looked_for_under_each_endpoint_until_it_is_found() {
        let ids: Vec<JobId> = (0..3).map(|_| JobId::new(hermod_types::Shard::default())).collect();
        let [here, busy, nowhere] = ids.try_into().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        fn error(message: &str) -> Value {
            json!({"error": {"message": message}})
        }
        let app = move || {
            let ocr = web::get().to(async || HttpResponse::Ok().json(json!({"status": "completed"})));
            let broken = web::get().to(async || HttpResponse::ServiceUnavailable().json(error("broken")));
            let missing = web::to(async || HttpResponse::NotFound().json(error("no job")));
            App::new()
                .route(&format!("/v1/async/ocr/{here}"), ocr)
                .route(&format!("/v1/async/ocr/{busy}"), broken)
                .default_service(missing)
        };
        actix_web::rt::spawn(
            HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run(),
        );
        let api = build(Address { url }.builder()).unwrap();
        let all: Vec<_> = Operation::public().collect();
        let find = async |operations: &[Operation], id: JobId| {
            first(operations, async |operation| api.get(JobRef { operation, id }).await).await
        };
        assert_eq!(find(&all, here).await.unwrap().at(), JobRef { operation: Operation::Ocr, id: here });
        for (operations, id, said) in [
            (&all[..], nowhere, "404 Not Found: no job"),
            (&[Operation::ChatCompletion], here, "404 Not Found: no job"),
            (&all, busy, "503 Service Unavailable: broken"),
        ] {
            assert_eq!(find(operations, id).await.unwrap_err().to_string(), said);
        }
    }
}
