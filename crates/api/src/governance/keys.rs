//! `/api/governance/virtual-keys`: virtual keys are made, shown and changed.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::governance::KnownDefinitions;
use hermod_types::Timestamp;
use hermod_types::governance::{Definitions, ModelConfig, ModelScope, PricingOverride, VirtualKey};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::body::read;
use super::draft::find;
use super::key_body::{KeyBody, remove_limits_of_key};
use super::limited;
use super::log::changed;
use super::page::Query;
use super::shown::{Shown, budget_name};
use super::state::{Governance, new_id, new_value};
use crate::admin::{Actor, text_of};
use crate::error::{ApiError, Failure};
use crate::state::State;

/// `GET /api/governance/virtual-keys`: without a page, all of them.
pub(super) async fn list(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let query = Query::of(&http)?;
    let page = query.page(&["search", "customer_id", "team_id"])?;
    let governance = &state.governance;
    let known = governance.known().await?;
    let found = known.all().virtual_keys.iter().filter(|key| {
        query.finds(&[&key.name, &key.id])
            && query.is("team_id", key.team_id.as_deref())
            && query.is("customer_id", key.customer_id.as_deref())
    });
    let paged = page.of(found.collect());
    let shown = defined(known.all(), governance);
    let names = paged.shown.iter().flat_map(|key| shown.names_of_key(key)).collect();
    let shown = shown.with(governance.used(names).await?);
    let keys = paged.shown.iter().map(|key| shown.virtual_key(key)).collect();
    Ok(HttpResponse::Ok().json(paged.answer("virtual_keys", keys)))
}

/// `POST /api/governance/virtual-keys`: 200 with the key and its value.
pub(super) async fn create(
    http: HttpRequest,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: KeyBody = read(&text_of(&http, payload, &state).await?)?;
    if body.name.clone().value().is_none() {
        return Err(ApiError::invalid("Virtual key name is required").into());
    }
    let governance = &state.governance;
    let (value, now) = (new_value(), Timestamp::now());
    let mut key = VirtualKey::new(new_id());
    key.created_at = Some(now);
    key.updated_at = Some(now);
    governance.set_value(&mut key, &value)?;
    let (key, draft) = governance
        .change(|draft| {
            let mut key = key.clone();
            // Its budgets are to find it.
            draft.put(key.clone())?;
            body.clone().set(draft, &mut key)?;
            draft.put(key.clone())?;
            Ok(key)
        })
        .await?;
    let mut shown = shown_key(&draft.all, governance, &key).await?;
    changed(
        &actor,
        "created a virtual key",
        &key.id,
        &key.name,
        None,
        Some(&described(&draft.all, governance, &key)),
    );
    shown["value"] = json!(value.expose_secret());
    Ok(HttpResponse::Ok().json(json!({"message": "Virtual key created successfully", "virtual_key": shown})))
}

/// `GET /api/governance/virtual-keys/{id}`
pub(super) async fn get(id: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let known = state.governance.known().await?;
    let key = find::<VirtualKey>(known.all(), &id)?;
    let mut shown = shown_key(known.all(), &state.governance, key).await?;
    join_owner(&mut shown, &known, key);
    Ok(HttpResponse::Ok().json(json!({"virtual_key": shown})))
}

/// Adds the names of the key's team and customer.
fn join_owner(shown: &mut Value, known: &KnownDefinitions, key: &VirtualKey) {
    let team = key.team_id.as_ref().and_then(|id| known.all().teams.iter().find(|team| team.id == *id));
    let customer = key.customer_id.as_ref();
    let customer = customer.and_then(|id| known.all().customers.iter().find(|customer| customer.id == *id));
    if let Some(team) = team {
        shown["team"] = json!({"id": team.id, "name": team.name, "customer_id": team.customer_id});
    }
    if let Some(customer) = customer {
        shown["customer"] = json!({"id": customer.id, "name": customer.name});
    }
}

/// `PUT /api/governance/virtual-keys/{id}`: what is absent stays.
pub(super) async fn update(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: KeyBody = read(&text_of(&http, payload, &state).await?)?;
    let resets = body.reset_budget_usage.clone().value().unwrap_or_default();
    let governance = &state.governance;
    let ((old, key), draft) = governance
        .change(|draft| {
            let mut key = draft.changeable::<VirtualKey>(&id)?;
            let old = described(&draft.all, governance, &key);
            body.clone().set(draft, &mut key)?;
            key.updated_at = Some(Timestamp::now());
            draft.put(key.clone())?;
            Ok((old, key))
        })
        .await?;
    if resets {
        let names = defined(&draft.all, governance).names_of_key(&key);
        let budgets = names.into_iter().filter(|name| name.starts_with(&budget_name("")));
        governance.reset(budgets).await?;
    }
    let new = described(&draft.all, governance, &key);
    changed(&actor, "changed a virtual key", &key.id, &key.name, Some(&old), Some(&new));
    if resets {
        actor.did("reset the usage of the budgets of a virtual key", &key.id, &key.name);
    }
    let shown = shown_key(&draft.all, governance, &key).await?;
    Ok(HttpResponse::Ok().json(json!({"message": "Virtual key updated successfully", "virtual_key": shown})))
}

/// `DELETE /api/governance/virtual-keys/{id}`: with its limits, and what is defined for it alone.
pub(super) async fn delete(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let ((old, name), _) = governance
        .change(|draft| {
            let key = draft.changeable::<VirtualKey>(&id)?;
            let old = described(&draft.all, governance, &key);
            remove_limits_of_key(draft, &key);
            let configs: Vec<ModelConfig> = (draft.all.model_configs.iter())
                .filter(|config| config.scope == ModelScope::VirtualKey(key.id.clone()))
                .cloned()
                .collect();
            for config in configs {
                limited::remove(draft, &config);
            }
            let prices: Vec<String> = (draft.all.pricing_overrides.iter())
                .filter(|price| price.virtual_key_id.as_deref() == Some(&key.id))
                .map(|price| price.id.clone())
                .collect();
            for price in prices {
                draft.remove::<PricingOverride>(&price);
            }
            draft.remove::<VirtualKey>(&key.id);
            Ok((old, key.name))
        })
        .await?;
    changed(&actor, "deleted a virtual key", &id, &name, Some(&old), None);
    Ok(HttpResponse::Ok().json(json!({"message": "Virtual key deleted successfully"})))
}

/// What is defined of a key and its limits; no secret is among it.
pub(super) fn described(all: &Definitions, governance: &Governance, key: &VirtualKey) -> Value {
    let mut described = defined(all, governance).virtual_key(key);
    described["updated_at"] = Value::Null;
    described
}

/// The same with what was used of its limits.
pub(super) async fn shown_key(
    all: &Definitions,
    governance: &Governance,
    key: &VirtualKey,
) -> Result<Value, ApiError> {
    let shown = defined(all, governance);
    let used = governance.used(shown.names_of_key(key)).await?;
    Ok(shown.with(used).virtual_key(key))
}

fn defined<'a>(all: &'a Definitions, governance: &'a Governance) -> Shown<'a> {
    Shown::defined(all, governance.live.file())
}
