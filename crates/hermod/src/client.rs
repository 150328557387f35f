//! The client on the command line.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use hermod_types::JobId;
use indicatif::ProgressBar;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::attempts::attempts;

/// The longest that one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a health check may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// The wait between polls where the answer does not say.
const POLL_MS: u64 = 500;

/// Where the API is, and who asks.
#[derive(Args, Clone, Debug)]
struct Server {
    /// Where the API is.
    #[arg(long, env = "HERMOD_URL", default_value = "http://localhost:8080")]
    url: String,
    /// A virtual key.
    #[arg(long, env = "HERMOD_VIRTUAL_KEY", hide_env_values = true, value_name = "KEY")]
    virtual_key: Option<String>,
}

/// `hermod submit`
#[derive(Args, Clone, Debug)]
pub struct Submit {
    #[command(flatten)]
    server: Server,
    /// provider/model
    #[arg(long, short)]
    model: String,
    /// provider/model to try when the model has failed; may be given again.
    #[arg(long = "fallback", value_name = "MODEL")]
    fallbacks: Vec<String>,
    /// The most tokens to answer with.
    #[arg(long)]
    max_tokens: Option<u64>,
    /// How long the result is kept.
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
    /// Wait for the end, and print the text.
    #[arg(long, short)]
    wait: bool,
    /// The prompt.
    prompt: String,
}

/// `hermod get`
#[derive(Args, Clone, Debug)]
pub struct Get {
    #[command(flatten)]
    server: Server,
    /// Wait for the end, and print the text.
    #[arg(long, short)]
    wait: bool,
    /// Print what was tried, a line each: targets, keys, errors, times.
    #[arg(long, short)]
    attempts: bool,
    /// The job.
    id: JobId,
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

impl Submit {
    /// Submits; prints the id, or waits and prints the text.
    ///
    /// # Errors
    /// If the API does not take the job, or does not answer.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut body = json!({"model": self.model, "prompt": self.prompt});
        if !self.fallbacks.is_empty() {
            body["fallbacks"] = json!(self.fallbacks);
        }
        if let Some(max_tokens) = self.max_tokens {
            body["max_tokens"] = json!(max_tokens);
        }
        let mut request = client()?.post(self.server.jobs()).body(body.to_string());
        if let Some(ttl) = self.ttl {
            request = request.header("x-bf-async-job-result-ttl", ttl);
        }
        let (_, job) = self.server.send(request).await?;
        let id = job["id"].as_str().context("the answer has no id")?.to_owned();
        if self.wait {
            return wait(&self.server, &id).await;
        }
        print(&id)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Get {
    /// Prints the job as it is, or waits and prints the text.
    ///
    /// # Errors
    /// If there is no such job, or the API does not answer.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let id = self.id.to_string();
        if self.attempts {
            let job =
                if self.wait { ended(&self.server, &id).await? } else { self.server.poll(&id).await?.1 };
            print(&attempts(&job)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.wait {
            return wait(&self.server, &id).await;
        }
        let (_, job) = self.server.poll(&id).await?;
        print(&serde_json::to_string_pretty(&job)?)?;
        Ok(ExitCode::SUCCESS)
    }
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

impl Server {
    fn jobs(&self) -> String {
        format!("{}/v1/async/completions", self.url.trim_end_matches('/'))
    }

    /// Sends, and reads the answer; an error answer becomes an error with its message.
    async fn send(&self, mut request: RequestBuilder) -> anyhow::Result<(Duration, Value)> {
        if let Some(key) = &self.virtual_key {
            request = request.header("x-bf-vk", key);
        }
        let response = request.send().await.map_err(reqwest::Error::without_url);
        let response =
            response.with_context(|| format!("no answer from {}: is `hermod up` running?", self.url))?;
        let (status, wait) = (response.status(), poll_after(&response));
        let text = response.text().await?;
        let body: Value = serde_json::from_str(&text).with_context(|| format!("{status}, and not JSON"))?;
        if !status.is_success() {
            bail!("{}: {}", status, body["error"]["message"].as_str().unwrap_or("no message"));
        }
        Ok((wait, body))
    }

    async fn poll(&self, id: &str) -> anyhow::Result<(Duration, Value)> {
        self.send(client()?.get(format!("{}/{id}", self.jobs()))).await
    }
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().timeout(TIMEOUT).build()?)
}

fn poll_after(response: &Response) -> Duration {
    let header = response.headers().get("openai-poll-after-ms").and_then(|value| value.to_str().ok());
    Duration::from_millis(header.and_then(|millis| millis.parse().ok()).unwrap_or(POLL_MS))
}

/// Polls until the job has ended.
async fn ended(server: &Server, id: &str) -> anyhow::Result<Value> {
    // On standard error, and only if that is a terminal.
    let spinner = ProgressBar::new_spinner().with_message(format!("job {id}"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    loop {
        let (wait, job) = server.poll(id).await?;
        if matches!(job["status"].as_str(), Some("completed" | "failed")) {
            spinner.finish_and_clear();
            return Ok(job);
        }
        tokio::time::sleep(wait).await;
    }
}

/// Waits for the end, and prints the text.
async fn wait(server: &Server, id: &str) -> anyhow::Result<ExitCode> {
    let job = ended(server, id).await?;
    if job["status"] == "failed" {
        let error = &job["error"]["error"];
        bail!(
            "the job failed with {}: {}",
            job["status_code"],
            error["message"].as_str().unwrap_or("no message")
        );
    }
    for choice in job["result"]["choices"].as_array().into_iter().flatten() {
        print(choice["text"].as_str().unwrap_or_default())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a line.
///
/// # Errors
/// If standard output is closed.
pub fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}
