use std::collections::HashMap;

use askama::Template;
use hermod_queue::Lane;
use hermod_types::webhook::{Endpoint, EndpointId, EndpointState, Outcome, Row};

use super::super::Ui;
use super::super::respond::{Page, UiError};
use super::super::show::{Badge, JobLink, Moment, count, shortened};
use super::page;
use super::summary::Summary;

/// Deliveries that are shown.
const DELIVERIES: usize = 50;
/// Endpoints that are shown.
const ENDPOINTS: usize = 200;

#[derive(Template)]
#[template(path = "webhooks.html")]
struct Shown {
    summary: Summary,
    waiting: String,
    delayed: String,
    running: String,
    endpoints: Vec<EndpointRow>,
    trouble: String,
    deliveries: Vec<DeliveryRow>,
}

struct EndpointRow {
    name: String,
    url: String,
    events: String,
    state: Badge,
    failures: u64,
    last_success: Option<Moment>,
    last_failure: Option<Moment>,
}

/// One attempt of a delivery.
pub(super) struct DeliveryRow {
    pub(super) at: Moment,
    pub(super) endpoint: String,
    pub(super) job: JobLink,
    pub(super) event: &'static str,
    pub(super) attempt: u32,
    pub(super) outcome: Badge,
    pub(super) error: String,
}

impl EndpointRow {
    fn of(endpoint: &Endpoint, state: &EndpointState, is_disabled: bool) -> Self {
        // What stands behind a `?` may be a secret.
        let url = endpoint.url.url();
        let origin = url.origin().ascii_serialization();
        let events: Vec<_> = endpoint.events.iter().map(|event| event.as_str()).collect();
        Self {
            name: endpoint.name.clone(),
            url: format!("{origin}{}", url.path()),
            events: events.join(", "),
            state: match (is_disabled, state.disabled_reason, state.consecutive_failures) {
                (true, Some(_), _) => Badge::new("failed", "disabled: it failed"),
                (true, None, _) => Badge::new("sleeping", "disabled"),
                (false, _, 0) => Badge::new("completed", "enabled"),
                (false, _, _) => Badge::new("failed", "failing"),
            },
            failures: state.consecutive_failures,
            last_success: state.last_success_at.map(Moment::at),
            last_failure: state.last_failure_at.map(Moment::at),
        }
    }
}

impl DeliveryRow {
    pub(super) fn of(row: &Row, names: &HashMap<EndpointId, String>) -> Self {
        let class = match row.outcome {
            Outcome::Delivered => "completed",
            Outcome::RetryableFailure => "sleeping",
            Outcome::PermanentFailure | Outcome::Exhausted => "failed",
        };
        let word = row.outcome.as_str().replace('_', " ");
        let code = if row.status_code > 0 { format!(" {}", row.status_code) } else { String::new() };
        Self {
            at: Moment::at(row.created_at),
            endpoint: names.get(&row.endpoint_id).cloned().unwrap_or_else(|| row.endpoint_id.to_string()),
            job: JobLink::to(row.async_job_id),
            event: row.event.as_str(),
            attempt: row.attempt_no,
            outcome: Badge::new(class, format!("{word}{code}")),
            error: shortened(&row.error, 200),
        }
    }
}

/// The names of all endpoints; without those that cannot be read.
pub(super) async fn names(ui: &Ui) -> HashMap<EndpointId, String> {
    let all = ui.endpoints.all().await.unwrap_or_default();
    all.into_iter().map(|known| (known.endpoint.id, known.endpoint.name.clone())).collect()
}

/// `GET /ui/webhooks`
///
/// # Errors
/// If Redis does not answer.
pub(in crate::ui) async fn webhooks(ui: &Ui) -> Result<Page, UiError> {
    let summary = Summary::read(ui).await?;
    let stats = ui.admin.stats(Lane::Deliveries).await?;
    let rows = ui.endpoints.stored.newest(DELIVERIES, ui.config.webhook_history).await?;
    let (endpoints, trouble) = match ui.endpoints.all().await {
        Ok(all) => (all, String::new()),
        // One that cannot be read does not keep the others' deliveries from being seen.
        Err(error) => (Vec::new(), error.to_string()),
    };
    let names = endpoints.iter().map(|known| (known.endpoint.id, known.endpoint.name.clone())).collect();
    let shown = Shown {
        summary,
        waiting: count(stats.waiting),
        delayed: count(stats.delayed),
        running: count(stats.running),
        endpoints: endpoints
            .iter()
            .take(ENDPOINTS)
            .map(|known| EndpointRow::of(&known.endpoint, &known.state, known.is_disabled()))
            .collect(),
        trouble,
        deliveries: rows.iter().map(|row| DeliveryRow::of(row, &names)).collect(),
    };
    page("Webhooks", &shown)
}
