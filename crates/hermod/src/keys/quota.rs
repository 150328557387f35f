use std::process::ExitCode;

use clap::Args;
use hermod_client::Method;

use super::list::text;
use crate::administration::Administration;
use crate::client::{of_option, print};
use crate::json::{Json, pretty};
use crate::table::table;

/// `hermod keys quota`
#[derive(Args, Clone, Debug)]
pub(super) struct Quota {
    /// The key's value.
    #[arg(long, env = "HERMOD_VIRTUAL_KEY", hide_env_values = true, value_name = "KEY")]
    virtual_key: String,
}

impl Quota {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let request = administration.request(Method::GET, &["quota"]).virtual_key(&self.virtual_key);
        let request = request.map_err(|error| of_option("--virtual-key", error))?;
        let answer = administration.ask(request).await?;
        print(&if json { pretty(answer.get()) } else { shown(Json::new(&answer)) })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(quota: Json<'_>) -> String {
    let mut rows = table(["LIMIT", "USED", "RESERVED", "OF", "RESETS"]);
    limits_of(&mut rows, "", quota);
    for (list, name) in [("provider_configs", "provider"), ("model_configs", "model_name")] {
        for part in quota.get(list).items() {
            limits_of(&mut rows, &format!("{} ", text(part, name)), part);
        }
    }
    let word = if quota.get("is_active").raw() == "true" { "active" } else { "disabled" };
    let number = |name: &str| quota.get(name).raw();
    let mut out = format!(
        "{}: {word}, {} running, {} waiting",
        text(quota, "virtual_key_name"),
        number("running"),
        number("waiting")
    );
    if rows.row_count() > 0 {
        out = format!("{out}\n{}", rows.trim_fmt());
    }
    out
}

fn limits_of(rows: &mut comfy_table::Table, whose: &str, part: Json<'_>) {
    for budget in part.get("budgets").items() {
        rows.add_row([
            format!("{whose}dollars a {}", text(budget, "reset_duration")),
            budget.get("current_usage").dollars(),
            budget.get("reserved").dollars(),
            budget.get("effective_max_limit").dollars(),
            text(budget, "window_ends_at"),
        ]);
    }
    let single = part.get("rate_limit");
    let listed = part.get("rate_limits").items();
    let all = (!single.is_null()).then_some(single).into_iter().chain(listed.filter(|_| single.is_null()));
    for limit in all {
        for what in ["request", "token"] {
            let member = |name: &str| limit.get(&format!("{what}_{name}"));
            if member("max_limit").is_null() {
                continue;
            }
            rows.add_row([
                format!("{whose}{what}s a {}", member("reset_duration").string().unwrap_or_default()),
                member("current_usage").raw().to_owned(),
                member("reserved").raw().to_owned(),
                member("max_limit").raw().to_owned(),
                member("window_ends_at").string().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
    }
}
