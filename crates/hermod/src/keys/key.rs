use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use hermod_client::Method;
use serde_json::{Value, json};

use super::list::{all, text};
use crate::administration::{Administration, is_not_found};
use crate::client::print;
use crate::json::{Json, pretty};

/// One key.
#[derive(Args, Clone, Debug)]
pub(super) struct Named {
    /// The key: its id, or its name.
    key: String,
}

impl Named {
    /// The key's id and itself.
    async fn find(&self, administration: &Administration) -> anyhow::Result<(String, Value)> {
        let request = administration.request(Method::GET, &[&self.key]);
        match administration.ask(request).await {
            Ok(answer) => {
                let answer: Value = serde_json::from_str(answer.get())?;
                return Ok((self.key.clone(), answer["virtual_key"].clone()));
            }
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
        let named = all(administration, &[("search", self.key.clone())]).await?;
        let mut named = named.iter().filter(|key| text(Json::new(key), "name") == self.key);
        match (named.next(), named.next()) {
            (Some(key), None) => Ok((text(Json::new(key), "id"), serde_json::from_str(key.get())?)),
            (Some(_), Some(_)) => bail!("several virtual keys have the name {}: give an id", self.key),
            (None, _) => bail!("no virtual key has the id or the name {}", self.key),
        }
    }

    pub(super) async fn show(self, administration: &Administration) -> anyhow::Result<ExitCode> {
        let (id, mut key) = self.find(administration).await?;
        match administration.ask(administration.request(Method::GET, &[&id, "reveal"])).await {
            Ok(answer) => key["value"] = json!(text(Json::new(&answer), "value")),
            // The masked value stays.
            Err(error) if is_not_found(&error) => writeln!(std::io::stderr(), "{error}")?,
            Err(error) => return Err(error),
        }
        print(&pretty(&key.to_string()))?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn rotate(
        self,
        administration: &Administration,
        json: bool,
    ) -> anyhow::Result<ExitCode> {
        let (id, _) = self.find(administration).await?;
        let request = administration.request(Method::POST, &[&id, "rotate"]);
        let answer = administration.ask(request).await?;
        print(&if json {
            pretty(answer.get())
        } else {
            let key = Json::new(&answer).get("virtual_key");
            let old = match key.get("old_value_until").string() {
                Some(until) => format!("the old value counts until {until}"),
                None => "the old value counts no more".to_owned(),
            };
            format!("{} {}\n{old}", text(key, "name"), text(key, "value"))
        })?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn set_active(
        self,
        is_active: bool,
        administration: &Administration,
        json: bool,
    ) -> anyhow::Result<ExitCode> {
        let (id, key) = self.find(administration).await?;
        let body = json!({"is_active": is_active}).to_string();
        let answer = administration.ask(administration.request(Method::PUT, &[&id]).body(body)).await?;
        let word = if is_active { "active" } else { "disabled" };
        print(&if json {
            pretty(answer.get())
        } else {
            format!("{} is {word}", key["name"].as_str().unwrap_or(&id))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
