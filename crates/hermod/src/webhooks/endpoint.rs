//! Endpoints: shown, changed, tested.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use hermod_client::Method;
use serde_json::Value;

use crate::administration::Administration;
use crate::client::{JsonObject, print};
use crate::json::{Json, pretty};
use crate::table::table;

/// How an event begins in the API.
const EVENT_PREFIX: &str = "async_job.";
/// The most that the API gives at once.
const PAGE: usize = 100;

/// `hermod webhooks list`
#[derive(Args, Clone, Debug)]
pub(super) struct List {
    /// Only those with this in their name or address.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

/// One endpoint.
#[derive(Args, Clone, Debug)]
pub(super) struct Named {
    /// The endpoint.
    name: String,
}

/// `hermod webhooks rotate`
#[derive(Args, Clone, Debug)]
pub(super) struct Rotate {
    /// The endpoint.
    name: String,
    /// Sign with the old secret besides, for so long; at most a day.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    keep_old: u64,
}

/// `hermod webhooks delete`
#[derive(Args, Clone, Debug)]
pub(super) struct Delete {
    /// The endpoints.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// `hermod webhooks test`
#[derive(Args, Clone, Debug)]
pub(super) struct Test {
    /// The endpoint.
    name: String,
    /// A sample of this event, in place of `webhook.test`.
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
}

/// An event as the API calls it.
pub(super) fn event_of(word: &str) -> String {
    if word.contains('.') { word.to_owned() } else { format!("{EVENT_PREFIX}{word}") }
}

/// An event as it is called here.
pub(super) fn word_of(event: &str) -> &str {
    event.strip_prefix(EVENT_PREFIX).unwrap_or(event)
}

/// A member's text; `-` where there is none.
pub(super) fn text_of(object: Json<'_>, member: &str) -> String {
    object.get(member).string().unwrap_or_else(|| "-".to_owned())
}

/// What is said of a new secret.
pub(super) fn with_secret(answer: Json<'_>) -> String {
    format!("secret: {}   (it is not shown again)", text_of(answer, "secret"))
}

impl List {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let mut all: Vec<Box<serde_json::value::RawValue>> = Vec::new();
        loop {
            let page = [("limit", PAGE.to_string()), ("offset", all.len().to_string())];
            let search = self.search.iter().map(|text| ("search", text.clone()));
            let query: Vec<_> = page.into_iter().chain(search).collect();
            let answer = administration.ask(administration.request(Method::GET, &[]).query(&query)).await?;
            let page: Vec<_> = serde_json::from_str(Json::new(&answer).get("endpoints").raw())
                .context("the answer has no endpoints")?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                break;
            }
        }
        let endpoints: Vec<_> = all.iter().map(|endpoint| Json::new(endpoint)).collect();
        print(&if json {
            pretty(&serde_json::to_string(&all)?)
        } else if endpoints.is_empty() {
            "no endpoints".to_owned()
        } else {
            lines(&endpoints)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn lines(endpoints: &[Json<'_>]) -> String {
    let mut rows = table(["NAME", "URL", "EVENTS", "STATE", "FAILURES", "LAST SUCCESS", "LAST FAILURE"]);
    for endpoint in endpoints {
        let events: Vec<_> = endpoint
            .get("events")
            .items()
            .filter_map(Json::string)
            .map(|event| word_of(&event).to_owned())
            .collect();
        let state = match (endpoint.get("disabled").raw(), endpoint.get("disabled_reason").string()) {
            ("true", Some(reason)) => format!("disabled: {reason}"),
            ("true", None) => "disabled".to_owned(),
            _ => "enabled".to_owned(),
        };
        rows.add_row([
            text_of(*endpoint, "name"),
            text_of(*endpoint, "url"),
            events.join(","),
            state,
            endpoint.get("consecutive_failures").raw().to_owned(),
            text_of(*endpoint, "last_success_at"),
            text_of(*endpoint, "last_failure_at"),
        ]);
    }
    rows.trim_fmt()
}

impl Named {
    pub(super) async fn show(self, administration: &Administration) -> anyhow::Result<ExitCode> {
        let answer = administration.ask(administration.request(Method::GET, &[&self.name])).await?;
        print(&pretty(answer.get()))?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn enable(
        self,
        administration: &Administration,
        json: bool,
    ) -> anyhow::Result<ExitCode> {
        let request = administration.request(Method::POST, &[&self.name, "enable"]);
        let answer = administration.ask(request).await?;
        print(&if json { pretty(answer.get()) } else { format!("{} is enabled", self.name) })?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn disable(
        self,
        administration: &Administration,
        json: bool,
    ) -> anyhow::Result<ExitCode> {
        // What is shown can be sent back: the values of its headers are kept.
        let shown = administration.ask(administration.request(Method::GET, &[&self.name])).await?;
        let mut endpoint: Value = serde_json::from_str(shown.get())?;
        endpoint["disabled"] = Value::Bool(true);
        let id = text_of(Json::new(&shown), "id");
        let request = administration.request(Method::PUT, &[&id]).body(endpoint.to_string());
        let answer = administration.ask(request).await?;
        print(&if json { pretty(answer.get()) } else { format!("{} is disabled", self.name) })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Rotate {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let mut body = JsonObject::new();
        body.set("keep_old_secret_seconds", &self.keep_old)?;
        let request = administration.request(Method::POST, &[&self.name, "rotate-secret"]).body(body.end());
        let answer = administration.ask(request).await?;
        print(&if json {
            pretty(answer.get())
        } else {
            let signs = match self.keep_old {
                0 => "the old one signs no more".to_owned(),
                seconds => format!("the old one signs besides for {seconds} s"),
            };
            format!("{}; {signs}", with_secret(Json::new(&answer)))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Delete {
    pub(super) async fn run(self, administration: &Administration) -> anyhow::Result<ExitCode> {
        for name in &self.names {
            let request = administration.request(Method::DELETE, &[name]);
            administration.ask(request).await.with_context(|| name.clone())?;
            print(&format!("{name} is deleted"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Test {
    pub(super) async fn run(self, administration: &Administration, json: bool) -> anyhow::Result<ExitCode> {
        let mut body = JsonObject::new();
        if let Some(event) = &self.event {
            body.set("event", &event_of(event))?;
        }
        let request = administration.request(Method::POST, &[&self.name, "test"]).body(body.end());
        let answer = administration.ask(request.for_long()).await?;
        let shown = Json::new(&answer);
        let is_delivered = shown.get("delivered").raw() == "true";
        print(&if json {
            pretty(answer.get())
        } else {
            let ms = shown.get("duration_ms").raw();
            match shown.get("error").string() {
                Some(error) => format!("not delivered, after {ms} ms: {error}"),
                None => format!("delivered: {} after {ms} ms", shown.get("receiver_status_code").raw()),
            }
        })?;
        Ok(if is_delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
