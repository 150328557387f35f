//! What a call costs: overrides, then the list of the operator's `pricing_url`, then the table that ships.

mod names;
mod overrides;
mod price;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use hermod_types::config::ProviderKind;
use hermod_types::governance::Money;
use hermod_types::{CallUsage, Operation, Target};

use crate::LiveRules;
pub use price::Price;
pub use table::{InvalidPrices, PriceTable};

/// What models cost. Cheap to clone; all clones see a change.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    shared: Arc<Shared>,
    /// For whose virtual key overrides count.
    owner: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// By a provider's name.
    kinds: BTreeMap<String, ProviderKind>,
    /// They have the overrides.
    rules: LiveRules,
    /// The operator's list.
    listed: RwLock<Arc<PriceTable>>,
}

/// What is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct PricedCall<'a> {
    pub operation: Operation,
    pub target: &'a Target,
    /// The model by the provider's name; none where it is not known yet.
    pub resolved: Option<&'a str>,
    /// The name of the provider's key.
    pub provider_key: Option<&'a str>,
}

impl Prices {
    /// For these providers, by their names, with the overrides of `rules`.
    pub fn new(kinds: impl IntoIterator<Item = (String, ProviderKind)>, rules: LiveRules) -> Self {
        let shared = Shared { kinds: kinds.into_iter().collect(), rules, ..Shared::default() };
        Self { shared: Arc::new(shared), owner: None }
    }

    /// The same for calls of a virtual key.
    #[must_use]
    pub fn for_owner(&self, owner: Option<&str>) -> Self {
        Self { shared: Arc::clone(&self.shared), owner: owner.map(Arc::from) }
    }

    /// Puts the operator's list in the place of an earlier one.
    pub fn set_list(&self, list: PriceTable) {
        *self.shared.listed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
    }

    /// What a call costs; none if nobody knows.
    pub fn find(&self, call: &PricedCall<'_>) -> Option<Arc<Price>> {
        let rules = self.shared.rules.current();
        let overrides = &rules.definitions().pricing_overrides;
        let found = overrides::best(overrides, self.owner.as_deref(), call);
        let Some(patch) = found.and_then(overrides::price) else { return self.in_lists(call) };
        Some(Arc::new(match self.in_lists(call) {
            Some(listed) => listed.patched(&patch),
            None => patch,
        }))
    }

    fn in_lists(&self, call: &PricedCall<'_>) -> Option<Arc<Price>> {
        let listed = Arc::clone(&self.shared.listed.read().unwrap_or_else(PoisonError::into_inner));
        let models = [Some(call.target.model()), call.resolved.filter(|model| *model != call.target.model())];
        let provider = call.target.provider();
        let kind = self.kind(provider);
        [&*listed, &*table::SHIPPED_TABLE].into_iter().filter(|table| !table.is_empty()).find_map(|table| {
            let models = || models.iter().flatten();
            let exact = |model: &&str| {
                let of_kind = kind.filter(|kind| kind.name() != provider);
                table.get(provider, model).or_else(|| table.get(of_kind?.name(), model))
            };
            let like = |model: &&str| {
                let others = names::others(kind?, model);
                others.iter().find_map(|(kind, name)| table.get(kind.name(), name))
            };
            models().find_map(exact).or_else(|| models().find_map(like)).cloned()
        })
    }

    /// Whether a call to `target` has a price, as far as that is known before its key is chosen.
    pub fn is_known(&self, operation: Operation, target: &Target) -> bool {
        self.find(&PricedCall { operation, target, resolved: None, provider_key: None }).is_some()
    }

    /// What a call has cost in billionths of a dollar, of which these are the answers' accounts; none if nobody knows. What a provider
    /// itself says counts.
    pub fn cost(&self, call: &PricedCall<'_>, usages: &[CallUsage]) -> Option<u64> {
        let price = self.find(call);
        let of = |usage: &CallUsage| match &price {
            Some(price) => price.cost(usage),
            None => usage.cost.map(Money::as_nanos),
        };
        usages.iter().map(of).sum()
    }

    /// The API that a provider of this name speaks.
    pub(crate) fn kind(&self, provider: &str) -> Option<ProviderKind> {
        self.shared.kinds.get(provider).copied().or_else(|| ProviderKind::from_name(provider))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(prices: &Prices, target: &str, resolved: Option<&str>) -> Option<Arc<Price>> {
        let target = target.parse().unwrap();
        let operation = Operation::ChatCompletion;
        prices.find(&PricedCall { operation, target: &target, resolved, provider_key: None })
    }

    fn input(prices: &Prices, target: &str, resolved: Option<&str>) -> Option<u64> {
        let usage = CallUsage { input_tokens: Some(1000), ..CallUsage::default() };
        find(prices, target, resolved)?.cost(&usage)
    }

    #[test]
    fn a_price_is_that_of_the_name_the_alias_or_the_base() {
        let prices = Prices::new([("mine".to_owned(), ProviderKind::OpenAi)], LiveRules::default());
        let gpt = input(&prices, "openai/gpt-4o", None);
        assert_eq!(gpt, Some(2_500_000));
        for (target, resolved) in [
            ("mine/gpt-4o", None),
            ("openai/fast", Some("gpt-4o")),
            ("azure/gpt-4o-2099-01-01", None),
            ("openrouter/openai/gpt-4o", None),
            // What the client has named counts first.
            ("openai/gpt-4o", Some("deployment-7")),
        ] {
            assert_eq!(input(&prices, target, resolved), gpt, "{target}");
        }
        for target in ["openai/nothing", "nobody/gpt-4o", "vllm/gpt-4o"] {
            assert_eq!(find(&prices, target, None), None, "{target}");
        }
    }

    #[test]
    fn the_operators_list_comes_first_and_names_providers_of_his_own() {
        let prices = Prices::new([("mine".to_owned(), ProviderKind::Compatible)], LiveRules::default());
        let clone = prices.clone();
        prices.set_list(
            PriceTable::parse(
                r#"{"openai/gpt-4o":{"provider":"openai","input_cost_per_token":1e-09},
                    "mine/llama":{"provider":"mine","input_cost_per_token":0}}"#,
            )
            .unwrap(),
        );
        assert_eq!(input(&clone, "openai/gpt-4o", None), Some(1000));
        assert_eq!(input(&clone, "mine/llama", None), Some(0), "0 is a price");
        assert_eq!(input(&clone, "openai/gpt-4o-mini", None), Some(150_000), "the table stands behind it");
    }

    #[test]
    fn an_override_replaces_what_it_names() {
        let patch = |model: &str, patch: serde_json::Value| {
            serde_json::from_value(serde_json::json!({"id": model, "scope_kind": "global", "match_type": "exact", "pattern": model,
                "request_types": ["chat_completion"], "patch": patch}))
            .unwrap()
        };
        let definitions = hermod_types::governance::Definitions {
            pricing_overrides: vec![
                patch("gpt-4o", serde_json::json!({"input_cost_per_token": 0})),
                patch(
                    "llama",
                    serde_json::json!({"input_cost_per_token": 1.5e-7, "output_cost_per_token": 0.0}),
                ),
                patch("empty", serde_json::json!({})),
            ],
            ..Default::default()
        };
        let rules = LiveRules::default();
        let prices = Prices::new([], rules.clone());
        rules.set(crate::Rules::new(definitions));
        let cost = |target: &str| {
            let usage =
                CallUsage { input_tokens: Some(1000), output_tokens: Some(10), ..CallUsage::default() };
            find(&prices, target, None).and_then(|price| price.cost(&usage))
        };
        assert_eq!(cost("openai/gpt-4o"), Some(100_000), "0 is a price, and the others stay");
        assert_eq!(cost("vllm/llama"), Some(150_000));
        assert_eq!(cost("vllm/empty"), None);
    }

    #[test]
    fn several_answers_are_priced_each_and_summed() {
        let prices = Prices::default();
        let target = "gemini/gemini-2.5-pro".parse().unwrap();
        let operation = Operation::TextCompletion;
        let call = PricedCall { operation, target: &target, resolved: None, provider_key: None };
        let usage =
            |input| CallUsage { input_tokens: Some(input), output_tokens: Some(0), ..CallUsage::default() };
        // Two of 150,000 are no long prompt.
        assert_eq!(prices.cost(&call, &[usage(150_000), usage(150_000)]), Some(300_000 * 1250));
        assert_eq!(prices.cost(&call, &[usage(300_000)]), Some(300_000 * 2500));
        assert_eq!(prices.cost(&call, &[usage(1), CallUsage::default()]), None);
        let nobody = "nobody/x".parse().unwrap();
        let call = PricedCall { target: &nobody, ..call };
        let stated = CallUsage { cost: Money::from_dollars(0.5), ..usage(1) };
        assert_eq!(prices.cost(&call, &[stated]), Some(500_000_000));
        assert_eq!(prices.cost(&call, &[usage(1)]), None);
    }
}
