//! `hermod usage`: what was used, by day, virtual key and model.

use std::process::ExitCode;

use clap::Args;
use hermod_client::Method;

use crate::administration::Login;
use crate::client::print;
use crate::json::{Json, pretty};
use crate::table::table;

/// `hermod usage`
#[derive(Args, Clone, Debug)]
#[command(after_help = "hermod usage --from 2030-01-01 --to 2030-01-31\n\
    hermod usage --key 7c9d… --json")]
pub struct Usage {
    #[command(flatten)]
    login: Login,
    /// The first day, in UTC; 30 days ago by default.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<String>,
    /// The last day; today by default.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<String>,
    /// Only the virtual key with this id.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Print what the API answers, as JSON.
    #[arg(long)]
    json: bool,
}

impl Usage {
    /// Prints it.
    ///
    /// # Errors
    /// If the API does not answer, does not let this user administer, or knows no such day.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let administration = self.login.administration("/api/governance")?;
        let query = [("from", self.from), ("to", self.to), ("virtual_key_id", self.key)];
        let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let request = administration.request(Method::GET, &["usage"]).query(&query);
        let answer = administration.ask(request).await?;
        let rows: Vec<_> = Json::new(&answer).get("rows").items().collect();
        print(&if self.json {
            pretty(answer.get())
        } else if rows.is_empty() {
            "nothing was used".to_owned()
        } else {
            lines(&rows)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn lines(used: &[Json<'_>]) -> String {
    let text = |row: &Json<'_>, member: &str| {
        row.get(member).string().filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
    };
    let mut rows =
        table(["DATE", "KEY", "MODEL", "REQUESTS", "INPUT", "OUTPUT", "DOLLARS", "UNPRICED", "UNKNOWN"]);
    for row in used {
        let mut cells = vec![text(row, "date"), text(row, "name"), text(row, "model")];
        for member in ["requests", "input_tokens", "output_tokens", "cost", "unpriced_calls", "unknown_calls"]
        {
            let value = row.get(member);
            cells.push(if member == "cost" { value.dollars() } else { value.raw().to_owned() });
        }
        rows.add_row(cells);
    }
    rows.trim_fmt()
}
