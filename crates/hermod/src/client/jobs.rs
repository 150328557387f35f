use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hermod_client::{Client, Job, JobFilter};
use hermod_types::{JobId, Timestamp};

use super::{Server, endpoint, hinted, print};
use crate::admin_login::AdminLogin;
use crate::json::Json;
use crate::table::table;

/// The wait between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(1);

/// `hermod jobs`
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "The jobs of a virtual key, or with an administrator's login those of all, the newest first.\n\n\
    hermod jobs --status failed --limit 5\n\
    hermod jobs --endpoint chat --model demo/echo --after 2026-02-19T08:00:00Z\n\
    hermod jobs --watch --json"
)]
pub struct Jobs {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    admin: AdminLogin,
    /// pending, processing, completed or failed.
    #[arg(long)]
    status: Option<String>,
    /// An endpoint, as for `hermod submit`.
    #[arg(long)]
    endpoint: Option<String>,
    /// The model that was asked for, with its provider or without.
    #[arg(long)]
    model: Option<String>,
    /// Created after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Created before this time.
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    limit: usize,
    /// Go on, and print each job that is new, or has changed.
    #[arg(long, short)]
    watch: bool,
    /// A line of JSON for each job.
    #[arg(long)]
    json: bool,
}

impl Jobs {
    /// Prints the jobs; with `--watch`, until it is stopped.
    ///
    /// # Errors
    /// If the API does not take a filter, or does not answer.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let filter = JobFilter {
            status: self.status.clone(),
            operation: self.endpoint.as_deref().map(endpoint::parse).transpose()?,
            model: self.model.clone(),
            created_after: self.after.clone(),
            created_before: self.before.clone(),
        };
        let api = self.server.clone().client_of(&self.admin)?;
        if self.watch {
            return self.follow(&api, &filter).await;
        }
        let jobs = api.list(&filter, self.limit).await.map_err(hinted)?;
        if self.json {
            for job in &jobs {
                print(job.raw().get())?;
            }
        } else {
            let mut table = table(["ID", "STATUS", "ENDPOINT", "MODEL", "CREATED", "TOOK"]);
            for job in &jobs {
                table.add_row(row(job));
            }
            print(&table.to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The newest jobs, and each of them again whenever it has changed.
    async fn follow(&self, api: &Client, filter: &JobFilter) -> anyhow::Result<ExitCode> {
        let mut shown: HashMap<JobId, String> = HashMap::new();
        loop {
            let mut jobs = api.list(filter, self.limit).await.map_err(hinted)?;
            jobs.reverse();
            let mut now = HashMap::with_capacity(jobs.len());
            for job in jobs {
                let (id, text) = (job.at().id, job.raw().get().to_owned());
                if shown.get(&id) != Some(&text) {
                    print(&if self.json { text.clone() } else { row(&job).join("  ") })?;
                }
                now.insert(id, text);
            }
            shown = now;
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn row(job: &Job) -> [String; 6] {
    let job = Json::new(job.raw());
    let text = |name: &str| job.get(name).string().unwrap_or_default();
    let mut status = text("status");
    if status == "failed" {
        status = format!("failed {}", job.get("status_code").raw());
    }
    let at = |name: &str| Timestamp::from_rfc3339(&text(name));
    let took = at("completed_at")
        .zip(at("created_at"))
        .map(|(end, start)| Duration::from_millis(end.as_millis().saturating_sub(start.as_millis())));
    let took = took.map_or_else(String::new, |took| format!("{:.1} s", took.as_secs_f64()));
    [text("id"), status, text("endpoint"), text("model"), text("created_at"), took]
}
