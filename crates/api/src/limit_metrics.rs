//! How much of each limit is used, for `/metrics`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hermod_governance::{Calendar, Limit, Measure, Rules, Scope, Window};
use hermod_queue::governance::Limits;
use hermod_service::Gauges;
use hermod_types::Timestamp;
use hermod_types::governance::Money;

use crate::metrics::float;

/// Limits that are shown at most: those of customers and teams first, those of keys behind them; budgets before others.
const MOST_LIMITS: usize = 500;

/// What a limit is called: names of keys, teams and customers, never values or ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    /// The virtual key's name; '' for a limit that is not a key's.
    key: String,
    /// What of its calls count, or whose.
    scope: String,
    limit: String,
}

/// Adds the limits that there are, each with what is used of it: one command, and none where nothing is limited.
pub(crate) async fn add_limits(gauges: &mut Gauges, rules: &Rules, limits: &Limits) {
    let mut all: Vec<&Arc<Limit>> = rules.limits_at(Timestamp::now()).collect();
    all.sort_by_cached_key(|limit| rank(limit, rules));
    let hidden = all.len().saturating_sub(MOST_LIMITS);
    all.truncate(MOST_LIMITS);
    let shown: Vec<Arc<Limit>> = all.into_iter().cloned().collect();
    let Ok(usage) = limits.usage(&shown).await else { return };
    let names = Names::new(rules);
    // Two rows of the same labels would make all of the answer unreadable.
    let mut rows: BTreeMap<Labels, (f64, f64)> = BTreeMap::new();
    for (limit, usage) in shown.iter().zip(&usage) {
        let amount = |amount: u64| match limit.measure {
            Measure::Cost => Money::from_nanos(amount).as_dollars(),
            Measure::Requests | Measure::Tokens | Measure::Running => float(amount),
        };
        rows.entry(names.of(limit)).or_insert((amount(usage.used), amount(limit.max)));
    }
    let of = |value: fn(&(f64, f64)) -> f64| {
        rows.iter().map(move |(labels, row)| {
            let labels = [
                ("key", labels.key.as_str()),
                ("scope", labels.scope.as_str()),
                ("limit", labels.limit.as_str()),
            ];
            (labels, value(row))
        })
    };
    let used = "What is used of a limit in its window, by the virtual key's name: dollars, tokens, requests, or jobs that run.";
    gauges.add_rows("hermod_limit_used", used, of(|row| row.0));
    gauges.add_rows("hermod_limit_max", "The limit, in the same unit.", of(|row| row.1));
    let help = "Limits that are not among those shown, as there are more than 500.";
    gauges.add("hermod_limits_not_shown", help, float(u64::try_from(hidden).unwrap_or(u64::MAX)));
}

/// Which limits are shown first.
fn rank(limit: &Limit, rules: &Rules) -> (u8, u8, String, String) {
    let (scope, key) = match &limit.scope {
        Scope::Customer(_) => (0, None),
        Scope::Team(_) => (1, None),
        Scope::Provider(_) => (2, None),
        Scope::Model { key: None, .. } => (3, None),
        Scope::Key(key) => (4, Some(key)),
        Scope::KeyProvider { key, .. } => (5, Some(key)),
        Scope::Model { key: Some(key), .. } => (6, Some(key)),
    };
    let measure = match limit.measure {
        Measure::Cost => 0,
        Measure::Tokens => 1,
        Measure::Requests => 2,
        Measure::Running => 3,
    };
    let key = key.map(|key| rules.name_of(Some(key)).to_owned());
    (scope, measure, key.unwrap_or_default(), limit.name.clone())
}

/// Names by ids.
struct Names<'r> {
    rules: &'r Rules,
    teams: HashMap<&'r str, &'r str>,
    customers: HashMap<&'r str, &'r str>,
}

impl<'r> Names<'r> {
    fn new(rules: &'r Rules) -> Self {
        let all = rules.definitions();
        Self {
            rules,
            teams: all.teams.iter().map(|team| (team.id.as_str(), team.name.as_str())).collect(),
            customers: all.customers.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect(),
        }
    }

    fn of(&self, limit: &Limit) -> Labels {
        let key = |id: &str| self.rules.name_of(Some(id)).to_owned();
        let (key, scope) = match &limit.scope {
            Scope::Customer(id) => (String::new(), format!("customer {}", name(&self.customers, id))),
            Scope::Team(id) => (String::new(), format!("team {}", name(&self.teams, id))),
            Scope::Key(id) => (key(id), "key".to_owned()),
            Scope::KeyProvider { key: id, provider } => (key(id), format!("provider {provider}")),
            Scope::Provider(provider) => (String::new(), format!("provider {provider}")),
            Scope::Model { key: id, provider, model } => {
                let provider = provider.as_ref().map(|provider| format!("{provider}/")).unwrap_or_default();
                (id.as_deref().map(key).unwrap_or_default(), format!("model {provider}{model}"))
            }
        };
        let kind = match limit.measure {
            Measure::Cost => "budget",
            Measure::Tokens => "tokens",
            Measure::Requests => "requests",
            Measure::Running => "running",
        };
        let limit = match window(limit.window) {
            Some(window) => format!("{kind} {window}"),
            None => kind.to_owned(),
        };
        Labels { key, scope, limit }
    }
}

fn name<'n>(names: &HashMap<&'n str, &'n str>, id: &'n str) -> &'n str {
    names.get(id).copied().unwrap_or(id)
}

/// The length of a window, in the largest unit that has it whole.
fn window(window: Window) -> Option<String> {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3600, "h"), (60, "m")];
    match window {
        Window::Never => None,
        Window::Calendar(calendar) => Some(
            match calendar {
                Calendar::Day => "day",
                Calendar::Week => "week",
                Calendar::Month => "month",
                Calendar::Quarter(_) => "quarter",
                Calendar::Year => "year",
            }
            .to_owned(),
        ),
        Window::Rolling(length) => {
            let seconds = length.as_secs();
            if seconds == 0 || length != Duration::from_secs(seconds) {
                return Some(format!("{}ms", length.as_millis()));
            }
            let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds % unit == 0).unwrap_or((1, "s"));
            Some(format!("{}{name}", seconds / unit))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_named_by_the_largest_unit() {
        let rolling = |ms| window(Window::Rolling(Duration::from_millis(ms))).unwrap();
        let of = [60_000, 90_000, 7_200_000, 30 * 86_400_000, 1_500].map(rolling);
        assert_eq!(of, ["1m", "90s", "2h", "30d", "1500ms"]);
        assert_eq!(window(Window::Calendar(Calendar::Month)).as_deref(), Some("month"));
        assert_eq!(window(Window::Never), None);
    }
}
