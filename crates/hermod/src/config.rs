//! `hermod config`: what a config.json does here, without its secrets.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use hermod_providers::Providers;
use hermod_types::Config;
use hermod_types::config::ProviderConfig;
use hermod_types::webhook::Endpoint;
use reqwest::Url;

use crate::client::print;
use crate::config_limits::{describe_defaults, describe_limits, describe_virtual_key};

/// `hermod config`
#[derive(Args, Clone, Debug)]
pub struct Settings {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Say what of a config.json would be used, ignored and refused; exit with 1 if anything is refused
    ///
    /// Variables that the file refers to are looked up, as a worker does. No secret is printed.
    Check {
        /// The file.
        file: PathBuf,
    },
}

impl Settings {
    /// Runs the command.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Command::Check { file } = self.command;
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let (report, is_refused) = check(&file, &text);
        print(report.trim_end())?;
        Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// What is to be said of the file, and whether it cannot be used.
fn check(file: &Path, text: &str) -> (String, bool) {
    let (config, errors) = Config::inspect(text, &hermod_service::variable);
    let mut refused: Vec<String> = errors.iter().map(ToString::to_string).collect();
    if refused.is_empty() {
        refused = unusable_providers(&config);
    }
    let ignored: Vec<String> = config
        .ignored
        .iter()
        .cloned()
        .chain(config.unsupported.iter().map(|name| format!("providers.{name}: its API is not spoken yet")))
        .collect();
    let is_refused = |path: &str| refused.iter().any(|error| error.starts_with(path));

    let mut out = String::new();
    if !is_refused("line ") {
        let providers = config
            .providers
            .iter()
            .filter(|(name, _)| {
                !is_refused(&format!("providers.{name}.")) && !is_refused(&format!("provider {name}:"))
            })
            .map(|(name, provider)| (name.as_str(), describe_provider(provider)));
        let keys = config.definitions.virtual_keys.iter().enumerate();
        let keys = keys
            .filter(|(index, _)| !is_refused(&format!("governance.virtual_keys[{index}]")))
            .map(|(_, key)| (key.id.as_str(), describe_virtual_key(key)));
        section(&mut out, "Used: providers", &rows(providers));
        section(&mut out, "Used: virtual keys", &rows(keys));
        let limits = describe_limits(&config.definitions);
        let limits = limits.iter().map(|(id, text)| (id.as_str(), text.clone()));
        section(&mut out, "Used: limits", &rows(limits));
        section(&mut out, "Used: client", &describe_client(&config));
        let webhooks = config.webhooks.iter();
        let webhooks = webhooks.map(|endpoint| (endpoint.name.as_str(), describe_webhook(endpoint)));
        section(&mut out, "Used: webhooks", &rows(webhooks));
        section(&mut out, "Used: administration", describe_administration(&config).as_slice());
    }
    section(&mut out, "Ignored", &ignored);
    section(&mut out, "Refused", &refused);
    let verdict = match refused.len() {
        0 => "can be used".to_owned(),
        1 => "cannot be used: 1 error".to_owned(),
        errors => format!("cannot be used: {errors} errors"),
    };
    out.push_str(&format!("{} {verdict}", file.display()));
    (out, !refused.is_empty())
}

/// What a worker would say of each provider at its start: certificates, headers, service accounts.
fn unusable_providers(config: &Config) -> Vec<String> {
    let alone = |(name, provider): (&String, &ProviderConfig)| {
        let providers = [(name.clone(), provider.clone())].into();
        Providers::new(&Config { providers, ..Config::default() }).err().map(|error| error.to_string())
    };
    config.providers.iter().filter_map(alone).collect()
}

/// A heading, and what stands below it; nothing where that is nothing.
fn section(out: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    out.push_str(heading);
    for line in lines {
        out.push_str("\n  ");
        out.push_str(line);
    }
    out.push_str("\n\n");
}

/// Names and what is said of them, in two columns.
fn rows<'a>(entries: impl Iterator<Item = (&'a str, String)>) -> Vec<String> {
    let entries: Vec<_> = entries.collect();
    let width = entries.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    entries.into_iter().map(|(name, text)| format!("{name:<width$}  {text}")).collect()
}

fn describe_client(config: &Config) -> Vec<String> {
    let needs = if config.require_virtual_key { "a virtual key" } else { "no virtual key" };
    let mut lines =
        vec![format!("results are kept for {} s; a submit needs {needs}", u64::from(config.default_ttl))];
    lines.extend(describe_defaults(&config.definitions));
    let made: Vec<_> = config.definitions.unknown_keys().collect();
    if !made.is_empty() {
        lines.push(format!(
            "hermod.keys names what the file does not define, and must have been made over HTTP: {}",
            made.join(", ")
        ));
    }
    if !config.webhook_origins.is_empty() {
        lines.push(format!(
            "a submit may name an address for its webhook, at {} origins",
            config.webhook_origins.len()
        ));
    }
    lines
}

fn describe_webhook(endpoint: &Endpoint) -> String {
    let events: Vec<_> = endpoint.events.iter().map(|event| event.as_str()).collect();
    // The rest of an address may be secret.
    let mut text = format!("{}: {}", endpoint.url.url().origin().ascii_serialization(), events.join(", "));
    if endpoint.disabled {
        text.push_str("; disabled");
    }
    text
}

fn describe_administration(config: &Config) -> Option<String> {
    match (&config.admin, &config.setup_token) {
        (Some(_), _) => Some("/api wants the administrator's login".to_owned()),
        (None, Some(_)) => Some("/api wants the setup token".to_owned()),
        (None, None) => None,
    }
}

fn describe_provider(provider: &ProviderConfig) -> String {
    let configured = provider.base_url.as_deref().or(provider.kind.base_url());
    let mut text = match configured.map(shown_url) {
        Some(url) => format!("{} at {url}", provider.kind),
        None => format!("{} at the addresses of its keys", provider.kind),
    };
    let keys: Vec<_> = provider.keys.iter().map(|key| key.name.as_str()).collect();
    // Writing to a string has no way to fail.
    match keys.as_slice() {
        [] => text.push_str(", without a key"),
        [key] => write!(text, ", key {key}").unwrap_or_default(),
        keys => write!(text, ", keys {}", keys.join(", ")).unwrap_or_default(),
    }
    let retries = provider.max_retries;
    write!(text, "; {} s a call, {retries} retries", provider.request_timeout.as_secs()).unwrap_or_default();
    if let Some(allowed) = &provider.allowed {
        let names: Vec<_> = allowed.iter().map(|operation| operation.request_type()).collect();
        let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        write!(text, "; allows {names}").unwrap_or_default();
    }
    text
}

/// An address without what may be secret in it: user, password and query.
fn shown_url(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "an address that is not shown".to_owned() };
    url.set_query(None);
    // Each fails only where there is no host, and then there is nothing to take away.
    url.set_username("").ok();
    url.set_password(None).ok();
    url.to_string().trim_end_matches('/').to_owned()
}
