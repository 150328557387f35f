//! How `governance` is read: whose which limits are, and how much.

use super::node::Node;
use super::read_pricing::read_override;
use super::read_virtual_key::read_virtual_key;
use super::section::{Report, Section};
use super::suggest::did_you_mean;
use super::{Config, ConfigError};
use crate::governance::{
    Budget, BudgetOwner, Customer, Definitions, Kind, ModelConfig, ModelScope, Money, ProviderLimits, Rate,
    RateLimit, ResetDuration, Team,
};

/// What is only known once all of it is read.
struct Reading<'r> {
    report: &'r Report<'r>,
    definitions: Definitions,
    /// Where each budget stands.
    budget_paths: Vec<String>,
    /// Budgets that somebody names as theirs: the path of the member, the budget's id, and whose it is.
    claims: Vec<(String, String, BudgetOwner)>,
}

/// Reads `governance` into the configuration, whose providers are known.
pub(super) fn read_governance(file: &mut Section<'_>, config: &mut Config, report: &Report<'_>) {
    let definitions = std::mem::take(&mut config.definitions);
    config.definitions.version = definitions.version;
    let mut reading = Reading { report, definitions, budget_paths: Vec::new(), claims: Vec::new() };
    for section in file.sections("virtual_keys") {
        reading.virtual_key(section, config);
    }
    for section in file.sections("teams") {
        reading.team(section);
    }
    for section in file.sections("customers") {
        reading.customer(section);
    }
    for section in file.sections("budgets") {
        reading.budget(section, None);
    }
    for section in file.sections("rate_limits") {
        let limit = read_rate_limit(section);
        reading.definitions.rate_limits.push(limit);
    }
    for section in file.sections("model_configs") {
        reading.model_config(section);
    }
    for section in file.sections("providers") {
        reading.provider(section, config);
    }
    for section in file.sections("pricing_overrides") {
        let price = read_override(section);
        reading.definitions.pricing_overrides.push(price);
    }
    reading.assign_budgets();
    reading.check();
    config.definitions = reading.definitions;
}

impl Reading<'_> {
    /// A member that names a budget as the owner's, in Bifrost's older form.
    fn claim(&mut self, file: &mut Section<'_>, member: &'static str, owner: BudgetOwner) {
        if let Some(id) = file.text(member) {
            self.claims.push((file.path_of(member), id, owner));
        }
    }

    fn virtual_key(&mut self, mut file: Section<'_>, config: &Config) {
        let path = file.path_of("budget_id");
        let claimed = file.text("budget_id");
        let grants = file.take_texts("provider_configs", "budget_id");
        let place = file.path_of("provider_configs");
        let mut key = read_virtual_key(file, config, self.report);
        self.claims.extend(claimed.map(|id| (path, id, BudgetOwner::VirtualKey(key.id.clone()))));
        for (index, budget) in grants {
            let Some(grant) = key.grants.get_mut(index) else { continue };
            // Out of the way of those that the file gives.
            let next = u64::try_from(self.claims.len()).unwrap_or_default();
            let id = *grant.id.get_or_insert((1 << 52) + next);
            let path = format!("{place}[{index}].budget_id");
            self.claims.push((path, budget, BudgetOwner::ProviderConfig(id)));
        }
        self.definitions.virtual_keys.push(key);
    }

    fn team(&mut self, mut file: Section<'_>) {
        let id = file.needed("id", "expected an id", Section::text);
        self.claim(&mut file, "budget_id", BudgetOwner::Team(id.clone()));
        self.definitions.teams.push(Team {
            name: file.text("name").unwrap_or_else(|| id.clone()),
            id,
            customer_id: file.text("customer_id"),
            rate_limit_id: file.text("rate_limit_id"),
            calendar_aligned: file.boolean("calendar_aligned").unwrap_or_default(),
        });
        file.finish();
    }

    fn customer(&mut self, mut file: Section<'_>) {
        let id = file.needed("id", "expected an id", Section::text);
        let owner = || BudgetOwner::Customer(id.clone());
        self.claim(&mut file, "budget_id", owner());
        for section in file.sections("budgets") {
            self.budget(section, Some(owner()));
        }
        self.definitions.customers.push(Customer {
            name: file.text("name").unwrap_or_else(|| id.clone()),
            id,
            rate_limit_id: file.text("rate_limit_id"),
            calendar_aligned: file.boolean("calendar_aligned").unwrap_or_default(),
        });
        file.finish();
    }

    /// `inside`: whose it is if it stands within its owner.
    fn budget(&mut self, mut file: Section<'_>, inside: Option<BudgetOwner>) {
        let id = file.needed("id", "expected an id", Section::text);
        let text = |file: &mut Section<'_>, member, owner: fn(String) -> BudgetOwner| {
            file.text(member).map(|id| (member, owner(id)))
        };
        let mut owners: Vec<(&str, BudgetOwner)> = [
            inside.map(|owner| ("", owner)),
            text(&mut file, "virtual_key_id", BudgetOwner::VirtualKey),
            file.count("provider_config_id")
                .map(|id| ("provider_config_id", BudgetOwner::ProviderConfig(id))),
            text(&mut file, "model_config_id", BudgetOwner::ModelConfig),
            text(&mut file, "team_id", BudgetOwner::Team),
            text(&mut file, "customer_id", BudgetOwner::Customer),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let [_, (second, _), ..] = owners.as_slice() {
            file.wrong(second, "expected one owner, found two");
        }
        let max_limit = needed(&mut file, "max_limit", MONEY, money);
        let reset_duration = needed(&mut file, "reset_duration", DURATION, duration);
        let quarter_start_month = file.section("reset_config").and_then(|mut reset| {
            let month = |node| if let Node::Number(month) = node { month.as_u64() } else { None };
            let month = |node| month(node).and_then(|month| u8::try_from(month).ok());
            let month = |node| month(node).filter(|month| (1..=12).contains(month));
            let month = reset.read("quarter_start_month", "a month, 1 to 12", month);
            reset.finish();
            month
        });
        let calendar_aligned = file.boolean("calendar_aligned").unwrap_or_default();
        // What was used is in Redis alone.
        file.pass_over(&["current_usage", "last_reset"]);
        let owner = (!owners.is_empty()).then(|| owners.swap_remove(0).1);
        if let (Some(max_limit), Some(reset_duration)) = (max_limit, reset_duration) {
            self.budget_paths.push(file.path_of(""));
            let added = None;
            let budget =
                Budget { id, max_limit, reset_duration, owner, calendar_aligned, quarter_start_month, added };
            self.definitions.budgets.push(budget);
        }
        file.finish();
    }

    fn model_config(&mut self, mut file: Section<'_>) {
        let id = file.needed("id", "expected an id", Section::text);
        self.claim(&mut file, "budget_id", BudgetOwner::ModelConfig(id.clone()));
        let path = file.path_of("budget_ids");
        for (index, budget) in file.texts("budget_ids").unwrap_or_default().into_iter().enumerate() {
            self.claims.push((format!("{path}[{index}]"), budget, BudgetOwner::ModelConfig(id.clone())));
        }
        let model_name = file.needed("model_name", "expected a model's name, or *", Section::text);
        let scope_id = file.text("scope_id");
        let word = |node| if let Node::Text(text) = node { Some(text) } else { None };
        let known = |word: &String| ["global", "virtual_key"].contains(&word.as_str());
        let scope = file.read("scope", "\"global\" or \"virtual_key\"", |node| word(node).filter(known));
        let scope = match (scope.as_deref(), scope_id) {
            (Some("virtual_key"), Some(id)) => ModelScope::VirtualKey(id),
            (Some("virtual_key"), None) => {
                file.wrong("scope_id", "expected the id of a virtual key");
                ModelScope::Global
            }
            _ => ModelScope::Global,
        };
        let mut rate_limit_ids = file.texts("rate_limit_ids").unwrap_or_default();
        rate_limit_ids.extend(file.text("rate_limit_id"));
        self.definitions.model_configs.push(ModelConfig {
            id,
            model_name,
            provider: file.text("provider"),
            scope,
            calendar_aligned: file.boolean("calendar_aligned").unwrap_or_default(),
            rate_limit_ids,
        });
        file.finish();
    }

    fn provider(&mut self, mut file: Section<'_>, config: &Config) {
        let name = file.needed("name", "expected the name of a provider", Section::text);
        let hint = did_you_mean(&name, config.providers.keys().map(String::as_str));
        if !hint.is_empty() && !config.providers.contains_key(&name) {
            file.wrong("name", format!("no provider has this name{hint}"));
        }
        self.claim(&mut file, "budget_id", BudgetOwner::Provider(name.clone()));
        self.definitions.providers.push(ProviderLimits {
            name,
            rate_limit_id: file.text("rate_limit_id"),
            calendar_aligned: file.boolean("calendar_aligned").unwrap_or_default(),
        });
        file.finish();
    }

    /// Gives each budget to whoever names it as theirs.
    fn assign_budgets(&mut self) {
        for (path, id, owner) in std::mem::take(&mut self.claims) {
            // Of those that could not be read, nobody knows the ids.
            let is_all = !self.is_blamed("governance.budgets");
            match self.definitions.budgets.iter_mut().find(|budget| budget.id == id) {
                None if !is_all => {}
                None => self.report.wrong(path, format!("no budget has the id {id:?}")),
                Some(budget) if budget.owner.as_ref().is_some_and(|other| *other != owner) => {
                    self.report.wrong(path, format!("expected one owner of the budget {id:?}, found two"));
                }
                Some(budget) => budget.owner = Some(owner),
            }
        }
    }

    /// Whether something is wrong already with what stands at this path or below it.
    fn is_blamed(&self, path: &str) -> bool {
        let is_it = |error: &ConfigError| {
            error.path().strip_prefix(path).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        };
        self.report.any(is_it)
    }

    /// Notes what is wrong with all of it together.
    fn check(&self) {
        for fault in self.definitions.faults() {
            let budget = self.budget_paths.get(fault.index).filter(|_| fault.kind == Kind::Budgets);
            let point = if fault.member.is_empty() { "" } else { "." };
            let path = budget.map_or_else(|| fault.path(), |path| format!("{path}{point}{}", fault.member));
            let unread = fault.member.is_empty() || !self.is_blamed(&path);
            // An id that could not be read is nobody's.
            if unread && !self.is_blamed(&format!("governance.{}[{}].id", fault.kind.as_str(), fault.index)) {
                self.report.wrong(path, fault.message);
            }
        }
    }
}

const MONEY: &str = "dollars, 0 to 9,000,000";
const DURATION: &str = "a duration of a second or more, such as 30s, 1h30m, 1d, 1w, 1M, 1Q, 1Y or monthly";

/// A member that must be there.
fn needed<T>(
    file: &mut Section<'_>,
    name: &'static str,
    expected: &str,
    read: impl FnOnce(Node) -> Option<T>,
) -> Option<T> {
    file.needed(name, &format!("expected {expected}"), |file, name| file.read(name, expected, read).map(Some))
}

fn money(node: Node) -> Option<Money> {
    if let Node::Number(dollars) = node { Money::from_dollars(dollars.as_f64()?) } else { None }
}

fn duration(node: Node) -> Option<ResetDuration> {
    if let Node::Text(text) = node { text.parse().ok() } else { None }
}

fn read_rate_limit(mut file: Section<'_>) -> RateLimit {
    let id = file.needed("id", "expected an id", Section::text);
    let mut tokens = read_rate(&mut file, "token_max_limit", "token_reset_duration");
    let mut requests = read_rate(&mut file, "request_max_limit", "request_reset_duration");
    // Newer rows have one metric each.
    let metric = |node| if let Node::Text(text) = node { Some(text) } else { None };
    let metric = |node| metric(node).filter(|metric| ["requests", "tokens"].contains(&metric.as_str()));
    let metric = file.read("metric", "\"requests\" or \"tokens\"", metric);
    let plain = read_rate(&mut file, "max_limit", "reset_duration");
    match metric.as_deref() {
        Some("requests") => requests = requests.or(plain),
        Some(_) => tokens = tokens.or(plain),
        None if plain.is_some() => file.wrong("metric", "expected \"requests\" or \"tokens\""),
        None => {}
    }
    file.pass_over(&[
        "token_current_usage",
        "token_last_reset",
        "request_current_usage",
        "request_last_reset",
    ]);
    file.finish();
    RateLimit { id, tokens, requests }
}

fn read_rate(file: &mut Section<'_>, max: &'static str, reset: &'static str) -> Option<Rate> {
    let number = |node| if let Node::Number(number) = node { number.as_u64() } else { None };
    let limit = file.read(max, "a whole number above 0", |node| number(node).filter(|number| *number > 0));
    let has_duration = file.holds(reset);
    let duration = file.read(reset, DURATION, duration);
    if limit.is_some() && !has_duration {
        file.wrong(reset, format!("expected a duration beside {max}, such as 1m, 1h or 1d"));
    }
    Some(Rate { max: limit?, reset: duration? })
}
