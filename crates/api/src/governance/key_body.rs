//! The body of a request that makes or changes a virtual key.

use std::collections::BTreeSet;

use hermod_types::config::Models;
use hermod_types::governance::{Budget, BudgetOwner, ProviderGrant, RateLimit, VirtualKey};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::body::{BudgetBody, Given, RateLimitBody, set_budgets, set_rate_limit};
use super::draft::Draft;
use crate::error::ApiError;
use crate::object::read_from_object;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub(super) struct KeyBody {
    pub(super) name: Given<String>,
    description: Given<String>,
    is_active: Given<bool>,
    expires_at: Given<String>,
    calendar_aligned: Given<bool>,
    team_id: Given<String>,
    customer_id: Given<String>,
    allow_all_providers: Given<bool>,
    provider_configs: Given<Vec<GrantBody>>,
    mcp_configs: Given<Vec<NoMember>>,
    budgets: Given<Vec<BudgetBody>>,
    rate_limit: Given<RateLimitBody>,
    max_concurrent: Given<u64>,
    max_waiting: Given<u64>,
    weight: Given<f64>,
    max_wait: Given<u64>,
    pub(super) reset_budget_usage: Given<bool>,
}

/// What is only taken if it is not there.
#[derive(Clone, Debug)]
struct NoMember;

impl<'de> Deserialize<'de> for NoMember {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Err(serde::de::Error::custom("mcp_configs must be empty: there are no tools here"))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct GrantBody {
    #[serde(default)]
    id: Given<u64>,
    provider: String,
    #[serde(default)]
    weight: Given<f64>,
    #[serde(default)]
    allowed_models: Given<Vec<String>>,
    #[serde(default)]
    blacklisted_models: Given<Vec<String>>,
    #[serde(default)]
    key_ids: Given<Vec<String>>,
    #[serde(default)]
    budgets: Given<Vec<BudgetBody>>,
    #[serde(default)]
    rate_limit: Given<RateLimitBody>,
}

read_from_object!(KeyBody, GrantBody);

impl KeyBody {
    /// Gives `key`, which is in the draft, what the body says; what is absent there stays.
    ///
    /// # Errors
    /// If something is not what it should be.
    pub(super) fn set(self, draft: &mut Draft, key: &mut VirtualKey) -> Result<(), ApiError> {
        if let Some(name) = self.name.value() {
            if name.trim().is_empty() {
                return Err(ApiError::invalid("Virtual key name is required"));
            }
            key.name = name;
        }
        if let Given::Value(text) = self.description {
            key.description = text;
        }
        key.is_active = self.is_active.value().unwrap_or(key.is_active);
        key.calendar_aligned = self.calendar_aligned.value().unwrap_or(key.calendar_aligned);
        key.allow_all_providers = self.allow_all_providers.value().unwrap_or(key.allow_all_providers);
        self.expires_at.set_time("expires_at", &mut key.expires_at)?;
        attach(key, self.team_id, self.customer_id)?;
        self.max_concurrent.set(&mut key.options.max_concurrent);
        self.max_waiting.set(&mut key.options.max_waiting);
        self.max_wait.set(&mut key.options.max_wait);
        self.weight.set(&mut key.options.weight);
        check_options(key)?;
        if let Some(grants) = self.provider_configs.value() {
            set_grants(draft, key, grants)?;
        }
        if let Some(budgets) = self.budgets.value() {
            set_budgets(draft, &BudgetOwner::VirtualKey(key.id.clone()), budgets)?;
        }
        if let Some(limit) = self.rate_limit.value() {
            set_rate_limit(draft, &mut key.rate_limit_id, limit)?;
        }
        Ok(())
    }
}

/// Sets whose the key is; a new team takes the place of a customer, and a customer that of a team.
fn attach(key: &mut VirtualKey, team: Given<String>, customer: Given<String>) -> Result<(), ApiError> {
    let names = |given: &Given<String>| matches!(given, Given::Value(id) if !id.is_empty());
    match (names(&team), names(&customer)) {
        (true, true) => {
            return Err(ApiError::invalid("VirtualKey cannot be attached to both Team and Customer"));
        }
        (true, false) => key.customer_id = None,
        (false, true) => key.team_id = None,
        (false, false) => {}
    }
    team.set_text(&mut key.team_id);
    customer.set_text(&mut key.customer_id);
    Ok(())
}

fn check_options(key: &VirtualKey) -> Result<(), ApiError> {
    let options = &key.options;
    if options.weight.is_some_and(|weight| !(weight.is_finite() && weight > 0.0)) {
        return Err(ApiError::invalid("weight must be above 0"));
    }
    for (name, value) in [("max_concurrent", options.max_concurrent), ("max_waiting", options.max_waiting)] {
        if value == Some(0) {
            return Err(ApiError::invalid(format!("{name} must be above 0")));
        }
    }
    Ok(())
}

/// The whole new set of provider configs. One with the id or the provider of one that is there keeps that one's limits, and what was
/// used of them.
fn set_grants(draft: &mut Draft, key: &mut VirtualKey, bodies: Vec<GrantBody>) -> Result<(), ApiError> {
    let mut left = std::mem::take(&mut key.grants);
    let mut next = next_id(draft);
    for body in bodies {
        let id = body.id.value();
        let place = match id {
            Some(id) => Some(left.iter().position(|is| is.id == Some(id)).ok_or_else(|| {
                ApiError::invalid(format!("provider config {id} does not belong to this virtual key"))
            })?),
            None => left.iter().position(|is| is.provider == body.provider),
        };
        let mut grant = place.map_or_else(|| new_grant(&body.provider), |place| left.swap_remove(place));
        let own = *grant.id.get_or_insert_with(|| {
            next += 1;
            next
        });
        // Without an id it is a new one, but for what was used.
        let is_new = id.is_none();
        grant.provider = body.provider;
        body.weight.set(&mut grant.weight);
        if let Some(weight) = grant.weight
            && !(weight.is_finite() && weight >= 0.0)
        {
            return Err(ApiError::invalid("provider_configs: weight must be 0 or more"));
        }
        if let Some(models) = list(body.allowed_models, is_new) {
            grant.allowed_models = Models::from(models);
        }
        if let Some(models) = list(body.blacklisted_models, is_new) {
            grant.blacklisted_models = models;
        }
        if let Some(names) = list(body.key_ids, is_new) {
            grant.key_ids = Models::from(names);
        }
        if let Some(budgets) = list(body.budgets, is_new) {
            set_budgets(draft, &BudgetOwner::ProviderConfig(own), budgets)?;
        }
        match body.rate_limit {
            Given::Value(limit) => set_rate_limit(draft, &mut grant.rate_limit_id, limit)?,
            Given::Absent if is_new => {
                set_rate_limit(draft, &mut grant.rate_limit_id, RateLimitBody::default())?;
            }
            Given::Absent | Given::Null => {}
        }
        key.grants.push(grant);
    }
    for grant in left {
        remove_limits_of_grant(draft, &grant);
    }
    Ok(())
}

/// A list, where it is given; of something new, an empty one where it is not.
fn list<T>(given: Given<Vec<T>>, is_new: bool) -> Option<Vec<T>> {
    given.value().or_else(|| is_new.then(Vec::new))
}

fn new_grant(provider: &str) -> ProviderGrant {
    ProviderGrant { allowed_models: Models::NONE, key_ids: Models::NONE, ..ProviderGrant::all(provider) }
}

/// The largest id of a provider config, or of one that something still names.
fn next_id(draft: &Draft) -> u64 {
    let configs = draft.all.virtual_keys.iter().flat_map(|key| &key.grants).filter_map(|grant| grant.id);
    let named = draft.all.budgets.iter().filter_map(|budget| match budget.owner {
        Some(BudgetOwner::ProviderConfig(id)) => Some(id),
        Some(_) | None => None,
    });
    configs.chain(named).max().unwrap_or_default()
}

/// Removes the budgets and the rate limit of a key, and those of its provider configs.
pub(super) fn remove_limits_of_key(draft: &mut Draft, key: &VirtualKey) {
    remove_budgets(draft, &BudgetOwner::VirtualKey(key.id.clone()));
    if let Some(id) = &key.rate_limit_id {
        draft.remove::<RateLimit>(id);
    }
    for grant in &key.grants {
        remove_limits_of_grant(draft, grant);
    }
}

fn remove_limits_of_grant(draft: &mut Draft, grant: &ProviderGrant) {
    if let Some(id) = grant.id {
        remove_budgets(draft, &BudgetOwner::ProviderConfig(id));
    }
    if let Some(id) = &grant.rate_limit_id {
        draft.remove::<RateLimit>(id);
    }
}

pub(super) fn remove_budgets(draft: &mut Draft, owner: &BudgetOwner) {
    let ids: BTreeSet<String> = draft.budgets_of(owner).into_iter().map(|budget| budget.id).collect();
    for id in ids {
        draft.remove::<Budget>(&id);
    }
}
