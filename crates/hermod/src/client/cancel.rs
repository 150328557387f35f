use std::process::ExitCode;

use clap::Args;
use hermod_types::{JobId, Operation};
use reqwest::StatusCode;

use super::{Api, Refused, Server, TIMEOUT, endpoint, print};

/// `hermod cancel`
#[derive(Args, Clone, Debug)]
#[command(override_usage = "hermod cancel [OPTIONS] [ENDPOINT] <ID>...")]
pub struct Cancel {
    #[command(flatten)]
    server: Server,
    /// The jobs, behind their endpoint if you know it: else all are asked for them.
    #[arg(num_args = 1.., required = true, value_name = "ID")]
    words: Vec<String>,
}

impl Cancel {
    /// Cancels each job, and prints a line on what became of it.
    ///
    /// # Errors
    /// If a word is no id, or the API does not answer. A job that cannot be cancelled makes the exit code 1.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (operations, ids) = self.jobs()?;
        let api = self.server.api()?;
        let mut code = ExitCode::SUCCESS;
        for id in ids {
            match api.cancel(&operations, id).await {
                Ok(became) => print(&format!("{id}  {became}"))?,
                Err(error) => {
                    let Some(refused) = error.downcast_ref::<Refused>() else { return Err(error) };
                    print(&format!("{id}  not cancelled: {}", refused.message))?;
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }

    /// The endpoints to ask, and the jobs.
    fn jobs(&self) -> anyhow::Result<(Vec<Operation>, Vec<JobId>)> {
        let (operations, ids) = match self.words.split_first() {
            Some((endpoint, ids)) if !ids.is_empty() && endpoint.parse::<JobId>().is_err() => {
                (vec![endpoint::parse(endpoint)?], ids)
            }
            Some(_) | None => (Operation::public().collect(), &self.words[..]),
        };
        Ok((operations, ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?))
    }
}

impl Api {
    /// Cancels a job, and says what became of it.
    async fn cancel(&self, operations: &[Operation], id: JobId) -> anyhow::Result<&'static str> {
        let response = self.first(operations, async |operation| {
            let url = format!("{}/{id}/cancel", self.jobs(operation));
            self.send(self.client.post(url).timeout(TIMEOUT)).await
        });
        let has_ended = response.await?.status() == StatusCode::OK;
        Ok(if has_ended { "cancelled" } else { "runs, and is being cancelled" })
    }
}
