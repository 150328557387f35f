use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use futures_util::future::try_join_all;
use hermod_governance::{Limit, Measure, Rules, Scope};
use hermod_queue::ClosedLane;
use hermod_queue::governance::Usage;
use hermod_types::Timestamp;
use hermod_types::governance::{Money, VirtualKey};

use super::super::Ui;
use super::super::respond::{Page, UiError};
use super::super::show::{Badge, Bar, count, from_now};
use super::page;
use super::summary::Summary;

/// Keys of one page.
const SHOWN: usize = 50;
/// Limits whose use is read for one page, and at once.
const MOST_LIMITS: usize = 1_000;
const AT_ONCE: usize = 250;
/// Lanes of each shard that wait.
const MOST_LANES: usize = 100;

#[derive(Template)]
#[template(path = "keys.html")]
struct Keys {
    summary: Summary,
    keys: Vec<Key>,
    others: Vec<Other>,
    waiting: Vec<Waits>,
    waiting_total: u64,
    waiting_is_cut: bool,
    total: String,
    page: usize,
    pages: usize,
}

struct Key {
    id: String,
    name: String,
    state: Badge,
    path: String,
    running: String,
    waiting: String,
    limits: Vec<Used>,
}

/// A limit of a team, a customer, a provider or a model.
struct Other {
    whose: String,
    limit: Used,
}

/// How much of a limit is used.
struct Used {
    what: String,
    text: String,
    reserved: String,
    bar: Bar,
    ends: String,
}

/// Who waits for what.
struct Waits {
    key: String,
    jobs: String,
    reason: String,
    limit: String,
    until: String,
}

/// `GET /ui/keys`
///
/// # Errors
/// If Redis does not answer.
pub(in crate::ui) async fn keys(ui: &Ui, at: usize) -> Result<Page, UiError> {
    let summary = Summary::read(ui).await?;
    let rules = ui.governance.rules.current();
    let all = &rules.definitions().virtual_keys;
    let pages = all.len().div_ceil(SHOWN).max(1);
    let at = at.min(pages);
    let shown: Vec<&VirtualKey> = all.iter().skip((at - 1) * SHOWN).take(SHOWN).collect();
    let usage = usage(ui, &rules, &shown).await?;
    let counts = try_join_all(shown.iter().map(|key| ui.governance.waiting.of(&key.id))).await?;
    let closed = ui.admin.closed_lanes(MOST_LANES).await?;
    let now = Timestamp::now();
    let keys = shown.iter().zip(counts).map(|(key, waiting)| Key::of(key, waiting, &usage, &rules, now));
    let keys = Keys {
        summary,
        keys: keys.collect(),
        others: others(&usage, &rules, now),
        waiting: closed.lanes.iter().map(|lane| Waits::of(lane, &rules, now)).collect(),
        waiting_total: closed.total,
        waiting_is_cut: u64::try_from(closed.lanes.len()).is_ok_and(|shown| shown < closed.total),
        total: count(all.len() as u64),
        page: at,
        pages,
    };
    page("Keys", &keys)
}

type Usages = Vec<(Arc<Limit>, Usage)>;

/// What was used of the limits of these keys, and of those that are nobody's alone.
async fn usage(ui: &Ui, rules: &Rules, keys: &[&VirtualKey]) -> Result<Usages, UiError> {
    let is_shown =
        |limit: &&Arc<Limit>| key_of(&limit.scope).is_none_or(|id| keys.iter().any(|key| key.id == id));
    let mut seen = std::collections::HashSet::new();
    let limits: Vec<Arc<Limit>> = rules
        .all_limits()
        .filter(is_shown)
        .filter(|limit| seen.insert(limit.name.clone()))
        .take(MOST_LIMITS)
        .map(Arc::clone)
        .collect();
    let mut all = Vec::with_capacity(limits.len());
    for some in limits.chunks(AT_ONCE) {
        let usage = ui.governance.limits.usage(some).await?;
        all.extend(some.iter().map(Arc::clone).zip(usage));
    }
    Ok(all)
}

/// The virtual key whose limit it is.
fn key_of(scope: &Scope) -> Option<&str> {
    match scope {
        Scope::Key(key) | Scope::KeyProvider { key, .. } => Some(key),
        Scope::Model { key, .. } => key.as_deref(),
        Scope::Customer(_) | Scope::Team(_) | Scope::Provider(_) => None,
    }
}

/// What of a key's work a limit concerns; empty for all of it.
fn part_of(scope: &Scope) -> String {
    match scope {
        Scope::Customer(_) | Scope::Team(_) | Scope::Key(_) => String::new(),
        Scope::KeyProvider { provider, .. } | Scope::Provider(provider) => provider.clone(),
        Scope::Model { provider: Some(provider), model, .. } => format!("{provider}/{model}"),
        Scope::Model { provider: None, model, .. } => model.clone(),
    }
}

impl Key {
    fn of(key: &VirtualKey, waiting: u64, usage: &Usages, rules: &Rules, now: Timestamp) -> Self {
        let own = || usage.iter().filter(|(limit, _)| key_of(&limit.scope) == Some(&key.id));
        let (running, limits): (Vec<_>, Vec<_>) =
            own().partition(|(limit, _)| limit.measure == Measure::Running);
        let running =
            running.first().map(|(limit, usage)| format!("{} of {}", count(usage.used), count(limit.max)));
        let max_waiting = rules.settings(Some(&key.id)).max_waiting;
        let waiting = match max_waiting {
            Some(max) => format!("{} of {}", count(waiting), count(max)),
            None => count(waiting),
        };
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            state: match key.check(now) {
                Ok(()) => Badge::new("completed", "active"),
                Err(why) => Badge::new("failed", why.to_string().replace("virtual key ", "")),
            },
            path: super::super::form::path("/ui/jobs", [("key", Some(key.id.as_str()))]),
            running: running.unwrap_or_else(|| "–".to_owned()),
            waiting,
            limits: limits.iter().map(|(limit, usage)| Used::of(limit, usage, now)).collect(),
        }
    }
}

impl Used {
    fn of(limit: &Limit, usage: &Usage, now: Timestamp) -> Self {
        let amount = |number: u64| match limit.measure {
            Measure::Cost => cents(Money::from_nanos(number)),
            Measure::Requests | Measure::Tokens | Measure::Running => count(number),
        };
        let what = match limit.measure {
            Measure::Requests => "requests",
            Measure::Tokens => "tokens",
            Measure::Cost => "budget",
            Measure::Running => "running",
        };
        let part = part_of(&limit.scope);
        Self {
            what: if part.is_empty() { what.to_owned() } else { format!("{what} · {part}") },
            text: format!("{} of {}", amount(usage.used), amount(limit.max)),
            reserved: if usage.reserved > 0 {
                format!("+ {} reserved", amount(usage.reserved))
            } else {
                String::new()
            },
            bar: Bar::new(usage.used.saturating_add(usage.reserved), limit.max),
            ends: usage.ends.map(|ends| format!("· anew {}", from_now(ends, now))).unwrap_or_default(),
        }
    }
}

/// Limits that are no key's alone.
fn others(usage: &Usages, rules: &Rules, now: Timestamp) -> Vec<Other> {
    let definitions = rules.definitions();
    let teams: HashMap<&str, &str> =
        definitions.teams.iter().map(|team| (team.id.as_str(), team.name.as_str())).collect();
    let customers: HashMap<&str, &str> =
        definitions.customers.iter().map(|customer| (customer.id.as_str(), customer.name.as_str())).collect();
    let whose = |scope: &Scope| match scope {
        Scope::Team(id) => format!("team {}", teams.get(id.as_str()).unwrap_or(&id.as_str())),
        Scope::Customer(id) => format!("customer {}", customers.get(id.as_str()).unwrap_or(&id.as_str())),
        Scope::Provider(name) => format!("provider {name}"),
        Scope::Model { .. } => "all keys".to_owned(),
        Scope::Key(_) | Scope::KeyProvider { .. } => "without a key".to_owned(),
    };
    let is_other = |scope: &Scope| key_of(scope).is_none_or(str::is_empty);
    usage
        .iter()
        .filter(|(limit, _)| is_other(&limit.scope))
        .map(|(limit, usage)| Other { whose: whose(&limit.scope), limit: Used::of(limit, usage, now) })
        .collect()
}

impl Waits {
    fn of(lane: &ClosedLane, rules: &Rules, now: Timestamp) -> Self {
        let owner = Some(lane.owner.as_str()).filter(|owner| !owner.is_empty());
        let limit = |name: &String| {
            let found = rules.all_limits().find(|limit| limit.name == *name);
            found.map_or_else(|| name.clone(), |limit| part_of(&limit.scope))
        };
        Self {
            key: rules.name_of(owner).to_owned(),
            jobs: count(lane.jobs),
            reason: lane.reason.clone(),
            limit: lane.limit.as_ref().map(limit).unwrap_or_default(),
            until: from_now(lane.until, now),
        }
    }
}

/// Dollars, to the cent.
fn cents(money: Money) -> String {
    let dollars = money.as_dollars();
    if dollars > 0.0 && dollars < 0.01 { "< 0.01 $".to_owned() } else { format!("{dollars:.2} $") }
}

/// Dollars, to as many digits as matter.
pub(super) fn dollars(money: Money) -> String {
    let dollars = money.as_dollars();
    if dollars >= 1.0 || dollars == 0.0 {
        return format!("{dollars:.2}");
    }
    let text = format!("{dollars:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
