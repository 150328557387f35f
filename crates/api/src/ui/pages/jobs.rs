use askama::Template;
use hermod_governance::Rules;
use hermod_queue::{JobFilter, JobQuery, JobsIn, ListedJob, Outcome, Owner};
use hermod_types::{Operation, Timestamp};

use super::super::Ui;
use super::super::respond::{Page, UiError};
use super::super::show::{Badge, JobLink, Moment, from_now, span_ms};
use super::super::view::{JobsAsked, NO_KEY, State};
use super::page;
use super::summary::Summary;

/// Jobs of one page.
const SHOWN: usize = 50;
/// Jobs that wait, run or sleep which are looked at for those that are asked for.
const LOOKED_AT: usize = 1_000;
/// Virtual keys that are offered to choose from; others can be typed into the address.
const MOST_KEYS: usize = 500;

#[derive(Template)]
#[template(path = "jobs.html")]
struct Jobs {
    summary: Summary,
    states: Vec<Choice>,
    endpoints: Vec<Choice>,
    keys: Vec<Choice>,
    model: String,
    is_filtered: bool,
    jobs: Vec<JobRow>,
    note: &'static str,
    newer: Option<String>,
    older: Option<String>,
}

struct Choice {
    value: String,
    text: String,
    is_chosen: bool,
}

/// A job in a list.
pub(super) struct JobRow {
    pub(super) link: JobLink,
    pub(super) state: Badge,
    pub(super) endpoint: &'static str,
    pub(super) model: String,
    pub(super) key: String,
    pub(super) accepted: Moment,
    /// How long it took, has taken, or when it goes on.
    pub(super) took: String,
    pub(super) ended: Option<Moment>,
}

impl JobRow {
    pub(super) fn of(job: &ListedJob, rules: &Rules, now: Timestamp) -> Self {
        let accepted = job.view.created_at;
        let took = match (job.view.completed_at, job.due, job.started) {
            (Some(completed), ..) => since(accepted, completed),
            (None, Some(due), _) => format!("due {}", from_now(due, now)),
            (None, None, Some(started)) => since(started, now),
            (None, None, None) => since(accepted, now),
        };
        Self {
            link: JobLink::to(job.view.id),
            state: Badge::of(job),
            endpoint: job.operation.path(),
            model: job.model.clone().unwrap_or_default(),
            key: rules.name_of(job.owner.as_deref()).to_owned(),
            accepted: Moment::at(accepted),
            took,
            ended: job.view.completed_at.map(Moment::at),
        }
    }
}

fn since(from: Timestamp, to: Timestamp) -> String {
    span_ms(to.as_millis().saturating_sub(from.as_millis()))
}

/// `GET /ui/jobs`
///
/// # Errors
/// If Redis does not answer.
pub(in crate::ui) async fn jobs(ui: &Ui, asked: &JobsAsked) -> Result<Page, UiError> {
    let summary = Summary::read(ui).await?;
    let rules = ui.governance.rules.current();
    let owner = asked.key.as_deref().map(|key| owner_of(key, &rules));
    let filter = JobFilter {
        outcome: match asked.state {
            Some(State::Completed) => Some(Outcome::Completed),
            Some(State::Failed) => Some(Outcome::Failed),
            Some(State::Cancelled) => Some(Outcome::Cancelled),
            Some(State::Ended | State::Waiting | State::Running | State::Sleeping) | None => None,
        },
        operation: asked.endpoint,
        model: asked.model.clone(),
        owner: owner.clone(),
    };
    let place = match asked.state {
        Some(State::Waiting) => Some(JobsIn::Waiting),
        Some(State::Running) => Some(JobsIn::Running),
        Some(State::Sleeping) => Some(JobsIn::Delayed),
        Some(State::Ended | State::Completed | State::Failed | State::Cancelled) | None => None,
    };
    let mut older = None;
    let (found, note) = match (place, asked.state, &ui.lists) {
        (Some(place), ..) => {
            let mut found = ui.admin.jobs_in(place, LOOKED_AT).await?;
            found.retain(|job| filter.takes(job));
            found.truncate(2 * SHOWN);
            let note = match place {
                JobsIn::Waiting => {
                    "Those that wait longest come first; of many, the first 1,000 are looked at."
                }
                JobsIn::Running => "The oldest come first; of many, the first 1,000 are looked at.",
                JobsIn::Delayed => {
                    "Those that are due first come first; of many, the first 1,000 are looked at."
                }
            };
            (found, note)
        }
        (None, None, Some(lists)) => {
            let query = JobQuery {
                owner: owner.map_or(Owner::Anybody, Owner::Key),
                status: None,
                operation: asked.endpoint,
                model: asked.model.clone(),
                created_after: None,
                created_before: None,
                after: asked.after,
                limit: SHOWN,
            };
            let found = lists.page(&query).await?;
            older = found.next.map(|after| asked.path(Some(after)));
            (found.jobs, "The latest to be accepted come first.")
        }
        (None, _, _) => {
            let found = ui.admin.recent(&filter, 2 * SHOWN).await?;
            (found, "The latest ends come first; the last 10,000 are remembered.")
        }
    };
    let now = Timestamp::now();
    let choice = |value: &str, text: &str, chosen: Option<&str>| Choice {
        value: value.to_owned(),
        text: text.to_owned(),
        is_chosen: chosen == Some(value),
    };
    let chosen = asked.key.as_deref();
    let mut keys = vec![choice(NO_KEY, "without a key", chosen)];
    let all = &rules.definitions().virtual_keys;
    keys.extend(all.iter().take(MOST_KEYS).map(|key| choice(&key.id, &key.name, chosen)));
    if let Some(key) = chosen.filter(|key| keys.iter().all(|choice| choice.value != *key)) {
        keys.push(choice(key, key, chosen));
    }
    let jobs = Jobs {
        summary,
        states: State::ALL
            .map(|state| choice(state.as_str(), state.as_str(), asked.state.map(State::as_str)))
            .into(),
        endpoints: Operation::public()
            .map(|operation| choice(operation.path(), operation.path(), asked.endpoint.map(Operation::path)))
            .collect(),
        keys,
        model: asked.model.clone().unwrap_or_default(),
        is_filtered: *asked != JobsAsked::default(),
        jobs: found.iter().map(|job| JobRow::of(job, &rules, now)).collect(),
        note,
        newer: asked.after.map(|_| asked.path(None)),
        older,
    };
    page("Jobs", &jobs)
}

/// The id of a virtual key that is named by its id or its name; '' for jobs without one.
fn owner_of(key: &str, rules: &Rules) -> String {
    if key == NO_KEY {
        return String::new();
    }
    if rules.key(key).is_some() {
        return key.to_owned();
    }
    let named = rules.definitions().virtual_keys.iter().find(|named| named.name == key);
    named.map_or_else(|| key.to_owned(), |named| named.id.clone())
}
