//! Which limits there are, and which of them a call must pass.

use std::collections::HashMap;
use std::sync::Arc;

use hermod_types::governance::{
    Budget, BudgetOwner, CalendarUnit, Definitions, ModelScope, RateLimit, ResetDuration,
};
use hermod_types::{Target, Timestamp};

use crate::{Calendar, Limit, Measure, Scope, Window};

/// The limits of one owner, in the order in which they refuse.
#[derive(Debug, Default)]
struct Own {
    rates: Vec<Held>,
    budgets: Vec<Held>,
}

/// A limit, and that which counts after a time, when what was added to it is over.
#[derive(Debug)]
struct Held {
    limit: Arc<Limit>,
    later: Option<(Timestamp, Arc<Limit>)>,
}

/// Limits of models: of everybody, or of one key.
#[derive(Debug, Default)]
struct ModelTable {
    /// By the model's name, `*` for all; with the provider, where it says one.
    by_model: HashMap<String, Vec<(Option<String>, Own)>>,
}

/// What a virtual key's jobs must pass, whatever they call.
#[derive(Debug, Default)]
struct OfKey {
    team: Option<String>,
    customer: Option<String>,
    own: Own,
    by_provider: HashMap<String, Own>,
    models: ModelTable,
    running: Option<Arc<Limit>>,
}

#[derive(Debug, Default)]
pub(super) struct LimitTable {
    keys: HashMap<String, OfKey>,
    /// Of jobs without a key.
    keyless: OfKey,
    teams: HashMap<String, Own>,
    customers: HashMap<String, Own>,
    providers: HashMap<String, Own>,
    running: HashMap<String, Arc<Limit>>,
    models: ModelTable,
    /// What a limit's window is called, by the limit's name.
    durations: HashMap<String, String>,
    has_overrides: bool,
}

/// Definitions of limits by their ids, and of budgets by their owners.
struct Source<'d> {
    rates: HashMap<&'d str, &'d RateLimit>,
    budgets: HashMap<&'d BudgetOwner, Vec<&'d Budget>>,
    /// Customers by their teams.
    customers: HashMap<&'d str, &'d str>,
}

impl Source<'_> {
    fn own<'i>(
        &self,
        owner: &BudgetOwner,
        rates: impl IntoIterator<Item = &'i str>,
        is_aligned: bool,
        scope: &Scope,
    ) -> Own {
        let rates = rates.into_iter().filter_map(|id| self.rates.get(id));
        let budgets = self.budgets.get(owner).into_iter().flatten();
        Own {
            rates: rates.flat_map(|rate| held_rates(rate, is_aligned, scope)).collect(),
            budgets: budgets.map(|budget| held_budget(budget, is_aligned, scope)).collect(),
        }
    }
}

impl ModelTable {
    fn limits(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Limit>> {
        self.by_model.values().flatten().flat_map(|(_, own)| own.held()).map(move |held| held.at(now))
    }
}

impl Held {
    /// The limit as it is then.
    fn at(&self, now: Timestamp) -> &Arc<Limit> {
        match &self.later {
            Some((from, later)) if *from <= now => later,
            Some(_) | None => &self.limit,
        }
    }
}

impl Own {
    fn is_empty(&self) -> bool {
        self.rates.is_empty() && self.budgets.is_empty()
    }

    fn held(&self) -> impl Iterator<Item = &Held> {
        self.rates.iter().chain(&self.budgets)
    }
}

fn held_rates(rate: &RateLimit, is_aligned: bool, scope: &Scope) -> impl Iterator<Item = Held> {
    [("tokens", Measure::Tokens, &rate.tokens), ("requests", Measure::Requests, &rate.requests)]
        .into_iter()
        .filter_map(move |(kind, measure, part)| {
            let part = part.as_ref()?;
            let limit = Limit {
                name: format!("{kind}:{}", rate.id),
                id: rate.id.clone(),
                measure,
                max: part.max,
                window: window(&part.reset, is_aligned, None),
                scope: scope.clone(),
            };
            Some(Held { limit: Arc::new(limit), later: None })
        })
}

fn held_budget(budget: &Budget, is_aligned: bool, scope: &Scope) -> Held {
    let plain = Limit {
        name: format!("budget:{}", budget.id),
        id: budget.id.clone(),
        measure: Measure::Cost,
        max: budget.max_limit.as_nanos(),
        window: window(
            &budget.reset_duration,
            is_aligned || budget.calendar_aligned,
            budget.quarter_start_month,
        ),
        scope: scope.clone(),
    };
    let Some(added) = budget.added else { return Held { limit: Arc::new(plain), later: None } };
    let raised = Limit { max: budget.max_limit.plus(added.amount).as_nanos(), ..plain.clone() };
    Held { limit: Arc::new(raised), later: added.until.map(|until| (until, Arc::new(plain))) }
}

fn window(reset: &ResetDuration, is_aligned: bool, quarter_start: Option<u8>) -> Window {
    match reset.unit().filter(|_| is_aligned) {
        None => Window::Rolling(reset.length()),
        Some(unit) => Window::Calendar(match unit {
            CalendarUnit::Day => Calendar::Day,
            CalendarUnit::Week => Calendar::Week,
            CalendarUnit::Month => Calendar::Month,
            CalendarUnit::Quarter => Calendar::Quarter(quarter_start.unwrap_or(1)),
            CalendarUnit::Year => Calendar::Year,
        }),
    }
}

fn running(name: String, id: &str, max: u64, scope: Scope) -> Arc<Limit> {
    let (measure, window) = (Measure::Running, Window::Never);
    Arc::new(Limit { name, id: id.to_owned(), measure, max, window, scope })
}

impl LimitTable {
    pub(super) fn new(all: &Definitions) -> Self {
        let mut source = Source {
            rates: all.rate_limits.iter().map(|rate| (rate.id.as_str(), rate)).collect(),
            budgets: HashMap::new(),
            customers: all
                .teams
                .iter()
                .filter_map(|team| Some((team.id.as_str(), team.customer_id.as_deref()?)))
                .collect(),
        };
        for budget in &all.budgets {
            if let Some(owner) = &budget.owner {
                source.budgets.entry(owner).or_default().push(budget);
            }
        }
        let mut table = Self::default();
        for key in &all.virtual_keys {
            let of_key = of_key(key, all, &source);
            table.keys.entry(key.id.clone()).or_insert(of_key);
        }
        table.keyless.running = all
            .defaults
            .max_concurrent
            .map(|max| running("key:".to_owned(), "", max, Scope::Key(String::new())));
        for team in &all.teams {
            let (id, rate) = (team.id.clone(), team.rate_limit_id.as_deref());
            let own = source.own(
                &BudgetOwner::Team(id.clone()),
                rate,
                team.calendar_aligned,
                &Scope::Team(id.clone()),
            );
            table.teams.insert(id, own);
        }
        for customer in &all.customers {
            let (id, rate) = (customer.id.clone(), customer.rate_limit_id.as_deref());
            let scope = Scope::Customer(id.clone());
            let own = source.own(&BudgetOwner::Customer(id.clone()), rate, customer.calendar_aligned, &scope);
            table.customers.insert(id, own);
        }
        for provider in &all.providers {
            let (name, rate) = (provider.name.clone(), provider.rate_limit_id.as_deref());
            let scope = Scope::Provider(name.clone());
            let own =
                source.own(&BudgetOwner::Provider(name.clone()), rate, provider.calendar_aligned, &scope);
            table.providers.insert(name, own);
        }
        for (name, options) in &all.provider_options {
            let Some(max) = options.max_concurrent else { continue };
            let limit = running(format!("provider:{name}"), name, max, Scope::Provider(name.clone()));
            table.running.insert(name.clone(), limit);
        }
        table.add_models(all, &source);
        table.name_durations(all);
        table
    }

    fn add_models(&mut self, all: &Definitions, source: &Source<'_>) {
        for config in &all.model_configs {
            let key = match &config.scope {
                ModelScope::Global => None,
                ModelScope::VirtualKey(id) => Some(id.clone()),
            };
            let models = match &key {
                None => &mut self.models,
                Some(id) => match self.keys.get_mut(id) {
                    Some(of_key) => &mut of_key.models,
                    None => continue,
                },
            };
            let scope =
                Scope::Model { key, provider: config.provider.clone(), model: config.model_name.clone() };
            let owner = BudgetOwner::ModelConfig(config.id.clone());
            let rates = config.rate_limit_ids.iter().map(String::as_str);
            let own = source.own(&owner, rates, config.calendar_aligned, &scope);
            models
                .by_model
                .entry(config.model_name.clone())
                .or_default()
                .push((config.provider.clone(), own));
        }
    }

    fn name_durations(&mut self, all: &Definitions) {
        for rate in &all.rate_limits {
            for (kind, part) in [("tokens", &rate.tokens), ("requests", &rate.requests)] {
                if let Some(part) = part {
                    self.durations.insert(format!("{kind}:{}", rate.id), part.reset.to_string());
                }
            }
        }
        self.has_overrides =
            all.budgets.iter().any(|budget| budget.added.is_some_and(|added| added.until.is_some()));
    }

    /// What a limit's window is called in the definitions.
    pub(super) fn duration(&self, name: &str) -> Option<&str> {
        self.durations.get(name).map(String::as_str)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all(Timestamp::from_millis(0)).next().is_none()
    }

    pub(super) fn of(&self, owner: Option<&str>, target: &Target) -> Vec<Arc<Limit>> {
        let now = if self.has_overrides { Timestamp::now() } else { Timestamp::from_millis(0) };
        let (provider, model) = (target.provider(), target.model());
        let key = owner.map_or(Some(&self.keyless), |owner| self.keys.get(owner));
        let of_provider = self.providers.get(provider);
        let team = key.and_then(|key| self.teams.get(key.team.as_deref()?));
        let customer = key.and_then(|key| self.customers.get(key.customer.as_deref()?));
        let granted = key.and_then(|key| key.by_provider.get(provider));
        let mut limits = Chain { now, limits: Vec::new() };
        limits.add(of_provider.into_iter().flat_map(Own::held));
        limits.add_models(&self.models, provider, model);
        let levels = [granted, key.map(|key| &key.own), team, customer];
        limits.add(levels.into_iter().flatten().flat_map(|own| &own.rates));
        limits.add(levels.into_iter().flatten().flat_map(|own| &own.budgets));
        if let Some(key) = key {
            limits.add_models(&key.models, provider, model);
        }
        // Last what is over in a moment.
        limits.limits.extend(self.running.get(provider).cloned());
        limits.limits.extend(key.and_then(|key| key.running.clone()));
        limits.limits
    }

    /// Those of requests and of tokens that a key's jobs may meet, whatever they call.
    pub(super) fn rates_of(&self, owner: &str) -> Vec<Arc<Limit>> {
        let Some(key) = self.keys.get(owner) else { return Vec::new() };
        let team = key.team.as_deref().and_then(|team| self.teams.get(team));
        let customer = key.customer.as_deref().and_then(|customer| self.customers.get(customer));
        let owns = std::iter::once(&key.own).chain(team).chain(customer).chain(key.by_provider.values());
        let models = key.models.by_model.values().flatten().map(|(_, own)| own);
        let mut limits = Chain { now: Timestamp::from_millis(0), limits: Vec::new() };
        limits.add(owns.chain(models).flat_map(|own| &own.rates));
        limits.limits
    }

    /// Each limit as it is then, those of all keys included.
    pub(super) fn all(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Limit>> {
        let owns = self.teams.values().chain(self.customers.values()).chain(self.providers.values());
        let keys = std::iter::once(&self.keyless).chain(self.keys.values());
        let of_keys = keys.flat_map(move |key| {
            let owns = std::iter::once(&key.own).chain(key.by_provider.values());
            let held = owns.flat_map(Own::held).map(move |held| held.at(now));
            held.chain(key.models.limits(now)).chain(&key.running)
        });
        owns.flat_map(Own::held)
            .map(move |held| held.at(now))
            .chain(self.models.limits(now))
            .chain(self.running.values())
            .chain(of_keys)
    }
}

/// What a key and its provider configs have.
fn of_key(key: &hermod_types::governance::VirtualKey, all: &Definitions, source: &Source<'_>) -> OfKey {
    let is_aligned = key.calendar_aligned;
    let scope = Scope::Key(key.id.clone());
    let mut of_key = OfKey {
        own: source.own(
            &BudgetOwner::VirtualKey(key.id.clone()),
            key.rate_limit_id.as_deref(),
            is_aligned,
            &scope,
        ),
        running: (key.options.or(all.defaults).max_concurrent)
            .map(|max| running(format!("key:{}", key.id), &key.id, max, scope)),
        team: key.team_id.clone(),
        customer: key.customer_id.clone(),
        ..OfKey::default()
    };
    let of_team = key.team_id.as_deref().and_then(|team| source.customers.get(team));
    of_key.customer = of_key.customer.or_else(|| of_team.map(|customer| (*customer).to_owned()));
    for grant in &key.grants {
        let scope = Scope::KeyProvider { key: key.id.clone(), provider: grant.provider.clone() };
        // No budget points to one without an id.
        let owner =
            grant.id.map_or_else(|| BudgetOwner::Provider(String::new()), BudgetOwner::ProviderConfig);
        let own = source.own(&owner, grant.rate_limit_id.as_deref(), is_aligned, &scope);
        if !own.is_empty() {
            of_key.by_provider.entry(grant.provider.clone()).or_insert(own);
        }
    }
    of_key
}

/// The limits that were found so far, each once.
struct Chain {
    now: Timestamp,
    limits: Vec<Arc<Limit>>,
}

impl Chain {
    fn add<'h>(&mut self, held: impl Iterator<Item = &'h Held>) {
        for held in held {
            let limit = held.at(self.now);
            // What two share is counted once, for the wider of them.
            match self.limits.iter_mut().find(|known| known.name == limit.name) {
                Some(known) if known.scope.is_narrow() && !limit.scope.is_narrow() => {
                    *known = Arc::clone(limit);
                }
                Some(_) => {}
                None => self.limits.push(Arc::clone(limit)),
            }
        }
    }

    fn add_models(&mut self, models: &ModelTable, provider: &str, model: &str) {
        if models.by_model.is_empty() {
            return;
        }
        for name in [model, "*"] {
            let configs = models.by_model.get(name).into_iter().flatten();
            let here = configs.filter(|(of, _)| of.as_deref().is_none_or(|of| of == provider));
            self.add(here.flat_map(|(_, own)| own.held()));
        }
    }
}
