use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use hermod_client::{Client, Job, Submission};

use super::answer::Answer;
use super::body::{Body, Input};
use super::{Server, download, ended, endpoint, hinted, print, progress_bar};

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
        let (submission, bar) = match body {
            Body::Json(json) => (Submission::json_text(operation, json)?, None),
            Body::Form(form) => {
                let bar = progress_bar(Some(form.bytes()))?;
                let moved = bar.clone();
                (Submission::form(operation, form)?.on_progress(move |bytes| moved.inc(bytes)), Some(bar))
            }
        };
        let submission = self.with_options(submission);
        let api = self.server.client()?;
        let job = api.submit(submission).await;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let job = job.map_err(hinted)?;
        let id = job.at().id;
        if self.wait {
            // With the id, it can be looked at, and fetched again.
            finish(&api, job, self.output.as_deref()).await.with_context(|| format!("job {id}"))?;
        } else {
            print(&id.to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// With what it asks for besides the call.
    fn with_options(&self, mut submission: Submission) -> Submission {
        if let Some(seconds) = self.ttl {
            submission = submission.ttl(Duration::from_secs(seconds));
        }
        if let Some(name) = &self.webhook {
            submission = submission.webhook(name);
        }
        if let Some(key) = &self.key {
            submission = submission.idempotency_key(key);
        }
        if let Some(seconds) = self.delay {
            submission = submission.delay(Duration::from_secs(seconds));
        }
        if let Some(time) = &self.at {
            submission = submission.run_at(time);
        }
        if self.wait { submission.hold() } else { submission }
    }
}

/// Waits, and prints or saves the answer.
async fn finish(api: &Client, submitted: Job, output: Option<&Path>) -> anyhow::Result<()> {
    let job = ended(api, submitted).await?.completed()?;
    match output {
        Some(path) => download::save(api, &job, None, path).await,
        None => Ok(print(&Answer::of(&job).text())?),
    }
}
