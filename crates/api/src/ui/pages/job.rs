use askama::Template;
use hermod_queue::webhooks::Filter;
use hermod_queue::{GivenUp, JobRecord, OutcomeRef, Position};
use hermod_types::webhook::Row;
use hermod_types::{JobId, JobStatus, Journal, Timestamp};
use serde::Deserialize;

use super::super::respond::{NO_JOB, Page, UiError};
use super::super::show::{Badge, Moment, bytes, count, from_now, shortened};
use super::super::{Rights, Ui};
use super::page;
use super::summary::Summary;
use super::timeline::{Event, timeline};
use super::webhooks::DeliveryRow;
use crate::error::ApiError;

/// A larger outcome is not looked into for its attempts.
const LARGEST_OUTCOME: u64 = 8 << 20;
/// Deliveries of a job that are shown.
const DELIVERIES: usize = 10;

#[derive(Template)]
#[template(path = "job.html")]
struct Job {
    summary: Summary,
    id: JobId,
    state: Badge,
    facts: Vec<(&'static str, String)>,
    times: Vec<(&'static str, Moment, String)>,
    error: Option<ShownError>,
    events: Vec<Event>,
    note: &'static str,
    deliveries: Vec<DeliveryRow>,
    may_cancel: bool,
    may_requeue: bool,
    may_see_content: bool,
}

/// What failed it. It says nothing of what the client wrote, unless the provider's message does.
struct ShownError {
    kind: String,
    code: String,
    message: String,
}

/// What is read of an outcome.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OutcomeHead {
    error: Option<ErrorHead>,
    extra_fields: ExtraFields,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorHead {
    r#type: Option<String>,
    code: Option<serde_json::Value>,
    message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExtraFields {
    attempts: Journal,
}

/// How far a job has come that has not ended.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProgressHead {
    attempts: Journal,
}

/// `GET /ui/jobs/{id}`
///
/// # Errors
/// If there is no such job, or Redis does not answer.
pub(in crate::ui) async fn job(ui: &Ui, id: JobId, rights: Rights) -> Result<Page, UiError> {
    let summary = Summary::read(ui).await?;
    let record = ui.queue.find(id).await.map_err(ApiError::from_find)?;
    let given_up = ui.admin.given_up(id).await?;
    let deliveries = deliveries(ui, id).await?;
    let now = Timestamp::now();
    let Some(record) = record else {
        let letter = given_up.ok_or(UiError::NotFound(NO_JOB))?;
        return page(title(id), &forgotten(summary, id, &letter, deliveries, rights));
    };
    let inspected = ui.admin.inspect(id).await?.unwrap_or_default();
    let (head, note) = outcome(ui, &record).await?;
    let journal = match record.status {
        JobStatus::Pending | JobStatus::Processing => {
            serde_json::from_str::<ProgressHead>(&inspected.progress).unwrap_or_default().attempts
        }
        JobStatus::Completed | JobStatus::Failed => head.extra_fields.attempts,
    };
    let lost = match &given_up {
        Some(letter) if inspected.lost.is_empty() => &letter.lost,
        _ => &inspected.lost,
    };
    let rules = ui.governance.rules.current();
    let position = match ui.positions.of(&record).await {
        Some(Position::Exactly(before)) => format!("{} before it", count(before as u64)),
        Some(Position::MoreThan(before)) => format!("more than {} before it", count(before as u64)),
        None => String::new(),
    };
    let mut facts = vec![
        ("endpoint", record.operation.path().to_owned()),
        ("model", record.model.clone().unwrap_or_default()),
        ("virtual key", rules.name_of(record.owner.as_deref()).to_owned()),
        ("starts", count(inspected.starts)),
        ("priority", inspected.priority.map(|priority| priority.to_string()).unwrap_or_default()),
        ("position", position),
        ("worker", inspected.run.as_ref().map(|run| run.worker.clone()).unwrap_or_default()),
        (
            "waits for",
            record
                .waiting_for
                .as_ref()
                .map(|limit| format!("{}, goes on {}", limit.kind, from_now(limit.until, now)))
                .unwrap_or_default(),
        ),
        ("given up on", given_up.as_ref().map(|letter| letter.reason.clone()).unwrap_or_default()),
        ("result", result_size(&record)),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    let view = record.view();
    let mut times = vec![("accepted", view.created_at)];
    times.extend(view.completed_at.map(|at| ("ended", at)));
    times.extend(view.expires_at.map(|at| ("expires", at)));
    let is_ended = record.status.is_ended();
    let job = Job {
        summary,
        id,
        state: state(&record, given_up.is_some()),
        facts,
        times: times.into_iter().map(|(name, at)| (name, Moment::at(at), from_now(at, now))).collect(),
        error: head.error.filter(|_| record.status == JobStatus::Failed).map(ShownError::from),
        events: timeline(&record, &inspected, lost, &journal, now),
        note,
        deliveries,
        may_cancel: rights.may_act && !is_ended,
        may_requeue: rights.may_act && is_ended && given_up.is_some(),
        may_see_content: rights.may_see_content,
    };
    page(title(id), &job)
}

fn title(id: JobId) -> String {
    format!("Job {id}")
}

/// A job whose record has expired, and that can still be queued again.
fn forgotten(
    summary: Summary,
    id: JobId,
    letter: &GivenUp,
    deliveries: Vec<DeliveryRow>,
    rights: Rights,
) -> Job {
    let starts: Vec<String> =
        letter.lost.iter().map(|start| format!("{} at {}", start.worker, start.at)).collect();
    Job {
        summary,
        id,
        state: Badge::new("failed", "dead"),
        facts: vec![
            ("given up on", letter.reason.clone()),
            ("starts that came to nothing", starts.join(", ")),
        ],
        times: vec![("accepted", Moment::at(id.created_at()), String::new())],
        error: None,
        events: Vec::new(),
        note: "The time of its result is over: only what it takes to queue it again is kept.",
        deliveries,
        may_cancel: false,
        may_requeue: rights.may_act,
        may_see_content: rights.may_see_content,
    }
}

fn state(record: &JobRecord, is_dead: bool) -> Badge {
    match record.status {
        JobStatus::Pending if record.waiting_for.is_some() => Badge::new("sleeping", "waits for a limit"),
        JobStatus::Pending => Badge::new("waiting", "waiting"),
        JobStatus::Processing if record.cancel_requested.is_some() => {
            Badge::new("cancelled", "being cancelled")
        }
        JobStatus::Processing => Badge::new("running", "running"),
        JobStatus::Completed => Badge::new("completed", "completed"),
        JobStatus::Failed if record.is_cancelled() => Badge::new("cancelled", "cancelled"),
        JobStatus::Failed => {
            let code = record.status_code().map(|code| format!(" {code}")).unwrap_or_default();
            Badge::new("failed", if is_dead { format!("dead{code}") } else { format!("failed{code}") })
        }
    }
}

fn result_size(record: &JobRecord) -> String {
    match record.outcome() {
        Some(OutcomeRef::Inline(json)) => bytes(json.len() as u64),
        Some(OutcomeRef::Stored(stored)) => bytes(stored.bytes),
        None => String::new(),
    }
}

/// What is read of an ended job's outcome, and what is to be said of it.
async fn outcome(ui: &Ui, record: &JobRecord) -> Result<(OutcomeHead, &'static str), UiError> {
    let json = match record.outcome() {
        None => return Ok((OutcomeHead::default(), "")),
        Some(OutcomeRef::Inline(json)) => return Ok((serde_json::from_str(json).unwrap_or_default(), "")),
        Some(OutcomeRef::Stored(stored)) if stored.bytes > LARGEST_OUTCOME => None,
        Some(OutcomeRef::Stored(stored)) => ui.outcomes.read(stored, 0, stored.bytes).await?,
    };
    let too_large = (OutcomeHead::default(), "Its result is too large to be looked into for its attempts.");
    Ok(json.map_or(too_large, |json| (serde_json::from_slice(&json).unwrap_or_default(), "")))
}

async fn deliveries(ui: &Ui, id: JobId) -> Result<Vec<DeliveryRow>, UiError> {
    let filter = Filter { job: Some(id), from: Some(id.created_at()), ..Filter::default() };
    let webhooks = &ui.endpoints.stored;
    let found = webhooks.search(&filter, 0, DELIVERIES, ui.config.webhook_history).await?;
    let names = super::webhooks::names(ui).await;
    Ok(found.rows.iter().map(|row: &Row| DeliveryRow::of(row, &names)).collect())
}

impl From<ErrorHead> for ShownError {
    fn from(error: ErrorHead) -> Self {
        let code = match error.code {
            Some(serde_json::Value::String(code)) => code,
            Some(code) => code.to_string(),
            None => String::new(),
        };
        Self {
            kind: shortened(&error.r#type.unwrap_or_default(), 200),
            code: shortened(&code, 200),
            message: shortened(&error.message.unwrap_or_default(), 2_000),
        }
    }
}
