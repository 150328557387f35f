//! How prices are read: where they come from, and the operator's own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::node::Node;
use super::section::Section;
use crate::governance::{MatchType, PricingOverride, PricingSource, ScopeKind};

/// Bifrost's least `pricing_sync_interval`.
const LEAST_SYNC_SECONDS: u64 = 3600;

/// `framework.pricing`.
pub(super) fn read_source(mut file: Section<'_>) -> PricingSource {
    let mut source = PricingSource { url: file.value("pricing_url"), ..PricingSource::default() };
    let is_known = |url: &String| {
        // One that stands in a variable that was not read may be anything.
        ["file://", "https://", "http://", "env."].iter().any(|start| url.starts_with(start))
    };
    if !source.url.as_ref().is_none_or(is_known) {
        file.wrong("pricing_url", "expected file:// and a path, or https:// and an address");
    }
    let seconds = |node| if let Node::Number(seconds) = node { seconds.as_u64() } else { None };
    let seconds = |node| seconds(node).filter(|seconds| *seconds >= LEAST_SYNC_SECONDS);
    let sync = file.read("pricing_sync_interval", "seconds, 3600 or more", seconds);
    source.sync = sync.map_or(source.sync, Duration::from_secs);
    file.finish();
    source
}

/// One of `governance.pricing_overrides`.
pub(super) fn read_override(mut file: Section<'_>) -> PricingOverride {
    let id = file.needed("id", "expected an id", Section::text);
    let word = |node| if let Node::Text(text) = node { Some(text) } else { None };
    let kinds = || ScopeKind::ALL.map(ScopeKind::as_str).join(", ");
    let scope = |text: String| ScopeKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    let expected = format!("one of {}", kinds());
    let scope_kind = file.needed("scope_kind", &format!("expected {expected}"), |file, name| {
        file.read(name, &expected, |node| word(node).and_then(scope)).map(Some)
    });
    let match_of = |text: String| match text.as_str() {
        "exact" => Some(MatchType::Exact),
        "wildcard" => Some(MatchType::Wildcard),
        _ => None,
    };
    let match_type = file.needed("match_type", "expected \"exact\" or \"wildcard\"", |file, name| {
        file.read(name, "\"exact\" or \"wildcard\"", |node| word(node).and_then(match_of)).map(Some)
    });
    let pattern = file.needed("pattern", "expected a model's name, or its beginning and *", Section::text);
    let request_types =
        file.needed("request_types", "expected operations, such as text_completion", |file, name| {
            file.texts(name).filter(|types| !types.is_empty())
        });
    let patch = read_patch(&mut file);
    let price = PricingOverride {
        id,
        name: file.text("name").unwrap_or_default(),
        scope_kind: scope_kind.unwrap_or(ScopeKind::Global),
        virtual_key_id: file.text("virtual_key_id"),
        provider_id: file.text("provider_id"),
        provider_key_id: file.text("provider_key_id"),
        match_type: match_type.unwrap_or(MatchType::Exact),
        pattern,
        request_types,
        patch,
    };
    file.finish();
    price
}

/// An object, as over HTTP, or its text, as Bifrost's file has it.
fn read_patch(file: &mut Section<'_>) -> BTreeMap<String, f64> {
    let mut members: Vec<(String, String, Node)> =
        file.entries("patch").into_iter().map(|(name, node)| (format!("patch.{name}"), name, node)).collect();
    if let Some(text) = file.text("pricing_patch") {
        match serde_json::from_str(&text) {
            Ok(Node::Object(prices)) => {
                members
                    .extend(prices.into_iter().map(|(name, node)| ("pricing_patch".to_owned(), name, node)));
            }
            Ok(_) | Err(_) => file.wrong("pricing_patch", "expected the text of an object of prices"),
        }
    }
    let mut patch = BTreeMap::new();
    for (member, name, node) in members {
        match node {
            Node::Null => {}
            Node::Number(price) if price.as_f64().is_some_and(|price| price >= 0.0) => {
                patch.insert(name, price.as_f64().unwrap_or_default());
            }
            Node::Number(_) | Node::Boolean(_) | Node::Text(_) | Node::Array(_) | Node::Object(_) => {
                file.wrong(&member, format!("expected dollars, 0 or more, as {name}"));
            }
        }
    }
    patch
}
