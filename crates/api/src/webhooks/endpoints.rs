//! Endpoints are made, shown and changed.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::webhooks::{MOST_ENDPOINTS, Put};
use hermod_types::Timestamp;
use hermod_types::webhook::{Endpoint, EndpointState, InvalidEndpoint};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::known::{Endpoints, Known, NOT_FOUND};
use crate::admin::{Actor, INVALID_PAYLOAD, text_of};
use crate::error::{ApiError, Failure};
use crate::object::read_from_object;
use crate::state::State;

/// The longest that an old secret may be kept.
const LONGEST_KEPT: Duration = Duration::from_secs(86_400);
/// How often a change is made anew on what somebody else has changed meanwhile.
const TRIES: usize = 5;

/// `POST /api/webhooks`: 201 with the endpoint and its secret.
pub(super) async fn create(
    http: HttpRequest,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body = text_of(&http, payload, &state).await?;
    let endpoints = &state.endpoints;
    let endpoint = Endpoint::from_body(&body, Timestamp::now()).map_err(refused)?;
    if endpoints.is_in_file(&endpoint.name) {
        return Err(taken().into());
    }
    let stored = endpoints.to_stored(&endpoint)?;
    let put = endpoints.stored.create(endpoint.id, &endpoint.name, &stored).await;
    match put.map_err(ApiError::Unavailable)? {
        Put::Done => {
            actor.did("created a webhook endpoint", endpoint.id, &endpoint.name);
            Ok(with_secret(HttpResponse::Created(), &endpoint, &EndpointState::default()))
        }
        Put::Full => {
            Err(ApiError::Conflict(format!("there are {MOST_ENDPOINTS} webhook endpoints, the most")).into())
        }
        Put::Taken | Put::Changed | Put::Unknown => Err(taken().into()),
    }
}

/// `GET /api/webhooks/{id}`
pub(super) async fn get(id: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    Ok(shown(&state.endpoints.find(&id).await?))
}

/// `PUT /api/webhooks/{id}`: replaces all of it but its secret.
pub(super) async fn replace(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body = text_of(&http, payload, &state).await?;
    let mut known = change(&state.endpoints, &id, |endpoint| {
        endpoint.replaced_by(&body, Timestamp::now()).map_err(refused)
    })
    .await?;
    if !known.endpoint.disabled && known.state.disabled_reason.is_some() {
        // A client that wants it enabled knows nothing of who has disabled it.
        lift(&state.endpoints, &mut known).await?;
    }
    actor.did("replaced a webhook endpoint", known.endpoint.id, &known.endpoint.name);
    Ok(shown(&known))
}

/// `DELETE /api/webhooks/{id}`: its history stays.
pub(super) async fn delete(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let endpoints = &state.endpoints;
    // One that cannot be read can be deleted all the same.
    let (id, name) = match endpoints.find(&id).await {
        Ok(known) => {
            known.changeable()?;
            (known.endpoint.id, known.endpoint.name.clone())
        }
        Err(ApiError::UnusableEndpoint { id, .. }) => (id, String::new()),
        Err(error) => return Err(error.into()),
    };
    if !endpoints.stored.remove(id).await.map_err(ApiError::Unavailable)? {
        return Err(NOT_FOUND.into());
    }
    actor.did("deleted a webhook endpoint", id, &name);
    Ok(HttpResponse::Ok().json(json!({"status": "success"})))
}

#[derive(Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    keep_old_secret_seconds: u64,
}

read_from_object!(Rotation);

/// `POST /api/webhooks/{id}/rotate-secret`: 200 with the endpoint and its new secret.
pub(super) async fn rotate_secret(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let wanted: Rotation = optional(&text_of(&http, payload, &state).await?)?;
    let keep = Duration::from_secs(wanted.keep_old_secret_seconds);
    if keep > LONGEST_KEPT {
        let most = LONGEST_KEPT.as_secs();
        return Err(ApiError::invalid(format!("keep_old_secret_seconds must be at most {most}")).into());
    }
    let known =
        change(&state.endpoints, &id, |endpoint| Ok(endpoint.with_new_secret(keep, Timestamp::now())))
            .await?;
    actor.did("replaced the secret of a webhook endpoint", known.endpoint.id, &known.endpoint.name);
    Ok(with_secret(HttpResponse::Ok(), &known.endpoint, &known.state))
}

/// `POST /api/webhooks/{id}/enable`: also one of the file that was disabled without the operator.
pub(super) async fn enable(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let endpoints = &state.endpoints;
    let mut known = endpoints.find(&id).await?;
    if known.endpoint.disabled {
        known.changeable()?;
        known = change(endpoints, &id, |endpoint| {
            Ok(Endpoint { disabled: false, updated_at: Some(Timestamp::now()), ..endpoint.clone() })
        })
        .await?;
    }
    lift(endpoints, &mut known).await?;
    actor.did("enabled a webhook endpoint", known.endpoint.id, &known.endpoint.name);
    Ok(shown(&known))
}

/// Lifts what has disabled an endpoint without the operator.
async fn lift(endpoints: &Endpoints, known: &mut Known<'_>) -> Result<(), ApiError> {
    let id = known.endpoint.id;
    if endpoints.stored.enable(id).await.map_err(ApiError::Unavailable)? {
        known.state = endpoints.stored.find(id).await.map_err(ApiError::Unavailable)?.state;
    }
    Ok(())
}

/// Changes a registered endpoint, whoever else changes it meanwhile.
async fn change<'a>(
    endpoints: &'a Endpoints,
    id: &str,
    mut changed: impl FnMut(&Endpoint) -> Result<Endpoint, ApiError>,
) -> Result<Known<'a>, ApiError> {
    let mut known = endpoints.find(id).await?;
    for _ in 0..TRIES {
        let was = known.changeable()?;
        let id = known.endpoint.id;
        let endpoint = changed(&known.endpoint)?;
        if endpoints.is_in_file(&endpoint.name) {
            return Err(taken());
        }
        let stored = endpoints.to_stored(&endpoint)?;
        let put = endpoints.stored.replace(id, was, &endpoint.name, &stored).await;
        match put.map_err(ApiError::Unavailable)? {
            Put::Done => {
                return Ok(Known { endpoint: Cow::Owned(endpoint), stored: Some(stored), ..known });
            }
            Put::Changed => known = endpoints.by_id(id).await?.ok_or(NOT_FOUND)?,
            Put::Unknown => return Err(NOT_FOUND),
            Put::Taken | Put::Full => return Err(taken()),
        }
    }
    Err(ApiError::Conflict("the webhook endpoint is being changed by others; try again".to_owned()))
}

/// Reads a body that may be left out.
pub(super) fn optional<T: Default + for<'a> Deserialize<'a>>(body: &str) -> Result<T, ApiError> {
    if body.trim().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(body).map_err(|error| ApiError::invalid(format!("{INVALID_PAYLOAD}: {error}")))
}

fn refused(error: InvalidEndpoint) -> ApiError {
    ApiError::invalid(error.to_string())
}

fn taken() -> ApiError {
    ApiError::Conflict("A webhook endpoint with this name already exists".to_owned())
}

fn shown(known: &Known<'_>) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(known.json())
}

/// The only answers that have a secret in them.
fn with_secret(
    mut response: actix_web::HttpResponseBuilder,
    endpoint: &Endpoint,
    state: &EndpointState,
) -> HttpResponse {
    let shown = RawValue::from_string(endpoint.to_json(state)).ok();
    response.json(json!({"endpoint": shown, "secret": endpoint.secret.expose()}))
}
