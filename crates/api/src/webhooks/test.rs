use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::Timestamp;
use hermod_types::webhook::{Event, sample};
use hermod_webhooks::{Message, Verdict};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::endpoints::optional;
use super::query::event_of;
use crate::admin::{Actor, text_of};
use crate::error::{ApiError, Failure};
use crate::object::read_from_object;
use crate::state::State;

/// What is sent where no event is named.
const TEST_EVENT: &str = "webhook.test";

#[derive(Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct Wanted {
    event: Option<String>,
}

read_from_object!(Wanted);

/// `POST /api/webhooks/{id}/test`: sends a signed sample now, once. It is neither recorded nor counted.
pub(super) async fn test(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let wanted: Wanted = optional(&text_of(&http, payload, &state).await?)?;
    let known = state.endpoints.find(&id).await?;
    known.check_enabled()?;
    let endpoint = &known.endpoint;
    let event = match wanted.event.as_deref() {
        None | Some("" | TEST_EVENT) => None,
        Some(word) => Some(event_of(word)?),
    };
    if let Some(event) = event.filter(|event: &Event| !endpoint.events.contains(event)) {
        let (name, event) = (&endpoint.name, event.as_str());
        let message = format!("webhook endpoint {name:?} is not subscribed to event {event:?}");
        return Err(ApiError::invalid(message).into());
    }
    let (event, body) = sample(event, Timestamp::now());
    let delivery = Uuid::now_v7().to_string();
    let attempt = state.sender.send(Message::to(endpoint, &delivery, event, body)).await;
    actor.did("sent a test to a webhook endpoint", endpoint.id, &endpoint.name);
    let duration_ms = u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX);
    let mut answer = json!({"delivered": attempt.verdict == Verdict::Delivered, "duration_ms": duration_ms});
    if let Some(status) = attempt.status {
        answer["receiver_status_code"] = json!(status);
    }
    if attempt.verdict != Verdict::Delivered {
        answer["error"] = json!(attempt.error);
    }
    Ok(HttpResponse::Ok().json(answer))
}
