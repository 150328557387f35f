use std::process::ExitCode;

use clap::Args;
use hermod_client::{Cancelled, Error, JobRef};
use hermod_types::{JobId, Operation};

use super::{Server, endpoint, first, hinted, print};

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
        let api = self.server.client()?;
        let mut code = ExitCode::SUCCESS;
        for id in ids {
            match first(&operations, async |operation| api.cancel(JobRef { operation, id }).await).await {
                Ok(Cancelled::Ended) => print(&format!("{id}  cancelled"))?,
                Ok(Cancelled::Requested) => print(&format!("{id}  runs, and is being cancelled"))?,
                Err(Error::Refused(refused)) => {
                    print(&format!("{id}  not cancelled: {}", refused.message))?;
                    code = ExitCode::FAILURE;
                }
                Err(error) => return Err(hinted(error)),
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
