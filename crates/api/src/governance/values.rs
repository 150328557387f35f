//! Values of virtual keys: they are replaced, and shown again.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::Timestamp;
use hermod_types::governance::VirtualKey;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::read;
use super::draft::find;
use super::keys::shown_key;
use super::state::{Governance, new_value};
use crate::admin::{Actor, text_of};
use crate::error::{ApiError, Failure};
use crate::object::read_from_object;
use crate::state::State;

/// Keys that one request may rotate.
const MOST_AT_ONCE: usize = 100;

/// `POST /api/governance/virtual-keys/{id}/rotate`: 200 with the key and its new value.
pub(super) async fn rotate(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let shown = rotated(&state.governance, &id, &actor).await?;
    Ok(HttpResponse::Ok().json(json!({"message": "Virtual key rotated successfully", "virtual_key": shown})))
}

#[derive(Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct Ids {
    ids: Vec<String>,
}

read_from_object!(Ids);

/// `POST /api/governance/virtual-keys/rotate`: the same for many; what keeps one from it is said of that one.
pub(super) async fn rotate_many(
    http: HttpRequest,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let Ids { ids } = read(&text_of(&http, payload, &state).await?)?;
    if ids.is_empty() || ids.len() > MOST_AT_ONCE {
        return Err(ApiError::invalid(format!("ids must name 1 to {MOST_AT_ONCE} virtual keys")).into());
    }
    let (mut keys, mut errors) = (Vec::new(), BTreeMap::new());
    for id in ids {
        match rotated(&state.governance, &id, &actor).await {
            Ok(shown) => keys.push(shown),
            // Whatever it is: the values of the others are told now or never.
            Err(error) => {
                errors.insert(id, error.to_string());
            }
        }
    }
    Ok(HttpResponse::Ok().json(json!({"virtual_keys": keys, "errors": errors})))
}

async fn rotated(governance: &Governance, id: &str, actor: &Actor) -> Result<Value, ApiError> {
    let value = new_value();
    let cooldown = u64::try_from(governance.rotation_cooldown.as_millis()).unwrap_or(u64::MAX);
    let (key, draft) = governance
        .change(|draft| {
            let mut key = draft.changeable::<VirtualKey>(id)?;
            let now = Timestamp::now();
            // Only one lives on.
            let old = key.value_sha256.filter(|_| cooldown > 0);
            key.old_value_sha256 = old;
            key.old_value_until =
                old.map(|_| Timestamp::from_millis(now.as_millis().saturating_add(cooldown)));
            governance.set_value(&mut key, &value)?;
            key.updated_at = Some(now);
            draft.put(key.clone())?;
            Ok(key)
        })
        .await?;
    actor.did("replaced the value of a virtual key", &key.id, &key.name);
    let mut shown = shown_key(&draft.all, governance, &key).await?;
    shown["value"] = json!(value.expose_secret());
    Ok(shown)
}

/// `GET /api/governance/virtual-keys/{id}/reveal`: 200 with the value, where it can be told.
pub(super) async fn reveal(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    const NOT_KEPT: ApiError = ApiError::NotFound(
        "the value of this virtual key is not kept: only its SHA-256 is, as it was made without HERMOD_SECRET_KEY",
    );
    let governance = &state.governance;
    let known = governance.known().await?;
    let key = find::<VirtualKey>(known.all(), &id)?;
    let value = match (&key.value, &key.value_sealed) {
        (Some(value), _) => value.clone(),
        (None, Some(sealed)) => match governance.opened(&key.id, sealed) {
            Ok(value) => value,
            Err(_) if governance.encrypts() => {
                const OTHER: &str =
                    "the value was encrypted with another HERMOD_SECRET_KEY than this process has";
                return Err(ApiError::NotFound(OTHER).into());
            }
            Err(_) => {
                const NONE: &str = "HERMOD_SECRET_KEY is not set, so stored values cannot be decrypted";
                return Err(ApiError::NotFound(NONE).into());
            }
        },
        (None, None) => return Err(NOT_KEPT.into()),
    };
    actor.did("looked at the value of a virtual key", &key.id, &key.name);
    Ok(HttpResponse::Ok().json(json!({"id": key.id, "value": value.expose_secret()})))
}
