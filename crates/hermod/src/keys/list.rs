use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use hermod_client::Method;
use serde_json::value::RawValue;

use crate::administration::Administration;
use crate::client::print;
use crate::json::{Json, pretty};
use crate::table::table;

/// The most that the API gives at once.
const PAGE: usize = 100;

/// `hermod keys list`
#[derive(Args, Clone, Debug)]
pub(super) struct List {
    /// Only those with this in their name.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only those of this team.
    #[arg(long, value_name = "ID")]
    team: Option<String>,
    /// Only those of this customer.
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
}

impl List {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let filters = [("search", self.search), ("team_id", self.team), ("customer_id", self.customer)];
        let filters: Vec<_> = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let all = all(administration, &filters).await?;
        let keys: Vec<_> = all.iter().map(|key| Json::new(key)).collect();
        print(&if json {
            pretty(&serde_json::to_string(&all)?)
        } else if keys.is_empty() {
            "no virtual keys".to_owned()
        } else {
            lines(&keys)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// All that pass the filters, page by page.
///
/// # Errors
/// If the API does not answer, or refuses.
pub(super) async fn all(
    administration: &Administration,
    filters: &[(&str, String)],
) -> anyhow::Result<Vec<Box<RawValue>>> {
    let mut all: Vec<Box<RawValue>> = Vec::new();
    loop {
        let page = [("limit", PAGE.to_string()), ("offset", all.len().to_string())];
        let request = administration.request(Method::GET, &[]).query(&page).query(filters);
        let answer = administration.ask(request).await?;
        let page: Vec<_> = serde_json::from_str(Json::new(&answer).get("virtual_keys").raw())
            .context("the answer has no virtual keys")?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn lines(keys: &[Json<'_>]) -> String {
    let mut rows = table(["NAME", "ID", "VALUE", "STATE", "OF", "BUDGETS", "REQUESTS", "TOKENS"]);
    for key in keys {
        let limits = key.get("rate_limit");
        rows.add_row([
            text(*key, "name"),
            text(*key, "id"),
            text(*key, "value"),
            state(*key),
            owner(*key),
            key.get("budgets").items().map(money).collect::<Vec<_>>().join(", "),
            rate(limits, "request"),
            rate(limits, "token"),
        ]);
    }
    rows.trim_fmt()
}

/// A member's text; `-` where there is none.
pub(super) fn text(object: Json<'_>, member: &str) -> String {
    object.get(member).string().unwrap_or_else(|| "-".to_owned())
}

fn state(key: Json<'_>) -> String {
    let word = if key.get("is_active").raw() == "true" { "active" } else { "disabled" };
    match key.get("expires_at").string() {
        Some(time) => format!("{word}, until {time}"),
        None => word.to_owned(),
    }
}

fn owner(key: Json<'_>) -> String {
    match (key.get("team_id").string(), key.get("customer_id").string()) {
        (Some(team), _) => format!("team {team}"),
        (None, Some(customer)) => format!("customer {customer}"),
        (None, None) => "-".to_owned(),
    }
}

/// What is used of a budget, and how much it is.
pub(super) fn money(budget: Json<'_>) -> String {
    let (used, max) = (budget.get("current_usage").dollars(), budget.get("effective_max_limit").dollars());
    format!("${used} of ${max} a {}", text(budget, "reset_duration"))
}

/// What is used of a limit of tokens or requests; nothing where there is none.
pub(super) fn rate(limit: Json<'_>, what: &str) -> String {
    let member = |name: &str| limit.get(&format!("{what}_{name}"));
    if member("max_limit").is_null() {
        return String::new();
    }
    let (used, max) = (member("current_usage").raw(), member("max_limit").raw());
    format!("{used} of {max} a {}", member("reset_duration").string().unwrap_or_default())
}
