//! How a virtual key of the file is read, and what `hermod` says of keys and providers.

use std::collections::BTreeMap;

use super::node::Node;
use super::section::{Report, Section};
use super::suggest::did_you_mean;
use super::{Config, Models};
use crate::Timestamp;
use crate::governance::{
    FileKey, KeyOptions, ProviderGrant, ProviderOptions, UnknownPrice, Version, VirtualKey,
};

/// The most that a key's share may be of another's, and the least.
const WEIGHTS: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// A list of what is allowed; an absent or empty one means what the file's version says.
pub(super) fn allowed(names: Option<Vec<String>>, version: Version) -> Models {
    match (names.unwrap_or_default(), version) {
        (names, Version::One) if names.is_empty() => Models::All,
        (names, _) => names.into(),
    }
}

pub(super) fn read_virtual_key(mut file: Section<'_>, config: &Config, report: &Report<'_>) -> VirtualKey {
    let version = config.definitions.version;
    let before = report.errors();
    let name = file.needed("name", "expected a name", Section::text);
    let mut key = VirtualKey::new(file.text("id").unwrap_or_else(|| name.clone()));
    key.name = name;
    key.description = file.text("description").unwrap_or_default();
    let has_value = file.holds("value");
    key.value = file.secret("value");
    match &key.value {
        Some(value) => {
            let value = value.clone();
            key.set_value(&value);
        }
        None if has_value && report.errors() == before => {
            file.wrong("value", "expected a secret, found an empty string");
        }
        None => {}
    }
    key.is_active = file.boolean("is_active").unwrap_or(true);
    let expires = |node| if let Node::Text(text) = node { Timestamp::from_rfc3339(&text) } else { None };
    key.expires_at = file.read("expires_at", "a time such as 2030-01-31T00:00:00Z", expires);
    key.calendar_aligned = file.boolean("calendar_aligned").unwrap_or_default();
    key.team_id = file.text("team_id");
    key.customer_id = file.text("customer_id");
    key.rate_limit_id = file.text("rate_limit_id");
    let grants = file.sections("provider_configs");
    key.allow_all_providers = file.boolean("allow_all_providers").unwrap_or_default()
        || (version == Version::One && grants.is_empty());
    key.grants = grants.into_iter().map(|grant| read_grant(grant, config, report)).collect();
    refuse_inline(&mut file, "virtual_key_id");
    file.finish();
    key
}

fn read_grant(mut file: Section<'_>, config: &Config, report: &Report<'_>) -> ProviderGrant {
    let version = config.definitions.version;
    let provider = file.needed("provider", "expected the name of a provider", Section::text);
    if !config.providers.contains_key(&provider) {
        let hint = did_you_mean(&provider, config.providers.keys().map(String::as_str));
        // A provider that stands elsewhere, or nowhere, is granted for nothing, which does no harm.
        if !hint.is_empty() {
            file.wrong("provider", format!("no provider has this name{hint}"));
        }
    }
    let before = report.errors();
    let weight = file.number("weight");
    if report.errors() == before && weight.is_some_and(|weight| !(weight.is_finite() && weight >= 0.0)) {
        file.wrong("weight", "expected a weight of 0 or more");
    }
    let grant = ProviderGrant {
        id: file.count("id"),
        provider,
        weight,
        allowed_models: allowed(file.texts("allowed_models"), version),
        blacklisted_models: file.texts("blacklisted_models").unwrap_or_default(),
        key_ids: allowed(file.texts("key_ids"), version),
        rate_limit_id: file.text("rate_limit_id"),
    };
    refuse_inline(&mut file, "provider_config_id");
    file.finish();
    grant
}

/// Notes limits that only the administration takes in this place: whoever writes them here would have none.
fn refuse_inline(file: &mut Section<'_>, owner: &str) {
    let is_empty = |node: &Node| match node {
        Node::Array(elements) => elements.is_empty(),
        Node::Object(members) => members.is_empty(),
        Node::Null | Node::Boolean(_) | Node::Number(_) | Node::Text(_) => false,
    };
    for (member, place) in [
        ("budgets", format!("governance.budgets, with {owner}")),
        ("budget", format!("governance.budgets, with {owner}")),
        ("rate_limit", "governance.rate_limits, with its id as rate_limit_id here".to_owned()),
    ] {
        let node = file.optional(member);
        if node.is_some_and(|node| !is_empty(&node)) {
            file.wrong(member, format!("expected it in {place}"));
        }
    }
}

/// The top-level `hermod`.
pub(super) fn read_ours(mut file: Section<'_>, config: &mut Config) {
    if let Some(mut defaults) = file.section("defaults") {
        config.definitions.defaults = read_options(&mut defaults);
        defaults.finish();
    }
    for (id, node) in file.entries("keys") {
        let mut section = file.child(&format!("keys.{id}"), node);
        let webhook_secret = section.signing_secret("webhook_secret");
        let options = read_options(&mut section);
        let keys = &mut config.definitions.virtual_keys;
        if let Some(key) = keys.iter_mut().find(|key| key.id == id) {
            (key.options, key.webhook_secret) = (options, webhook_secret);
        } else {
            let hint = did_you_mean(&id, keys.iter().map(|key| key.id.as_str()));
            if hint.is_empty() {
                // It may be that of a key that was made over HTTP.
                config.definitions.file_keys.insert(id, FileKey { options, webhook_secret });
            } else {
                section.wrong("", format!("no virtual key has this id{hint}"));
            }
        }
        section.finish();
    }
    for (name, node) in file.entries("providers") {
        let mut section = file.child(&format!("providers.{name}"), node);
        if !config.providers.contains_key(&name) && !config.unsupported.contains(&name) {
            let hint = did_you_mean(&name, config.providers.keys().map(String::as_str));
            section.wrong("", format!("no provider has this name{hint}"));
        }
        let options = ProviderOptions { max_concurrent: read_running(&mut section) };
        section.finish();
        config.definitions.provider_options.insert(name, options);
    }
    config.definitions.unknown_price = read_unknown_price(&mut file).unwrap_or_default();
    file.finish();
}

fn read_options(file: &mut Section<'_>) -> KeyOptions {
    let weight = |node: Node| if let Node::Number(weight) = node { weight.as_f64() } else { None };
    let weight = |node: Node| weight(node).filter(|weight| WEIGHTS.contains(weight));
    KeyOptions {
        max_concurrent: read_running(file),
        max_waiting: file.count("max_waiting"),
        weight: file.read("weight", "a number from 0.001 to 1,000,000", weight),
        max_wait: file.count("max_wait"),
    }
}

fn read_running(file: &mut Section<'_>) -> Option<u64> {
    let above_0 = |node: Node| if let Node::Number(number) = node { number.as_u64() } else { None };
    file.read("max_concurrent", "a whole number above 0", |node| above_0(node).filter(|number| *number > 0))
}

fn read_unknown_price(file: &mut Section<'_>) -> Option<UnknownPrice> {
    let words = BTreeMap::from([("free", UnknownPrice::Free), ("refuse", UnknownPrice::Refuse)]);
    let word = |node| if let Node::Text(text) = node { words.get(text.as_str()).copied() } else { None };
    file.read("unknown_price", "\"free\" or \"refuse\"", word)
}
