use std::process::ExitCode;

use clap::Args;
use hermod_client::Method;

use super::endpoint::{event_of, text_of, with_secret};
use crate::administration::Administration;
use crate::client::{Field, JsonObject, print};
use crate::json::{Json, pretty};

/// `hermod webhooks create`
#[derive(Args, Clone, Debug)]
pub(super) struct Create {
    /// What jobs call it.
    name: String,
    /// Where deliveries go: https, or http with --allow-private-network.
    // `url` is where the API is.
    #[arg(value_name = "URL")]
    receiver: String,
    /// What it is told of: completed, failed, cancelled; may be given again. Who does not take `cancelled` is told `failed`.
    #[arg(long = "event", value_name = "EVENT", default_values = ["completed", "failed"])]
    events: Vec<String>,
    /// A header that is sent with each delivery; may be given again.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<Field>,
    /// Send the result or the error along.
    #[arg(long)]
    include_response: bool,
    /// Deliver to private and loopback addresses, too, and over http.
    #[arg(long)]
    allow_private_network: bool,
    /// Another member, such as `max_retries=8`; may be given again.
    #[arg(long = "field", value_name = "NAME=VALUE")]
    fields: Vec<Field>,
}

impl Create {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let request = administration.request(Method::POST, &[]).body(self.body()?);
        let answer = administration.ask(request).await?;
        if json {
            print(&pretty(answer.get()))?;
        } else {
            let answer = Json::new(&answer);
            let endpoint = answer.get("endpoint");
            let (name, url) = (text_of(endpoint, "name"), text_of(endpoint, "url"));
            print(&format!("{name} is told at {url}\n{}", with_secret(answer)))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn body(&self) -> anyhow::Result<String> {
        let mut headers = JsonObject::new();
        for Field { name, value } in &self.headers {
            headers.set(name, value)?;
        }
        let mut body = JsonObject::new();
        body.set("name", &self.name)?;
        body.set("url", &self.receiver)?;
        body.set("events", &self.events.iter().map(|event| event_of(event)).collect::<Vec<_>>())?;
        body.set_raw("headers", &headers.end())?;
        body.set("include_response", &self.include_response)?;
        body.set("allow_private_network", &self.allow_private_network)?;
        for field in &self.fields {
            body.set_field(field)?;
        }
        Ok(body.end())
    }
}
