//! How a file becomes a [`Config`].

use std::time::Duration;

use super::node::Node;
use super::read_governance::read_governance;
use super::read_pricing::read_source;
use super::read_provider::{Read, read_provider};
use super::read_virtual_key::read_ours;
use super::read_webhook::read_webhooks;
use super::section::{Report, Section};
use super::{AdminLogin, Config, ConfigError, Environment, WebhookOrigin};
use crate::Ttl;
use crate::governance::Version;

/// The longest that the history of deliveries is kept.
const MOST_HISTORY_DAYS: u64 = 3650;

/// Whether the secrets of providers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProviderSecrets {
    /// With the values of the variables that they name, which must be set.
    Resolved,
    /// Not at all: no variable is looked up for them.
    Unread,
}

/// Reads all of `text`, whatever is wrong with it. What has errors is in the configuration as far as it could be read.
pub(super) fn read(
    text: &str,
    environment: Environment<'_>,
    secrets: ProviderSecrets,
) -> (Config, Vec<ConfigError>) {
    let report = Report::new(environment);
    let mut config = Config::default();
    match serde_json::from_str::<Node>(text) {
        Ok(node) => read_file(Section::root(node, &report), secrets, &mut config, &report),
        Err(error) => {
            let path = format!("line {} column {}", error.line(), error.column());
            let message = error.to_string();
            report.wrong(path, message.split(" at line ").next().unwrap_or_default());
        }
    }
    let (errors, ignored) = report.into_parts();
    config.ignored = summarise(ignored);
    (config, errors)
}

fn read_file(mut file: Section<'_>, secrets: ProviderSecrets, config: &mut Config, report: &Report<'_>) {
    config.definitions.version = read_version(&mut file).unwrap_or_default();
    if let Some(mut framework) = file.section("framework") {
        config.pricing = framework.section("pricing").map(read_source).unwrap_or_default();
        framework.finish();
    }
    if let Some(mut client) = file.section("client") {
        let old = client.boolean("enforce_governance_header");
        config.require_virtual_key = client.boolean("enforce_auth_on_inference").or(old).unwrap_or_default();
        config.rotation_cooldown = read_cooldown(&mut client).unwrap_or_default();
        let ttl = client.whole("async_job_result_ttl").and_then(Ttl::from_seconds);
        config.default_ttl = ttl.unwrap_or(config.default_ttl);
        config.webhook_origins = read_origins(&mut client);
        if let Some(mut webhooks) = client.section("webhook_config") {
            let days = webhooks.whole("delivery_history_retention_days").filter(|days| *days > 0);
            config.webhook_history = days.map_or(config.webhook_history, history_of);
            webhooks.finish();
        }
        client.finish();
    }
    for (name, node) in file.entries("providers") {
        let mut section = file.child(&format!("providers.{name}"), node);
        if secrets == ProviderSecrets::Unread {
            section = section.unresolved();
        }
        match read_provider(&name, section, report) {
            Read::Provider(provider) => {
                config.providers.insert(name, *provider);
            }
            Read::Unsupported => config.unsupported.push(name),
        }
    }
    let mut login = None;
    if let Some(mut governance) = file.section("governance") {
        read_governance(&mut governance, config, report);
        login = governance.section("auth_config");
        governance.finish();
    }
    // The place that Bifrost had before.
    let old_login = file.section("auth_config");
    config.admin = login.or(old_login).and_then(read_login);
    config.setup_token = file.secret("setup_token");
    config.webhooks = read_webhooks(&mut file, report);
    if let Some(ours) = file.section("hermod") {
        read_ours(ours, config);
    }
    file.finish();
}

fn read_origins(client: &mut Section<'_>) -> Vec<WebhookOrigin> {
    let mut origins = Vec::new();
    for (index, text) in client.texts("allow_webhook_urls").unwrap_or_default().iter().enumerate() {
        match WebhookOrigin::parse(text) {
            Some(origin) => origins.push(origin),
            None => client.wrong(
                &format!("allow_webhook_urls[{index}]"),
                "expected scheme and host, as in https://example.com or http://10.0.0.5:8080",
            ),
        }
    }
    origins
}

fn history_of(days: u64) -> Duration {
    Duration::from_secs(days.min(MOST_HISTORY_DAYS) * 24 * 3600)
}

/// The login, if it is enabled: the variables of one that is not may be unset.
fn read_login(mut file: Section<'_>) -> Option<AdminLogin> {
    let is_enabled = file.boolean("is_enabled").unwrap_or_default();
    let login = if is_enabled {
        let mut needed = |name| file.needed(name, "expected a string that is not empty", Section::secret);
        Some(AdminLogin { username: needed("admin_username"), password: needed("admin_password") })
    } else {
        file.pass_over(&["admin_username", "admin_password"]);
        None
    };
    file.finish();
    login
}

/// How long the value before a key's rotation counts: a duration, or none.
fn read_cooldown(client: &mut Section<'_>) -> Option<Duration> {
    let cooldown = |node| if let Node::Text(text) = node { crate::governance::span_of(&text) } else { None };
    client.read("vk_rotation_cooldown", "a duration such as 30s or 5m", cooldown)
}

fn read_version(file: &mut Section<'_>) -> Option<Version> {
    let version = |node| match if let Node::Number(number) = node { number.as_u64() } else { None } {
        Some(1) => Some(Version::One),
        Some(2) => Some(Version::Two),
        Some(_) | None => None,
    };
    file.read("version", "1 or 2", version)
}

/// One entry for each distinct path, with list positions, the names of providers and the ids of keys left out.
fn summarise(paths: Vec<String>) -> Vec<String> {
    let general = |path: String| {
        let mut parts: Vec<&str> =
            path.split('.').map(|part| part.split_once('[').map_or(part, |(part, _)| part)).collect();
        if let ["providers", name, ..] | ["hermod", "keys" | "providers", name, ..] = parts.as_mut_slice() {
            *name = "*";
        }
        parts.join(".")
    };
    let mut names: Vec<_> = paths.into_iter().map(general).collect();
    names.sort_unstable();
    names.dedup();
    names
}
