//! Who may use what, and how much of it, as it is defined: in `config.json`, and over `/api/governance`.
//!
//! These are plain structs with Bifrost's members. Their JSON is what Redis keeps of each, and what the administration shows, but for
//! what is joined to it there. What was used of a limit is no part of a definition. What the definitions mean together, the crate
//! `hermod-governance` tells.

mod budget;
mod check;
mod duration;
mod model_list;
mod models;
mod money;
mod pricing;
mod rate_limit;
mod settings;
mod teams;
#[cfg(test)]
mod tests;
mod value;
mod virtual_key;

pub use budget::{Budget, BudgetOverride, BudgetOwner, OverrideMode};
pub use check::{Fault, Kind};
pub(crate) use duration::span_of;
pub use duration::{CalendarUnit, InvalidDuration, ResetDuration};
pub use model_list::{InvalidPattern, pattern_of};
pub use models::{ModelConfig, ModelScope, ProviderLimits};
pub use money::Money;
pub use pricing::{MatchType, PricingOverride, PricingSource, ScopeKind};
pub use rate_limit::{Rate, RateLimit};
pub use settings::{FileKey, KeyOptions, ProviderOptions, UnknownPrice};
pub use teams::{Customer, Team};
pub use value::{NEW_PREFIX, ValueHash};
pub use virtual_key::{Blocked, ProviderGrant, VirtualKey};

use std::collections::BTreeMap;

/// All definitions of a moment, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    pub version: Version,
    pub virtual_keys: Vec<VirtualKey>,
    pub teams: Vec<Team>,
    pub customers: Vec<Customer>,
    pub budgets: Vec<Budget>,
    pub rate_limits: Vec<RateLimit>,
    pub model_configs: Vec<ModelConfig>,
    pub providers: Vec<ProviderLimits>,
    pub pricing_overrides: Vec<PricingOverride>,
    /// `hermod.defaults`: what holds for keys that say nothing themselves, and for jobs without a key.
    pub defaults: KeyOptions,
    /// `hermod.keys` of ids that the file does not define: those of keys that were made over HTTP, or of none.
    pub file_keys: BTreeMap<String, FileKey>,
    /// `hermod.providers`, by name.
    pub provider_options: BTreeMap<String, ProviderOptions>,
    pub unknown_price: UnknownPrice,
}

/// What an absent or empty list of what is allowed means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Everything.
    One,
    /// Nothing.
    #[default]
    Two,
}

impl Definitions {
    /// The virtual key with this id, usable or not.
    pub fn virtual_key(&self, id: &str) -> Option<&VirtualKey> {
        self.virtual_keys.iter().find(|key| key.id == id)
    }

    /// These, and `stored` beside them: of two with one id, that of the file counts. What the file says of the stored keys
    /// (`hermod.keys`) overrules what they say themselves.
    #[must_use]
    pub fn with_stored(&self, stored: Self) -> Self {
        let mut all = self.clone();
        add(&mut all.virtual_keys, stored.virtual_keys, |key| &key.id);
        add(&mut all.teams, stored.teams, |team| &team.id);
        add(&mut all.customers, stored.customers, |customer| &customer.id);
        add(&mut all.budgets, stored.budgets, |budget| &budget.id);
        add(&mut all.rate_limits, stored.rate_limits, |limit| &limit.id);
        add(&mut all.model_configs, stored.model_configs, |config| &config.id);
        add(&mut all.providers, stored.providers, |provider| &provider.name);
        add(&mut all.pricing_overrides, stored.pricing_overrides, |price| &price.id);
        let Self { virtual_keys, file_keys, .. } = &mut all;
        for key in virtual_keys {
            if let Some(file) = file_keys.remove(&key.id) {
                key.options = file.options.or(key.options);
                key.webhook_secret = file.webhook_secret;
            }
        }
        all
    }

    /// Ids under `hermod.keys` that no virtual key has.
    pub fn unknown_keys(&self) -> impl Iterator<Item = &str> {
        self.file_keys.keys().map(String::as_str)
    }
}

/// Adds those whose ids are new.
fn add<T>(all: &mut Vec<T>, more: Vec<T>, id: impl Fn(&T) -> &str) {
    let known: std::collections::HashSet<String> = all.iter().map(|one| id(one).to_owned()).collect();
    all.extend(more.into_iter().filter(|one| !known.contains(id(one))));
}

/// For members that are left out where they are false.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
