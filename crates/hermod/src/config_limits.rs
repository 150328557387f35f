//! What `hermod config check` says of virtual keys, and of their limits.

use hermod_types::config::Models;
use hermod_types::governance::{
    Budget, BudgetOwner, Definitions, KeyOptions, ModelConfig, ModelScope, ProviderGrant, RateLimit,
    VirtualKey,
};

/// One key in one line.
pub(crate) fn describe_virtual_key(key: &VirtualKey) -> String {
    let mut parts: Vec<String> = Vec::new();
    if !key.is_active {
        parts.push("inactive".to_owned());
    }
    parts.extend(key.expires_at.map(|expires| format!("until {expires}")));
    parts.extend(key.team_id.as_ref().map(|team| format!("of team {team}")));
    parts.extend(key.customer_id.as_ref().map(|customer| format!("of customer {customer}")));
    parts.extend(key.grants.iter().map(describe_grant));
    if key.allow_all_providers {
        parts.push(if key.grants.is_empty() { "all providers" } else { "all other providers" }.to_owned());
    } else if key.grants.is_empty() {
        parts.push("may use nothing".to_owned());
    }
    parts.extend(describe_options(key.options));
    if key.value_sha256.is_none() {
        parts.push("its value is made at the first start".to_owned());
    }
    if key.webhook_secret.is_some() {
        parts.push("signs webhooks".to_owned());
    }
    parts.join("; ")
}

fn describe_grant(grant: &ProviderGrant) -> String {
    let provider = &grant.provider;
    let mut text = match &grant.allowed_models {
        Models::All => format!("{provider}: all models"),
        Models::Only(models) if models.is_empty() => format!("{provider}: no model"),
        Models::Only(models) => format!("{provider}: {}", models.join(" ")),
    };
    if !grant.blacklisted_models.is_empty() {
        text.push_str(&format!(", but for {}", grant.blacklisted_models.join(" ")));
    }
    if grant.key_ids == Models::NONE {
        text.push_str(", with none of its keys");
    }
    if let Some(weight) = grant.weight {
        text.push_str(&format!(", weight {weight}"));
    }
    text
}

/// What `hermod.defaults` says, in one line; none where that is nothing.
pub(crate) fn describe_defaults(all: &Definitions) -> Option<String> {
    let parts: Vec<_> = describe_options(all.defaults).collect();
    (!parts.is_empty()).then(|| format!("a key has, unless it says otherwise: {}", parts.join("; ")))
}

fn describe_options(options: KeyOptions) -> impl Iterator<Item = String> {
    [
        options.max_concurrent.map(|jobs| format!("{jobs} running jobs at most")),
        options.max_waiting.map(|jobs| format!("{jobs} waiting jobs at most")),
        options.weight.map(|weight| format!("share {weight}")),
        options.max_wait.map(|seconds| format!("waits for {seconds} s at most")),
    ]
    .into_iter()
    .flatten()
}

/// Each limit's id, and what it limits.
pub(crate) fn describe_limits(all: &Definitions) -> Vec<(String, String)> {
    let rates = all.rate_limits.iter().map(|limit| (limit.id.clone(), describe_rate(limit, all)));
    let budgets = all.budgets.iter().map(|budget| (budget.id.clone(), describe_budget(budget, all)));
    let running = all.provider_options.iter().filter_map(|(name, options)| {
        let most = options.max_concurrent?;
        Some((name.clone(), format!("{most} running jobs at most of provider {name}")))
    });
    rates.chain(budgets).chain(running).collect()
}

fn describe_rate(limit: &RateLimit, all: &Definitions) -> String {
    let parts = [("tokens", &limit.tokens), ("requests", &limit.requests)];
    let parts = parts.into_iter().filter_map(|(what, rate)| {
        rate.as_ref().map(|rate| format!("{} {what} each {}", rate.max, rate.reset))
    });
    let parts: Vec<_> = parts.collect();
    let users = users_of(&limit.id, all);
    let of = if users.is_empty() { "nobody".to_owned() } else { users.join(", ") };
    format!("{} of {of}", if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") })
}

/// Who has a rate limit.
fn users_of(id: &str, all: &Definitions) -> Vec<String> {
    let is_it = |limit: &Option<String>| limit.as_deref() == Some(id);
    let customers = all.customers.iter().filter(|customer| is_it(&customer.rate_limit_id));
    let teams = all.teams.iter().filter(|team| is_it(&team.rate_limit_id));
    let keys = all.virtual_keys.iter().filter(|key| is_it(&key.rate_limit_id));
    let grants = all.virtual_keys.iter().flat_map(|key| key.grants.iter().map(move |grant| (key, grant)));
    let grants = grants.filter(|(_, grant)| is_it(&grant.rate_limit_id));
    let models =
        all.model_configs.iter().filter(|config| config.rate_limit_ids.iter().any(|limit| limit == id));
    let providers = all.providers.iter().filter(|provider| is_it(&provider.rate_limit_id));
    customers
        .map(|customer| format!("customer {}", customer.id))
        .chain(teams.map(|team| format!("team {}", team.id)))
        .chain(keys.map(|key| format!("key {}", key.id)))
        .chain(grants.map(|(key, grant)| format!("key {} with provider {}", key.id, grant.provider)))
        .chain(models.map(describe_model))
        .chain(providers.map(|provider| format!("provider {}", provider.name)))
        .collect()
}

fn describe_model(config: &ModelConfig) -> String {
    let model = if config.model_name == "*" { "all models" } else { config.model_name.as_str() };
    let provider = config.provider.as_ref().map(|provider| format!(" of {provider}")).unwrap_or_default();
    match &config.scope {
        ModelScope::Global => format!("model {model}{provider}"),
        ModelScope::VirtualKey(key) => format!("key {key} with {model}{provider}"),
    }
}

fn describe_budget(budget: &Budget, all: &Definitions) -> String {
    let of = match &budget.owner {
        None => "nobody".to_owned(),
        Some(BudgetOwner::VirtualKey(id)) => format!("key {id}"),
        Some(BudgetOwner::Team(id)) => format!("team {id}"),
        Some(BudgetOwner::Customer(id)) => format!("customer {id}"),
        Some(BudgetOwner::Provider(name)) => format!("provider {name}"),
        Some(BudgetOwner::ModelConfig(id)) => {
            let config = all.model_configs.iter().find(|config| config.id == *id);
            config.map_or_else(|| format!("model config {id}"), describe_model)
        }
        Some(BudgetOwner::ProviderConfig(id)) => {
            let grants =
                all.virtual_keys.iter().flat_map(|key| key.grants.iter().map(move |grant| (key, grant)));
            let mut its = grants.filter(|(_, grant)| grant.id == Some(*id));
            its.next().map_or_else(
                || format!("provider config {id}"),
                |(key, grant)| format!("key {} with provider {}", key.id, grant.provider),
            )
        }
    };
    format!("{} dollars each {} of {of}", budget.max_limit.as_dollars(), budget.reset_duration)
}
