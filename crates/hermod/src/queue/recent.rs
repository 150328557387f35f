use std::time::Duration;

use clap::Args;
use hermod_queue::{Admin, JobFilter, ListedJob, Outcome};
use hermod_types::{JobId, Operation, Timestamp};
use serde::Serialize;

use super::Form;
use crate::table::table;

/// `hermod queue recent`
#[derive(Args, Clone, Debug)]
pub(super) struct Recent {
    /// completed, failed or cancelled.
    #[arg(long, value_name = "OUTCOME")]
    status: Option<Outcome>,
    /// The endpoint's path below `/v1/async/`.
    #[arg(long, value_parser = endpoint)]
    endpoint: Option<Operation>,
    /// The model that was asked for, with its provider or without.
    #[arg(long)]
    model: Option<String>,
    /// Id of the virtual key.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    most: usize,
    #[command(flatten)]
    form: Form,
}

/// A job, as it is printed.
#[derive(Serialize)]
struct Row<'a> {
    id: JobId,
    status: &'static str,
    status_code: Option<u16>,
    endpoint: &'static str,
    model: Option<&'a str>,
    key: Option<&'a str>,
    created_at: Timestamp,
    completed_at: Option<Timestamp>,
}

fn endpoint(path: &str) -> Result<Operation, String> {
    Operation::from_path(path).ok_or_else(|| {
        let all: Vec<_> = Operation::public().map(Operation::path).collect();
        format!("expected one of {}", all.join(", "))
    })
}

impl Recent {
    pub(super) async fn run(self, admin: &Admin) -> anyhow::Result<String> {
        let Self { status, endpoint, model, key, most, form } = self;
        let filter = JobFilter { outcome: status, operation: endpoint, model, owner: key };
        let jobs = admin.recent(&filter, most).await?;
        let rows: Vec<Row<'_>> = jobs.iter().map(Row::of).collect();
        form.of(&rows, |rows| text(rows))
    }
}

impl<'a> Row<'a> {
    fn of(job: &'a ListedJob) -> Self {
        Self {
            id: job.view.id,
            status: Outcome::of(job).map_or("", Outcome::as_str),
            status_code: job.view.status_code,
            endpoint: job.operation.path(),
            model: job.model.as_deref(),
            key: job.owner.as_deref(),
            created_at: job.view.created_at,
            completed_at: job.view.completed_at,
        }
    }
}

fn text(jobs: &[Row<'_>]) -> String {
    if jobs.is_empty() {
        return "no such job has ended lately".to_owned();
    }
    let mut rows = table(["JOB", "STATUS", "CODE", "ENDPOINT", "MODEL", "ENDED", "TOOK"]);
    for job in jobs {
        let took = job.completed_at.map(|end| end.as_millis().saturating_sub(job.created_at.as_millis()));
        let took = took.map(|ms| format!("{:.1} s", Duration::from_millis(ms).as_secs_f64()));
        rows.add_row([
            job.id.to_string(),
            job.status.to_owned(),
            job.status_code.map_or_else(String::new, |code| code.to_string()),
            job.endpoint.to_owned(),
            job.model.unwrap_or("-").to_owned(),
            job.completed_at.map_or_else(String::new, |at| at.to_string()),
            took.unwrap_or_default(),
        ]);
    }
    rows.trim_fmt()
}
