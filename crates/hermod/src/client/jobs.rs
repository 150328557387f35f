use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use hermod_types::Timestamp;
use reqwest::Url;
use serde_json::value::RawValue;

use super::{Api, Server, TIMEOUT, endpoint, json, print};
use crate::json::Json;
use crate::table::table;

/// Jobs that the API gives at once.
const PAGE: usize = 100;
/// The wait between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(1);

/// `hermod jobs`
#[derive(Args, Clone, Debug)]
#[command(after_help = "The jobs of a virtual key, the newest first.\n\n\
    hermod jobs --status failed --limit 5\n\
    hermod jobs --endpoint chat --model demo/echo --after 2026-02-19T08:00:00Z\n\
    hermod jobs --watch --json")]
pub struct Jobs {
    #[command(flatten)]
    server: Server,
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

/// A page, as it came.
struct Page(Box<RawValue>);

impl Jobs {
    /// Prints the jobs; with `--watch`, until it is stopped.
    ///
    /// # Errors
    /// If the API does not take a filter, or does not answer.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut query: Vec<(&str, String)> = vec![("include", "endpoint,model".to_owned())];
        if let Some(name) = &self.endpoint {
            query.push(("endpoint", endpoint::parse(name)?.path().to_owned()));
        }
        let given = [
            ("status", &self.status),
            ("model", &self.model),
            ("created_after", &self.after),
            ("created_before", &self.before),
        ];
        query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        let api = self.server.clone().api()?;
        if self.watch {
            return self.follow(&api, &query).await;
        }
        let pages = api.pages(&query, self.limit).await?;
        let jobs = || pages.iter().flat_map(Page::jobs).take(self.limit);
        if self.json {
            for job in jobs() {
                print(job.raw())?;
            }
        } else {
            let mut table = table(["ID", "STATUS", "ENDPOINT", "MODEL", "CREATED", "TOOK"]);
            for job in jobs() {
                table.add_row(row(job));
            }
            print(&table.to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The newest jobs, and each of them again whenever it has changed.
    async fn follow(&self, api: &Api, query: &[(&str, String)]) -> anyhow::Result<ExitCode> {
        let mut shown: HashMap<String, String> = HashMap::new();
        loop {
            let pages = api.pages(query, self.limit).await?;
            let mut jobs: Vec<_> = pages.iter().flat_map(Page::jobs).take(self.limit).collect();
            jobs.reverse();
            let mut now = HashMap::with_capacity(jobs.len());
            for job in jobs {
                let (id, text) = (job.get("id").raw().to_owned(), job.raw().to_owned());
                if shown.get(&id) != Some(&text) {
                    print(&if self.json { text.clone() } else { row(job).join("  ") })?;
                }
                now.insert(id, text);
            }
            shown = now;
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Api {
    /// As many pages as it takes for so many jobs, or all that there are.
    async fn pages(&self, query: &[(&str, String)], limit: usize) -> anyhow::Result<Vec<Page>> {
        let list = Url::parse(&format!("{}/v1/async/jobs", self.url.trim_end_matches('/')))?;
        let (mut pages, mut count, mut after) = (Vec::new(), 0, None::<String>);
        loop {
            let wanted = (limit - count).min(PAGE).to_string();
            let mut url = list.clone();
            url.query_pairs_mut()
                .extend_pairs(query)
                .append_pair("limit", &wanted)
                .extend_pairs(after.iter().map(|after| ("after", after)));
            let response = self.send(self.client.get(url).timeout(TIMEOUT)).await?;
            let page = Page(json(response.status(), response.text().await?)?);
            count += page.jobs().count();
            let whole = Json::new(&page.0);
            let has_more = whole.get("has_more").raw() == "true";
            after = whole.get("last_id").string();
            pages.push(page);
            if !has_more || count >= limit {
                return Ok(pages);
            }
            after.as_ref().context("the list says that there is more, and not where")?;
        }
    }
}

impl Page {
    fn jobs(&self) -> impl Iterator<Item = Json<'_>> {
        Json::new(&self.0).get("data").items().collect::<Vec<_>>().into_iter()
    }
}

fn row(job: Json<'_>) -> [String; 6] {
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
