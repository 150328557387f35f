//! Prices of the operator's in place of those of the lists.

use hermod_types::RawObject;
use hermod_types::governance::{MatchType, PricingOverride, ScopeKind};

use super::PricedCall;
use super::price::Price;
use super::table;

/// The override that counts for a call of `owner`, the id of a virtual key: that of the narrowest scope; of several, an exact name
/// before a beginning, the longer beginning, the later one.
pub(super) fn best<'o>(
    overrides: &'o [PricingOverride],
    owner: Option<&str>,
    call: &PricedCall<'_>,
) -> Option<&'o PricingOverride> {
    let is_for = |one: &&PricingOverride| {
        is_in_scope(one, owner, call) && is_of_model(one, call) && is_of_type(one, call)
    };
    let rank = |one: &&PricingOverride| {
        (breadth(one.scope_kind), one.match_type == MatchType::Exact, one.pattern.len())
    };
    overrides.iter().filter(is_for).max_by_key(rank)
}

/// Bifrost's order, the narrowest last.
const fn breadth(scope: ScopeKind) -> u8 {
    match scope {
        ScopeKind::Global => 0,
        ScopeKind::Provider => 1,
        ScopeKind::ProviderKey => 2,
        ScopeKind::VirtualKey => 3,
        ScopeKind::VirtualKeyProvider => 4,
        ScopeKind::VirtualKeyProviderKey => 5,
    }
}

fn is_in_scope(one: &PricingOverride, owner: Option<&str>, call: &PricedCall<'_>) -> bool {
    let scope = one.scope_kind;
    (!scope.has_virtual_key() || (one.virtual_key_id.is_some() && one.virtual_key_id.as_deref() == owner))
        && (!scope.has_provider() || one.provider_id.as_deref() == Some(call.target.provider()))
        && (!scope.has_provider_key()
            || (one.provider_key_id.is_some() && one.provider_key_id.as_deref() == call.provider_key))
}

/// By the name that the provider knows; by the client's, too, as that is all that is known before a key is chosen.
fn is_of_model(one: &PricingOverride, call: &PricedCall<'_>) -> bool {
    let is_it = |model: &str| match one.match_type {
        MatchType::Exact => one.pattern == model,
        MatchType::Wildcard => model.starts_with(one.pattern.trim_end_matches('*')),
    };
    call.resolved.is_some_and(is_it) || is_it(call.target.model())
}

/// Bifrost's names for them. None is asked for by name where only the model is known.
fn is_of_type(one: &PricingOverride, call: &PricedCall<'_>) -> bool {
    let operation = call.operation;
    one.request_types.iter().any(|name| name == operation.request_type() || name == operation.record_type())
}

/// What its patch says; none if that is nothing.
pub(super) fn price(one: &PricingOverride) -> Option<Price> {
    let patch = serde_json::to_string(&one.patch).ok()?;
    let members: RawObject<'_> = serde_json::from_str(&patch).ok()?;
    table::price(&members)
}

#[cfg(test)]
mod tests {
    use hermod_types::Operation;
    use serde_json::json;

    use super::*;

    fn one(scope: &str, matches: &str, pattern: &str, ids: [Option<&str>; 3]) -> PricingOverride {
        serde_json::from_value(
            json!({"id": format!("{scope} {pattern}"), "scope_kind": scope, "match_type": matches,
            "pattern": pattern, "virtual_key_id": ids[0], "provider_id": ids[1], "provider_key_id": ids[2],
            "request_types": ["chat_completion"], "patch": {"input_cost_per_token": 1e-6}}),
        )
        .unwrap()
    }

    #[test]
    fn the_narrowest_scope_and_the_closest_name_count() {
        let all = [
            one("global", "wildcard", "*", [None; 3]),
            one("global", "wildcard", "gpt-*", [None; 3]),
            one("global", "exact", "gpt-4o", [None; 3]),
            one("provider", "wildcard", "*", [None, Some("openai"), None]),
            one("provider_key", "exact", "gpt-x", [None, None, Some("first")]),
            one("virtual_key", "exact", "gpt-y", [Some("k"), None, None]),
            one("virtual_key_provider", "exact", "gpt-y", [Some("k"), Some("openai"), None]),
            one("virtual_key_provider_key", "exact", "gpt-y", [Some("k"), None, Some("first")]),
        ];
        let found =
            |owner: Option<&str>, target: &str, resolved: Option<&str>, provider_key: Option<&str>| {
                let target = target.parse().unwrap();
                let operation = Operation::ChatCompletion;
                best(&all, owner, &PricedCall { operation, target: &target, resolved, provider_key })
                    .map(|one| one.id.as_str())
            };
        let first = Some("first");
        for (owner, target, resolved, key, wanted) in [
            (None, "groq/llama", None, None, "global *"),
            (None, "groq/gpt-5", None, None, "global gpt-*"),
            (None, "groq/gpt-4o", None, None, "global gpt-4o"),
            (None, "groq/fast", Some("gpt-4o"), None, "global gpt-4o"),
            (None, "openai/gpt-4o", None, None, "provider *"),
            (None, "openai/gpt-x", None, first, "provider_key gpt-x"),
            (Some("other"), "openai/gpt-y", None, first, "provider *"),
            (Some("k"), "groq/gpt-y", None, None, "virtual_key gpt-y"),
            (Some("k"), "openai/gpt-y", None, Some("second"), "virtual_key_provider gpt-y"),
            (Some("k"), "openai/gpt-y", None, first, "virtual_key_provider_key gpt-y"),
        ] {
            assert_eq!(found(owner, target, resolved, key), Some(wanted), "{target}");
        }
        let target = "groq/llama".parse().unwrap();
        let embedding = PricedCall {
            operation: Operation::Embedding,
            target: &target,
            resolved: None,
            provider_key: None,
        };
        assert!(best(&all, None, &embedding).is_none(), "of another type");
    }
}
