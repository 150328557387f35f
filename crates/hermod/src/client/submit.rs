use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use reqwest::header::{HeaderMap, HeaderValue};

use super::body::{Body, Input};
use super::{
    Api, PREFER, Polled, Server, TIMEOUT, download, endpoint, json, poll_after, print, progress_bar,
};
use crate::json::Json;

/// `hermod submit`
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "hermod submit [OPTIONS] [ENDPOINT] [TEXT]",
    after_help = "Endpoints: completion (where none is named), chat, responses, embeddings, speech, transcriptions,\n\
        images, edits, variations, rerank, ocr; or their paths, such as audio/speech.\n\n\
        hermod submit --model demo/echo \"A text completion\"\n\
        hermod submit chat --model demo/echo --wait \"Hello\"\n\
        hermod submit transcriptions --model demo/echo --file talk.mp3 --wait\n\
        hermod submit speech --model demo/echo --voice alloy --wait --output hello.mp3 \"Hello\""
)]
pub struct Submit {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    input: Input,
    /// How long the result is kept.
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
    /// A key of your choice: the same submit with the same key makes no second job.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Start the job so much later.
    #[arg(long, value_name = "SECONDS")]
    delay: Option<u64>,
    /// Start the job at this time (RFC 3339).
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    at: Option<String>,
    /// The webhook endpoint that is told of the end.
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Wait for the end, and print the text.
    #[arg(long, short)]
    wait: bool,
    /// Save the audio, image or transcript in this file.
    #[arg(long, short, value_name = "FILE", requires = "wait")]
    output: Option<PathBuf>,
    /// An endpoint, and what to say to it: a prompt, a message, a query, a document's URL.
    #[arg(num_args = 0..=2, value_names = ["ENDPOINT", "TEXT"])]
    words: Vec<String>,
}

impl Submit {
    /// Submits; prints the id, or waits and prints the text.
    ///
    /// # Errors
    /// If something is missing, the API does not take the job, or it does not answer.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (operation, text) = endpoint::with_text(&self.words)?;
        ensure!(
            self.output.is_none() || endpoint::answers_with_media(operation),
            "--output: {} answers with nothing to save",
            endpoint::word(operation)
        );
        if let Some(path) = &self.output {
            download::check(path)?;
        }
        let body = self.input.body(operation, text)?;
        let (headers, api) = (self.headers()?, self.server.api()?);
        let mut request = api.client.post(api.jobs(operation));
        if !operation.carries_media() {
            request = request.timeout(TIMEOUT);
        }
        let mut bar = None;
        request = match body {
            Body::Json(json) => request.header("content-type", "application/json").body(json),
            Body::Form(upload) => {
                let bar = bar.insert(progress_bar(Some(upload.bytes()))?);
                request.multipart(upload.into_form(bar)?)
            }
        };
        request = request.headers(headers);
        let asked = Instant::now();
        let answer = api.send(request).await;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let answer = answer?;
        let wait = poll_after(&answer).saturating_sub(asked.elapsed());
        let job = json(answer.status(), answer.text().await?)?;
        let id = Json::new(&job).get("id").string().context("the answer has no id")?;
        if self.wait {
            let submitted = Polled { operation, id: id.clone(), wait, job };
            // With the id, it can be looked at, and fetched again.
            finish(&api, submitted, self.output.as_deref()).await.with_context(|| format!("job {id}"))?;
        } else {
            print(&id)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What it asks for besides the call.
    fn headers(&self) -> anyhow::Result<HeaderMap> {
        let given = [
            ("x-bf-async-job-result-ttl", self.ttl.map(|seconds| seconds.to_string())),
            ("x-bf-async-webhook", self.webhook.clone()),
            ("idempotency-key", self.key.clone()),
            ("x-hermod-delay", self.delay.map(|seconds| seconds.to_string())),
            ("x-hermod-run-at", self.at.clone()),
            ("prefer", self.wait.then(|| PREFER.to_owned())),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let Some(value) = value else { continue };
            // The name of an endpoint may have any characters.
            let value = HeaderValue::from_bytes(value.as_bytes())
                .with_context(|| format!("{value:?} cannot be sent as {name}"))?;
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

/// Waits, and prints or saves the answer.
async fn finish(api: &Api, submitted: Polled, output: Option<&Path>) -> anyhow::Result<()> {
    let polled = api.ended(submitted).await?.completed()?;
    match output {
        Some(path) => download::save(api, &polled, None, path).await,
        None => Ok(print(&polled.answer())?),
    }
}
