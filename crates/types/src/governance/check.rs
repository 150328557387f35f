//! What is wrong with definitions together.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{BudgetOwner, Definitions, ModelScope, ResetDuration, ScopeKind, pattern_of};

/// What a definition is of: a member of `governance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    VirtualKeys,
    Teams,
    Customers,
    Budgets,
    RateLimits,
    ModelConfigs,
    Providers,
    PricingOverrides,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::VirtualKeys,
        Self::Teams,
        Self::Customers,
        Self::Budgets,
        Self::RateLimits,
        Self::ModelConfigs,
        Self::Providers,
        Self::PricingOverrides,
    ];

    /// The member's name, which a stored definition's begins with, too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VirtualKeys => "virtual_keys",
            Self::Teams => "teams",
            Self::Customers => "customers",
            Self::Budgets => "budgets",
            Self::RateLimits => "rate_limits",
            Self::ModelConfigs => "model_configs",
            Self::Providers => "providers",
            Self::PricingOverrides => "pricing_overrides",
        }
    }
}

/// Something that is wrong with one definition, beside the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// The definition's place among those of its kind.
    pub index: usize,
    /// The member at fault; empty for the definition as such.
    pub member: String,
    pub message: String,
}

/// As a path in the file, and what is wrong there.
impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path(), self.message)
    }
}

impl Fault {
    pub fn path(&self) -> String {
        let point = if self.member.is_empty() { "" } else { "." };
        format!("governance.{}[{}]{point}{}", self.kind.as_str(), self.index, self.member)
    }
}

/// The ids of each kind, and what was found.
struct Check<'d> {
    all: &'d Definitions,
    keys: HashSet<&'d str>,
    teams: HashSet<&'d str>,
    customers: HashSet<&'d str>,
    rate_limits: HashSet<&'d str>,
    model_configs: HashSet<&'d str>,
    provider_configs: HashSet<u64>,
    faults: Vec<Fault>,
}

impl Definitions {
    /// All that is wrong with them together: ids that nothing has or two have, budgets of one owner with one duration, patterns that
    /// are none.
    pub fn faults(&self) -> Vec<Fault> {
        let grants = self.virtual_keys.iter().flat_map(|key| &key.grants);
        let mut check = Check {
            all: self,
            keys: self.virtual_keys.iter().map(|key| key.id.as_str()).collect(),
            teams: self.teams.iter().map(|team| team.id.as_str()).collect(),
            customers: self.customers.iter().map(|customer| customer.id.as_str()).collect(),
            rate_limits: self.rate_limits.iter().map(|limit| limit.id.as_str()).collect(),
            model_configs: self.model_configs.iter().map(|config| config.id.as_str()).collect(),
            provider_configs: grants.filter_map(|grant| grant.id).collect(),
            faults: Vec::new(),
        };
        check.ids();
        check.virtual_keys();
        check.teams();
        check.budgets();
        check.models();
        check.prices();
        check.faults
    }
}

impl<'d> Check<'d> {
    fn wrong(&mut self, kind: Kind, index: usize, member: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault { kind, index, member: member.into(), message: message.into() });
    }

    fn ids(&mut self) {
        let all = self.all;
        self.unique(Kind::VirtualKeys, "id", all.virtual_keys.iter().map(|key| key.id.as_str()));
        self.unique(Kind::Teams, "id", all.teams.iter().map(|team| team.id.as_str()));
        self.unique(Kind::Customers, "id", all.customers.iter().map(|customer| customer.id.as_str()));
        self.unique(Kind::Budgets, "id", all.budgets.iter().map(|budget| budget.id.as_str()));
        self.unique(Kind::RateLimits, "id", all.rate_limits.iter().map(|limit| limit.id.as_str()));
        self.unique(Kind::ModelConfigs, "id", all.model_configs.iter().map(|config| config.id.as_str()));
        self.unique(Kind::Providers, "name", all.providers.iter().map(|provider| provider.name.as_str()));
        self.unique(
            Kind::PricingOverrides,
            "id",
            all.pricing_overrides.iter().map(|price| price.id.as_str()),
        );
    }

    fn unique<'i>(&mut self, kind: Kind, member: &str, ids: impl Iterator<Item = &'i str>) {
        let mut seen = HashSet::new();
        for (index, id) in ids.enumerate() {
            if !seen.insert(id) {
                self.wrong(kind, index, member, format!("expected an {member} that no other has"));
            }
        }
    }

    /// Notes an id that nothing has.
    fn exists(&mut self, kind: Kind, index: usize, member: &str, id: Option<&str>, of: Kind) {
        let Some(id) = id else { return };
        let (known, what) = match of {
            Kind::Teams => (&self.teams, "team"),
            Kind::Customers => (&self.customers, "customer"),
            Kind::RateLimits => (&self.rate_limits, "rate limit"),
            Kind::ModelConfigs => (&self.model_configs, "model config"),
            Kind::VirtualKeys | Kind::Budgets | Kind::Providers | Kind::PricingOverrides => {
                (&self.keys, "virtual key")
            }
        };
        if !known.contains(id) {
            self.wrong(kind, index, member, format!("no {what} has the id {id:?}"));
        }
    }

    fn virtual_keys(&mut self) {
        let mut values = HashSet::new();
        let mut grant_ids = HashSet::new();
        // Many keys have the same.
        let mut patterns: HashMap<&str, bool> = HashMap::new();
        for (index, key) in self.all.virtual_keys.iter().enumerate() {
            let kind = Kind::VirtualKeys;
            if key.value_sha256.is_some_and(|value| !values.insert(value)) {
                self.wrong(kind, index, "", "expected an id and a value that no other virtual key has");
            }
            if key.team_id.is_some() && key.customer_id.is_some() {
                self.wrong(kind, index, "", "VirtualKey cannot be attached to both Team and Customer");
            }
            self.exists(kind, index, "team_id", key.team_id.as_deref(), Kind::Teams);
            self.exists(kind, index, "customer_id", key.customer_id.as_deref(), Kind::Customers);
            self.exists(kind, index, "rate_limit_id", key.rate_limit_id.as_deref(), Kind::RateLimits);
            let mut providers = HashSet::new();
            for (place, grant) in key.grants.iter().enumerate() {
                let member = |name: &str| format!("provider_configs[{place}].{name}");
                if !providers.insert(grant.provider.as_str()) {
                    self.wrong(
                        kind,
                        index,
                        member("provider"),
                        "expected a provider that no other config of the key has",
                    );
                }
                if grant.id.is_some_and(|id| !grant_ids.insert(id)) {
                    self.wrong(kind, index, member("id"), "expected an id that no other provider config has");
                }
                let limit = grant.rate_limit_id.as_deref();
                self.exists(kind, index, &member("rate_limit_id"), limit, Kind::RateLimits);
                let lists = [
                    ("allowed_models", grant.allowed_models.names()),
                    ("blacklisted_models", &grant.blacklisted_models),
                ];
                for (list, entries) in lists {
                    for (entry, text) in entries.iter().enumerate() {
                        if *patterns.entry(text).or_insert_with(|| pattern_of(text).is_ok()) {
                            continue;
                        }
                        let message = super::InvalidPattern.to_string();
                        self.wrong(kind, index, member(&format!("{list}[{entry}]")), message);
                    }
                }
            }
        }
    }

    fn teams(&mut self) {
        for (index, team) in self.all.teams.iter().enumerate() {
            self.exists(Kind::Teams, index, "customer_id", team.customer_id.as_deref(), Kind::Customers);
            self.exists(Kind::Teams, index, "rate_limit_id", team.rate_limit_id.as_deref(), Kind::RateLimits);
        }
        for (index, customer) in self.all.customers.iter().enumerate() {
            self.exists(
                Kind::Customers,
                index,
                "rate_limit_id",
                customer.rate_limit_id.as_deref(),
                Kind::RateLimits,
            );
        }
    }

    fn budgets(&mut self) {
        let kind = Kind::Budgets;
        let mut durations: HashMap<&BudgetOwner, Vec<&'d ResetDuration>> = HashMap::new();
        for (index, budget) in self.all.budgets.iter().enumerate() {
            let Some(owner) = &budget.owner else { continue };
            let named = match owner {
                BudgetOwner::VirtualKey(id) => Some(("virtual_key_id", id, Kind::VirtualKeys)),
                BudgetOwner::Team(id) => Some(("team_id", id, Kind::Teams)),
                BudgetOwner::Customer(id) => Some(("customer_id", id, Kind::Customers)),
                BudgetOwner::ModelConfig(id) => Some(("model_config_id", id, Kind::ModelConfigs)),
                BudgetOwner::ProviderConfig(id) if !self.provider_configs.contains(id) => {
                    let message = format!("no provider config has the id {id}");
                    self.wrong(kind, index, "provider_config_id", message);
                    None
                }
                BudgetOwner::ProviderConfig(_) | BudgetOwner::Provider(_) => None,
            };
            if let Some((member, id, of)) = named {
                self.exists(kind, index, member, Some(id), of);
            }
            let others = durations.entry(owner).or_default();
            if others.iter().any(|other| other.is_same(&budget.reset_duration)) {
                let message = "duplicate reset_duration: expected one that no other budget of its owner has";
                self.wrong(kind, index, "reset_duration", message);
            } else {
                others.push(&budget.reset_duration);
            }
        }
    }

    fn models(&mut self) {
        let kind = Kind::ModelConfigs;
        for (index, config) in self.all.model_configs.iter().enumerate() {
            if let ModelScope::VirtualKey(id) = &config.scope {
                self.exists(kind, index, "scope_id", Some(id), Kind::VirtualKeys);
            }
            for (place, id) in config.rate_limit_ids.iter().enumerate() {
                self.exists(kind, index, &format!("rate_limit_ids[{place}]"), Some(id), Kind::RateLimits);
            }
        }
        for (index, provider) in self.all.providers.iter().enumerate() {
            let limit = provider.rate_limit_id.as_deref();
            self.exists(Kind::Providers, index, "rate_limit_id", limit, Kind::RateLimits);
        }
    }

    fn prices(&mut self) {
        let kind = Kind::PricingOverrides;
        for (index, price) in self.all.pricing_overrides.iter().enumerate() {
            let scope: ScopeKind = price.scope_kind;
            let needed = [
                (scope.has_virtual_key(), "virtual_key_id", &price.virtual_key_id),
                (scope.has_provider(), "provider_id", &price.provider_id),
                (scope.has_provider_key(), "provider_key_id", &price.provider_key_id),
            ];
            for (_, member, _) in needed.iter().filter(|(is_needed, _, id)| *is_needed && id.is_none()) {
                self.wrong(kind, index, *member, format!("expected one, as its scope is {}", scope.as_str()));
            }
            self.exists(kind, index, "virtual_key_id", price.virtual_key_id.as_deref(), Kind::VirtualKeys);
        }
    }
}
