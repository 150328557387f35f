use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use hermod_types::Operation;

use super::body::{Body, Input};
use super::{Api, Server, TIMEOUT, download, endpoint, json, print, progress_bar};
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
        let api = self.server.api()?;
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
        if let Some(ttl) = self.ttl {
            request = request.header("x-bf-async-job-result-ttl", ttl);
        }
        if let Some(name) = &self.webhook {
            // A name may have any characters.
            request = request.header("x-bf-async-webhook", name.as_bytes());
        }
        let answer = api.send(request).await;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let answer = answer?;
        let job = json(answer.status(), answer.text().await?)?;
        let id = Json::new(&job).get("id").string().context("the answer has no id")?;
        if self.wait {
            // With the id, it can be looked at, and fetched again.
            finish(&api, operation, &id, self.output.as_deref())
                .await
                .with_context(|| format!("job {id}"))?;
        } else {
            print(&id)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits, and prints or saves the answer.
async fn finish(api: &Api, operation: Operation, id: &str, output: Option<&Path>) -> anyhow::Result<()> {
    let polled = api.poll(operation, id).await?;
    let polled = api.ended(polled).await?.completed()?;
    match output {
        Some(path) => download::save(api, &polled, None, path).await,
        None => Ok(print(&polled.answer())?),
    }
}
