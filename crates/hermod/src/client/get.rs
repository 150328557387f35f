use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use hermod_client::JobRef;
use hermod_types::{JobId, Operation};

use super::answer::Answer;
use super::{Server, download, ended, endpoint, first, hinted, print};
use crate::attempts::attempts;
use crate::json::pretty;

/// `hermod get`
#[derive(Args, Clone, Debug)]
#[command(override_usage = "hermod get [OPTIONS] [ENDPOINT] <ID>")]
pub struct Get {
    #[command(flatten)]
    server: Server,
    /// Wait for the end, and print the text.
    #[arg(long, short)]
    wait: bool,
    /// Print what was tried, a line each: targets, keys, errors, times.
    #[arg(long, short)]
    attempts: bool,
    /// Save the audio, image or transcript in this file.
    #[arg(long, short, value_name = "FILE", conflicts_with = "attempts")]
    output: Option<PathBuf>,
    /// Which of several images to save, from 0.
    #[arg(long, value_name = "NUMBER", requires = "output")]
    index: Option<usize>,
    /// The job, behind its endpoint if you know it: else all are asked for it.
    #[arg(num_args = 1..=2, required = true, value_name = "ID")]
    words: Vec<String>,
}

impl Get {
    /// Prints the job as it is, or waits and prints the text.
    ///
    /// # Errors
    /// If there is no such job, or the API does not answer.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (operations, id) = match self.words.as_slice() {
            [id] => (Operation::public().collect(), id),
            [endpoint, id] => (vec![endpoint::parse(endpoint)?], id),
            [..] => bail!("expected an endpoint and a job's id"),
        };
        let id: JobId = id.parse()?;
        let api = self.server.client()?;
        let job = first(&operations, async |operation| api.get(JobRef { operation, id }).await).await;
        let mut job = job.map_err(hinted)?;
        if self.wait {
            job = ended(&api, job).await?;
        }
        if self.attempts {
            print(&attempts(&job)?)?;
        } else if let Some(path) = &self.output {
            // Of one that has not ended the API says so.
            let job = if job.status().is_ended() { job.completed()? } else { job };
            download::save(&api, &job, self.index, path).await?;
        } else if self.wait {
            print(&Answer::of(&job.completed()?).text())?;
        } else {
            print(&pretty(job.raw().get()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
