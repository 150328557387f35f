//! Deliveries that are sent again.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::{StreamExt, TryStreamExt, stream};
use hermod_queue::webhooks::{RowId, StoredRow, Unsettled};
use hermod_queue::{Delivery, QueueError};
use hermod_types::Timestamp;
use hermod_types::webhook::{EndpointId, Receiver, Row};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::admin::{Actor, INVALID_PAYLOAD, text_of};
use crate::error::{ApiError, Failure};
use crate::object::read_from_object;
use crate::state::State;

/// How long the answer waits for the first attempt to be recorded, and how often it looks.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Deliveries that are queued at once.
const AT_ONCE: usize = 16;

/// `POST /api/webhooks/deliveries/{id}/redeliver`: 202, once its first attempt is recorded or 2 s have passed.
pub(super) async fn redeliver(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    const UNKNOWN: ApiError = ApiError::NotFound("Webhook delivery not found");
    let row: RowId = id.parse().map_err(|_| UNKNOWN)?;
    let found = state.endpoints.stored.row(&row, state.config.webhook_history).await;
    let StoredRow { row, request } = found.map_err(ApiError::Unavailable)?.ok_or(UNKNOWN)?;
    let delivery = Delivery::parse(&request).ok_or(UNKNOWN)?;
    check_receiver(&delivery, &state).await?;
    let newest = newest_of(&row, &state).await?.unwrap_or_else(|| row.id.clone());
    let queued = delivery.queue(row.webhook_id, &state.store).await.map_err(ApiError::Unavailable)?;
    if !queued {
        return Err(ApiError::Conflict("This delivery is already in flight".to_owned()).into());
    }
    actor.did("sent a delivery again", row.webhook_id, "");
    let begun = Instant::now();
    while begun.elapsed() < LONGEST_WAIT && newest_of(&row, &state).await?.is_none_or(|is| is == newest) {
        sleep(LOOK_INTERVAL).await;
    }
    Ok(HttpResponse::Accepted().json(json!({"status": "queued", "webhook_id": row.webhook_id})))
}

/// The id of the newest row of the same delivery.
async fn newest_of(row: &Row, state: &State) -> Result<Option<String>, ApiError> {
    let history = state.config.webhook_history;
    let newest = state.endpoints.stored.newest_of(row.endpoint_id, row.webhook_id, history).await;
    Ok(newest.map_err(ApiError::Unavailable)?.map(|row| row.id))
}

/// # Errors
/// If the receiver is gone, or nothing is sent to it.
async fn check_receiver(delivery: &Delivery, state: &State) -> Result<(), ApiError> {
    match &delivery.hook.receiver {
        Receiver::Endpoint { endpoint } => {
            let known = state.endpoints.by_id(*endpoint).await?;
            known.ok_or_else(|| ApiError::invalid("webhook endpoint no longer exists"))?.check_enabled()
        }
        Receiver::Url { .. } => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct Since {
    since: String,
}

read_from_object!(Since);

/// `POST /api/webhooks/{id}/recover`: 202 with how many deliveries that have failed since are sent again.
pub(super) async fn recover(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body = text_of(&http, payload, &state).await?;
    let Since { since } = serde_json::from_str(&body)
        .map_err(|error| ApiError::invalid(format!("{INVALID_PAYLOAD}: {error}")))?;
    let since = Timestamp::from_rfc3339(&since)
        .ok_or_else(|| ApiError::invalid("since must be a time such as 2030-01-31T00:00:00Z"))?;
    let known = state.endpoints.find(&id).await?;
    known.check_enabled()?;
    let count = recover_since(known.endpoint.id, since, &state).await?;
    actor.did("sent deliveries again that had failed", known.endpoint.id, &known.endpoint.name);
    Ok(HttpResponse::Accepted().json(json!({"status": "queued", "count": count})))
}

async fn recover_since(id: EndpointId, since: Timestamp, state: &State) -> Result<usize, ApiError> {
    let failed = state.endpoints.stored.failed_since(id, since, state.config.webhook_history).await;
    let again = async |failed: Unsettled| {
        let Some(delivery) = Delivery::parse(&failed.request) else { return Ok(false) };
        // One that is under way by now needs nothing.
        delivery.queue(failed.delivery, &state.store).await
    };
    let queued: Result<Vec<bool>, QueueError> = stream::iter(failed.map_err(ApiError::Unavailable)?)
        .map(again)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await;
    Ok(queued.map_err(ApiError::Unavailable)?.into_iter().filter(|queued| *queued).count())
}
