use std::convert::Infallible;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use hermod_client::Method;
use serde_json::{Map, Value, json};

use super::list::text;
use crate::administration::Administration;
use crate::client::{Field, print};
use crate::json::{Json, pretty};

/// `hermod keys create`
#[derive(Args, Clone, Debug)]
pub(super) struct Create {
    /// What people call it.
    name: String,
    /// A provider that it may use, `demo`, or some of its models, `openai:gpt-4o,gpt-4o-mini`; may be given again. `*` for all.
    #[arg(long = "provider", value_name = "PROVIDER[:MODELS]")]
    providers: Vec<Grant>,
    /// Its team.
    #[arg(long, value_name = "ID", conflicts_with = "customer")]
    team: Option<String>,
    /// Its customer.
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// So many dollars in a time, such as `10/1M`; may be given again.
    #[arg(long = "budget", value_name = "DOLLARS/TIME")]
    budgets: Vec<Amount>,
    /// So many requests in a time, such as `100/1m`.
    #[arg(long, value_name = "NUMBER/TIME")]
    requests: Option<Amount>,
    /// So many tokens in a time, such as `100000/1m`.
    #[arg(long, value_name = "NUMBER/TIME")]
    tokens: Option<Amount>,
    /// Jobs that run at one time.
    #[arg(long, value_name = "JOBS")]
    max_concurrent: Option<u64>,
    /// Jobs that wait at one time.
    #[arg(long, value_name = "JOBS")]
    max_waiting: Option<u64>,
    /// Its share of the starts beside other keys; 1 by default.
    #[arg(long, value_name = "NUMBER")]
    weight: Option<f64>,
    /// A time from which on it may not be used any more, such as 2030-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Another member, such as `calendar_aligned=true`; may be given again.
    #[arg(long = "field", value_name = "NAME=VALUE")]
    fields: Vec<Field>,
}

/// A provider, and the models of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    provider: String,
    models: Vec<String>,
}

/// A number, and the time that it is for.
#[derive(Clone, Debug, PartialEq)]
struct Amount {
    number: f64,
    time: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number and a time, such as 100/1m")]
struct InvalidAmount;

impl FromStr for Grant {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (provider, models) = text.split_once(':').unwrap_or((text, "*"));
        Ok(Self { provider: provider.to_owned(), models: models.split(',').map(str::to_owned).collect() })
    }
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (number, time) = text.split_once('/').ok_or(InvalidAmount)?;
        let number = number.parse().map_err(|_| InvalidAmount)?;
        if time.is_empty() { Err(InvalidAmount) } else { Ok(Self { number, time: time.to_owned() }) }
    }
}

impl Amount {
    /// Without a point where it is whole: a limit of requests is no `100.0`.
    fn json(&self) -> Value {
        serde_json::from_str(&self.number.to_string()).unwrap_or_else(|_| json!(self.number))
    }
}

impl Create {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let request = administration.request(Method::POST, &[]).body(self.body().to_string());
        let answer = administration.ask(request).await?;
        print(&if json {
            pretty(answer.get())
        } else {
            let key = Json::new(&answer).get("virtual_key");
            format!("{} {}\nid {}", text(key, "name"), text(key, "value"), text(key, "id"))
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        set("name", Some(json!(self.name)));
        set("team_id", self.team.as_ref().map(|id| json!(id)));
        set("customer_id", self.customer.as_ref().map(|id| json!(id)));
        set("expires_at", self.expires.as_ref().map(|time| json!(time)));
        set("max_concurrent", self.max_concurrent.map(|jobs| json!(jobs)));
        set("max_waiting", self.max_waiting.map(|jobs| json!(jobs)));
        set("weight", self.weight.map(|weight| json!(weight)));
        let all = self.providers.iter().any(|grant| grant.provider == "*");
        set("allow_all_providers", all.then_some(json!(true)));
        let grants: Vec<_> = self
            .providers
            .iter()
            .filter(|grant| grant.provider != "*")
            .map(|grant| {
                json!({"provider": grant.provider, "allowed_models": grant.models, "key_ids": ["*"], "weight": 1})
            })
            .collect();
        set("provider_configs", Some(json!(grants)));
        let budgets: Vec<_> = self
            .budgets
            .iter()
            .map(|budget| json!({"max_limit": budget.json(), "reset_duration": budget.time}))
            .collect();
        set("budgets", (!budgets.is_empty()).then(|| json!(budgets)));
        let mut limit = Map::new();
        for (what, amount) in [("request", &self.requests), ("token", &self.tokens)] {
            if let Some(amount) = amount {
                limit.insert(format!("{what}_max_limit"), amount.json());
                limit.insert(format!("{what}_reset_duration"), json!(amount.time));
            }
        }
        set("rate_limit", (!limit.is_empty()).then_some(Value::Object(limit)));
        for field in &self.fields {
            // What is no JSON is a text.
            let value = serde_json::from_str(&field.value).unwrap_or_else(|_| json!(field.value));
            set(&field.name, Some(value));
        }
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_grants_are_read() {
        let amount = |text: &str| Amount::from_str(text).map(|amount| (amount.json(), amount.time));
        assert_eq!(amount("100/1m"), Ok((json!(100), "1m".to_owned())));
        assert_eq!(amount("0.5/1M"), Ok((json!(0.5), "1M".to_owned())));
        for wrong in ["", "100", "100/", "x/1m", "/1m"] {
            assert_eq!(amount(wrong), Err(InvalidAmount), "{wrong}");
        }
        let grant = |text: &str| Grant::from_str(text).map(|grant| (grant.provider, grant.models));
        assert_eq!(grant("demo"), Ok(("demo".to_owned(), vec!["*".to_owned()])));
        assert_eq!(grant("openai:a,b"), Ok(("openai".to_owned(), vec!["a".to_owned(), "b".to_owned()])));
    }
}
