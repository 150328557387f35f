//! How a file becomes a [`Config`].

use std::time::Duration;

use secrecy::ExposeSecret;

use super::node::Node;
use super::read_provider::{Read, read_provider};
use super::read_webhook::read_webhooks;
use super::section::{Report, Section};
use super::suggest::did_you_mean;
use super::{AdminLogin, Config, ConfigError, Environment, Models, ProviderGrant, VirtualKey, WebhookOrigin};
use crate::{Timestamp, Ttl};

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
    if let Some(mut client) = file.section("client") {
        config.require_virtual_key = client.boolean("enforce_auth_on_inference").unwrap_or_default();
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
        for key in governance.sections("virtual_keys") {
            read_virtual_key(key, config, report);
        }
        login = governance.section("auth_config");
        governance.finish();
    }
    // The place that Bifrost had before.
    let old_login = file.section("auth_config");
    config.admin = login.or(old_login).and_then(read_login);
    config.setup_token = file.secret("setup_token");
    config.webhooks = read_webhooks(&mut file, report);
    if let Some(mut ours) = file.section("hermod") {
        for (id, node) in ours.entries("keys") {
            read_key_settings(&id, ours.child(&format!("keys.{id}"), node), config);
        }
        ours.finish();
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

/// What `hermod.keys` says of the virtual key with this id.
fn read_key_settings(id: &str, mut file: Section<'_>, config: &mut Config) {
    let webhook_secret = file.signing_secret("webhook_secret");
    match config.virtual_keys.iter_mut().find(|key| key.id == id) {
        Some(key) => key.webhook_secret = webhook_secret,
        None => {
            let hint = did_you_mean(id, config.virtual_keys.iter().map(|key| key.id.as_str()));
            file.wrong("", format!("no virtual key has this id{hint}"));
        }
    }
    file.finish();
}

fn read_virtual_key(mut file: Section<'_>, config: &mut Config, report: &Report<'_>) {
    let before = report.errors();
    let name = file.needed("name", "expected a name", Section::text);
    let value = file.needed("value", "expected a secret, found an empty string", Section::secret);
    let expires = |node| if let Node::Text(text) = node { Timestamp::from_rfc3339(&text) } else { None };
    let key = VirtualKey {
        id: file.text("id").unwrap_or(name),
        value,
        active: file.boolean("is_active").unwrap_or(true),
        expires: file.read("expires_at", "a time such as 2030-01-31T00:00:00Z", expires),
        grants: file
            .sections("provider_configs")
            .into_iter()
            .map(|grant| read_grant(grant, config))
            .collect(),
        webhook_secret: None,
    };
    let is_taken =
        |other: &VirtualKey| other.id == key.id || other.value.expose_secret() == key.value.expose_secret();
    if report.errors() == before && config.virtual_keys.iter().any(is_taken) {
        // Two with one id would see each other's jobs.
        file.wrong("", "expected an id and a value that no other virtual key has");
    }
    config.virtual_keys.push(key);
    file.finish();
}

fn read_grant(mut file: Section<'_>, config: &Config) -> ProviderGrant {
    let provider = file.needed("provider", "expected the name of a provider", Section::text);
    if !config.providers.contains_key(&provider) {
        let hint = did_you_mean(&provider, config.providers.keys().map(String::as_str));
        // A provider that stands elsewhere, or nowhere, is granted for nothing, which does no harm.
        if !hint.is_empty() {
            file.wrong("provider", format!("no provider has this name{hint}"));
        }
    }
    let grant = ProviderGrant {
        provider,
        models: file.texts("allowed_models").unwrap_or_default().into(),
        key_ids: file.texts("key_ids").map_or(Models::All, Into::into),
    };
    file.finish();
    grant
}

/// One entry for each distinct path, with list positions, the names of providers and the ids of keys left out.
fn summarise(paths: Vec<String>) -> Vec<String> {
    let general = |path: String| {
        let mut parts: Vec<&str> =
            path.split('.').map(|part| part.split_once('[').map_or(part, |(part, _)| part)).collect();
        if let ["providers", name, ..] | ["hermod", "keys", name, ..] = parts.as_mut_slice() {
            *name = "*";
        }
        parts.join(".")
    };
    let mut names: Vec<_> = paths.into_iter().map(general).collect();
    names.sort_unstable();
    names.dedup();
    names
}
