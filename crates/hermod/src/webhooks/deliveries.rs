//! Deliveries: what became of them, and those that are sent again.

use std::process::ExitCode;

use clap::Args;
use hermod_client::Method;

use super::endpoint::{event_of, text_of, word_of};
use crate::administration::Administration;
use crate::client::{JsonObject, print};
use crate::json::{Json, pretty};
use crate::table::table;

/// Characters of an error that a line shows.
const LONGEST_ERROR: usize = 60;

/// `hermod webhooks deliveries`
#[derive(Args, Clone, Debug)]
pub(super) struct Deliveries {
    /// The endpoint; all, where none is named.
    name: Option<String>,
    /// Only these outcomes: `delivered`, `retryable_failure`, `permanent_failure`, `exhausted`; with commas between.
    #[arg(long, value_name = "OUTCOMES")]
    outcome: Option<String>,
    /// Only these events: completed, failed, cancelled; with commas between.
    #[arg(long, value_name = "EVENTS", value_delimiter = ',')]
    event: Vec<String>,
    /// Only those of this last time, such as 30m, 24h, 7d.
    #[arg(long, value_name = "TIME")]
    period: Option<String>,
    /// How many deliveries, at most 100; each is shown with all its attempts.
    #[arg(long, default_value_t = 20, value_name = "NUMBER")]
    most: usize,
    /// How many of the newest to leave out.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    skip: usize,
}

/// `hermod webhooks redeliver`
#[derive(Args, Clone, Debug)]
pub(super) struct Redeliver {
    /// The id of one of its lines.
    id: String,
}

/// `hermod webhooks recover`
#[derive(Args, Clone, Debug)]
pub(super) struct Recover {
    /// The endpoint.
    name: String,
    /// A time, such as 2030-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: String,
}

impl Deliveries {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let mut query = vec![("limit", self.most.to_string()), ("offset", self.skip.to_string())];
        if let Some(name) = &self.name {
            query.push(("endpoint_ids", id_of(name, administration).await?));
        }
        query.extend(self.outcome.map(|outcomes| ("outcomes", outcomes)));
        query.extend(self.event.iter().map(|event| ("events", event_of(event))));
        query.extend(self.period.map(|period| ("period", period)));
        let request = administration.request(Method::GET, &["deliveries"]).query(&query);
        let answer = administration.ask(request).await?;
        if json {
            print(&pretty(answer.get()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let shown = Json::new(&answer);
        let rows: Vec<_> = shown.get("deliveries").items().collect();
        print(&if rows.is_empty() { "no deliveries".to_owned() } else { lines(&rows) })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The id of an endpoint. What is an id already may be that of one that was deleted.
async fn id_of(name: &str, administration: &Administration) -> anyhow::Result<String> {
    if name.parse::<hermod_types::webhook::EndpointId>().is_ok() {
        return Ok(name.to_owned());
    }
    let endpoint = administration.ask(administration.request(Method::GET, &[name])).await?;
    Ok(text_of(Json::new(&endpoint), "id"))
}

fn lines(deliveries: &[Json<'_>]) -> String {
    let mut rows = table(["TIME", "EVENT", "ATTEMPT", "OUTCOME", "STATUS", "JOB", "ID", "ERROR"]);
    for row in deliveries {
        let status = match row.get("status_code").raw() {
            "0" => "-",
            status => status,
        };
        rows.add_row([
            text_of(*row, "created_at"),
            word_of(&text_of(*row, "event")).to_owned(),
            row.get("attempt_no").raw().to_owned(),
            text_of(*row, "outcome"),
            status.to_owned(),
            text_of(*row, "async_job_id"),
            text_of(*row, "id"),
            first_line(&row.get("error").string().unwrap_or_default()),
        ]);
    }
    rows.trim_fmt()
}

/// The beginning of an error. The receiver has written it, so it is not for a terminal as it is.
fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    line.chars().filter(|character| !character.is_control()).take(LONGEST_ERROR).collect()
}

impl Redeliver {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let request = administration.request(Method::POST, &["deliveries", &self.id, "redeliver"]);
        let answer = administration.ask(request).await?;
        print(&if json {
            pretty(answer.get())
        } else {
            format!("queued again: webhook-id {}", text_of(Json::new(&answer), "webhook_id"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Recover {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let mut body = JsonObject::new();
        body.set("since", &self.since)?;
        let request = administration.request(Method::POST, &[&self.name, "recover"]).body(body.end());
        let answer = administration.ask(request.for_long()).await?;
        print(&if json {
            pretty(answer.get())
        } else {
            format!("queued again: {}", Json::new(&answer).get("count").raw())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
