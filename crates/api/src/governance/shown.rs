//! What the administration shows: definitions, and what was used of their limits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hermod_governance::Limit;
use hermod_queue::governance::Usage;
use hermod_types::Timestamp;
use hermod_types::governance::{
    Budget, BudgetOwner, Customer, Definitions, ModelConfig, Money, PricingOverride, ProviderLimits,
    RateLimit, Team, VirtualKey,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::draft::budgets_of;
use super::state::Governance;
use crate::error::ApiError;

/// Limits that are asked for at once.
const AT_ONCE: usize = 500;

/// What was used of some limits, by their names.
#[derive(Debug, Default)]
pub(super) struct Used(HashMap<String, Usage>);

/// What answers are made of: definitions, and what was used of some of them.
pub(super) struct Shown<'a> {
    pub(super) all: &'a Definitions,
    /// None where only what is defined is shown.
    used: Option<Used>,
    file: &'a Definitions,
    /// Virtual keys of the file: there may be many.
    keys_of_file: HashSet<&'a str>,
    budgets: HashMap<&'a BudgetOwner, Vec<&'a Budget>>,
    rate_limits: HashMap<&'a str, &'a RateLimit>,
}

/// What stands in an answer beside what the owner of limits is.
type Members = Map<String, Value>;

impl Governance {
    /// The limits with these names. One that nobody has is not among them.
    pub(super) fn limits_named(&self, names: impl IntoIterator<Item = String>) -> Vec<Arc<Limit>> {
        let mut wanted: HashSet<String> = names.into_iter().collect();
        let rules = self.rules.current();
        // Two may share one.
        let found = rules.all_limits().filter(|limit| !wanted.is_empty() && wanted.remove(&limit.name));
        found.map(Arc::clone).collect()
    }

    /// What was used of these limits. One that nobody has is not among it.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(super) async fn used(&self, names: Vec<String>) -> Result<Used, ApiError> {
        let limits = self.limits_named(names);
        let mut used = HashMap::with_capacity(limits.len());
        for some in limits.chunks(AT_ONCE) {
            let usage = self.limits.usage(some).await.map_err(ApiError::Unavailable)?;
            used.extend(some.iter().map(|limit| limit.name.clone()).zip(usage));
        }
        Ok(Used(used))
    }
}

impl<'a> Shown<'a> {
    /// What is defined, alone.
    pub(super) fn defined(all: &'a Definitions, file: &'a Definitions) -> Self {
        let mut budgets: HashMap<_, Vec<_>> = HashMap::new();
        for budget in &all.budgets {
            if let Some(owner) = &budget.owner {
                budgets.entry(owner).or_default().push(budget);
            }
        }
        Self {
            all,
            used: None,
            file,
            keys_of_file: file.virtual_keys.iter().map(|key| key.id.as_str()).collect(),
            budgets,
            rate_limits: all.rate_limits.iter().map(|limit| (limit.id.as_str(), limit)).collect(),
        }
    }

    pub(super) fn with(self, used: Used) -> Self {
        Self { used: Some(used), ..self }
    }

    /// The names of the limits of a key and of its provider configs.
    pub(super) fn names_of_key(&self, key: &VirtualKey) -> Vec<String> {
        let mut names = self.names_of(&BudgetOwner::VirtualKey(key.id.clone()), key.rate_limit_id.as_deref());
        for grant in &key.grants {
            let owner = grant.id.map(BudgetOwner::ProviderConfig);
            // No budget is of one without a name.
            let owner = owner.unwrap_or_else(|| BudgetOwner::Provider(String::new()));
            names.extend(self.names_of(&owner, grant.rate_limit_id.as_deref()));
        }
        names
    }

    fn names_of(&self, owner: &BudgetOwner, rate_limit: Option<&str>) -> Vec<String> {
        let budgets = self.budgets.get(owner).into_iter().flatten().map(|budget| budget_name(&budget.id));
        let rates = rate_limit.into_iter().flat_map(|id| [tokens_name(id), requests_name(id)]);
        budgets.chain(rates).collect()
    }

    pub(super) fn budget(&self, budget: &Budget, now: Timestamp) -> Value {
        let mut shown = object(budget);
        shown.insert("effective_max_limit".to_owned(), json!(effective_max(budget, now)));
        if let Some(used) = &self.used {
            let usage = used.of(&budget_name(&budget.id));
            shown.extend(members([
                ("current_usage", json!(Money::from_nanos(usage.used))),
                ("reserved", json!(Money::from_nanos(usage.reserved))),
                ("last_reset", json!(usage.since)),
                ("window_ends_at", json!(usage.ends)),
            ]));
        }
        Value::Object(shown)
    }

    pub(super) fn rate_limit(&self, limit: &RateLimit) -> Value {
        let mut shown = object(limit);
        if let Some(used) = &self.used {
            for (what, name, part) in [
                ("token", tokens_name(&limit.id), &limit.tokens),
                ("request", requests_name(&limit.id), &limit.requests),
            ] {
                if part.is_none() {
                    continue;
                }
                let usage = used.of(&name);
                let member = |name: &str| format!("{what}_{name}");
                shown.insert(member("current_usage"), json!(usage.used));
                shown.insert(member("reserved"), json!(usage.reserved));
                shown.insert(member("last_reset"), json!(usage.since));
                shown.insert(member("window_ends_at"), json!(usage.ends));
            }
        }
        Value::Object(shown)
    }

    /// The members `budgets` and `rate_limit` of an owner of limits.
    pub(super) fn limits(&self, owner: &BudgetOwner, rate_limit: Option<&str>) -> Members {
        let now = Timestamp::now();
        let budgets = self.budgets.get(owner).into_iter().flatten();
        let budgets: Vec<_> = budgets.map(|budget| self.budget(budget, now)).collect();
        let limit = rate_limit.and_then(|id| self.rate_limits.get(id));
        members([
            ("budgets", Value::Array(budgets)),
            ("rate_limit", limit.map_or(Value::Null, |limit| self.rate_limit(limit))),
        ])
    }

    pub(super) fn virtual_key(&self, key: &VirtualKey) -> Value {
        let mut shown = object(key);
        for secret in ["value_sha256", "value_sealed", "value_last4", "old_value_sha256"] {
            shown.remove(secret);
        }
        let now = Timestamp::now();
        if key.old_value_until.is_none_or(|until| until <= now) {
            shown.remove("old_value_until");
        }
        shown.insert("value".to_owned(), json!(masked(key)));
        shown.insert("description".to_owned(), json!(key.description));
        shown.insert("calendar_aligned".to_owned(), json!(key.calendar_aligned));
        for (name, id) in [("team_id", &key.team_id), ("customer_id", &key.customer_id)] {
            shown.insert(name.to_owned(), json!(id));
        }
        let grants = key.grants.iter().map(|grant| {
            let mut shown = object(grant);
            let owner = grant.id.map(BudgetOwner::ProviderConfig);
            let owner = owner.unwrap_or_else(|| BudgetOwner::Provider(String::new()));
            shown.extend(self.limits(&owner, grant.rate_limit_id.as_deref()));
            Value::Object(shown)
        });
        shown.insert("provider_configs".to_owned(), grants.collect());
        shown.extend(self.limits(&BudgetOwner::VirtualKey(key.id.clone()), key.rate_limit_id.as_deref()));
        let of_file = self.keys_of_file.contains(key.id.as_str());
        shown.insert("is_from_file".to_owned(), json!(of_file));
        Value::Object(shown)
    }

    pub(super) fn team(&self, team: &Team) -> Value {
        let mut shown = object(team);
        shown.insert("customer_id".to_owned(), json!(team.customer_id));
        shown.insert("calendar_aligned".to_owned(), json!(team.calendar_aligned));
        shown.extend(self.limits(&BudgetOwner::Team(team.id.clone()), team.rate_limit_id.as_deref()));
        let of_file = self.file.teams.iter().any(|other| other.id == team.id);
        shown.insert("is_from_file".to_owned(), json!(of_file));
        Value::Object(shown)
    }

    pub(super) fn customer(&self, customer: &Customer) -> Value {
        let mut shown = object(customer);
        shown.insert("calendar_aligned".to_owned(), json!(customer.calendar_aligned));
        let owner = BudgetOwner::Customer(customer.id.clone());
        shown.extend(self.limits(&owner, customer.rate_limit_id.as_deref()));
        let teams: Vec<_> = self
            .all
            .teams
            .iter()
            .filter(|team| team.customer_id.as_deref() == Some(&customer.id))
            .map(|team| json!({"id": team.id, "name": team.name}))
            .collect();
        shown.insert("teams".to_owned(), json!(teams));
        let of_file = self.file.customers.iter().any(|other| other.id == customer.id);
        shown.insert("is_from_file".to_owned(), json!(of_file));
        Value::Object(shown)
    }

    pub(super) fn model_config(&self, config: &ModelConfig) -> Value {
        let mut shown = object(config);
        shown.insert("provider".to_owned(), json!(config.provider));
        shown.insert("calendar_aligned".to_owned(), json!(config.calendar_aligned));
        shown.extend(self.limits(&BudgetOwner::ModelConfig(config.id.clone()), None));
        let limits: Vec<_> = config
            .rate_limit_ids
            .iter()
            .filter_map(|id| self.rate_limits.get(id.as_str()))
            .map(|limit| self.rate_limit(limit))
            .collect();
        let single = if let [single] = limits.as_slice() { single.clone() } else { Value::Null };
        shown.insert("rate_limit".to_owned(), single);
        shown.insert("rate_limits".to_owned(), Value::Array(limits));
        let of_file = self.file.model_configs.iter().any(|other| other.id == config.id);
        shown.insert("is_from_file".to_owned(), json!(of_file));
        Value::Object(shown)
    }

    pub(super) fn provider(&self, provider: &ProviderLimits) -> Value {
        let mut shown = members([("provider", json!(provider.name))]);
        shown.insert("calendar_aligned".to_owned(), json!(provider.calendar_aligned));
        let owner = BudgetOwner::Provider(provider.name.clone());
        shown.extend(self.limits(&owner, provider.rate_limit_id.as_deref()));
        let of_file = self.file.providers.iter().any(|other| other.name == provider.name);
        shown.insert("is_from_file".to_owned(), json!(of_file));
        Value::Object(shown)
    }

    pub(super) fn pricing_override(&self, price: &PricingOverride) -> Value {
        let mut shown = object(price);
        let of_file = self.file.pricing_overrides.iter().any(|other| other.id == price.id);
        shown.insert("is_from_file".to_owned(), json!(of_file));
        Value::Object(shown)
    }
}

impl Used {
    /// Of one that was not asked for, or of which nothing was used, nothing.
    pub(super) fn of(&self, name: &str) -> Usage {
        self.find(name).unwrap_or_default()
    }

    /// None for a limit that nobody has.
    pub(super) fn find(&self, name: &str) -> Option<Usage> {
        self.0.get(name).copied()
    }
}

/// A definition as an object.
fn object(one: &impl Serialize) -> Members {
    match serde_json::to_value(one) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Members {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A budget's limit, and what was added to it.
pub(super) fn effective_max(budget: &Budget, now: Timestamp) -> Money {
    let added = budget.added.filter(|added| added.until.is_none_or(|until| now < until));
    added.map_or(budget.max_limit, |added| budget.max_limit.plus(added.amount))
}

/// A value that shows which one it is, and no more.
fn masked(key: &VirtualKey) -> String {
    format!("{}…{}", hermod_types::governance::NEW_PREFIX, key.value_last4)
}

pub(super) fn budget_name(id: &str) -> String {
    format!("budget:{id}")
}

pub(super) fn tokens_name(id: &str) -> String {
    format!("tokens:{id}")
}

pub(super) fn requests_name(id: &str) -> String {
    format!("requests:{id}")
}

/// The names of the limits of an owner.
pub(super) fn names_of(all: &Definitions, owner: &BudgetOwner, rate_limits: &[&str]) -> Vec<String> {
    let budgets = budgets_of(all, owner).map(|budget| budget_name(&budget.id));
    let rates = rate_limits.iter().flat_map(|id| [tokens_name(id), requests_name(id)]);
    budgets.chain(rates).collect()
}
