//! `/api/governance/pricing-overrides`: prices of the operator's.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::governance::{MatchType, PricingOverride, ScopeKind};
use serde::Deserialize;
use serde_json::json;

use super::body::{Given, read};
use super::draft::{Draft, find};
use super::log::changed;
use super::page::Query;
use super::shown::Shown;
use super::state::new_id;
use crate::admin::{Actor, text_of};
use crate::error::{ApiError, Failure};
use crate::object::read_from_object;
use crate::state::State;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
struct PriceBody {
    name: Given<String>,
    scope_kind: Given<ScopeKind>,
    virtual_key_id: Given<String>,
    provider_id: Given<String>,
    provider_key_id: Given<String>,
    match_type: Given<MatchType>,
    pattern: Given<String>,
    request_types: Given<Vec<String>>,
    patch: Given<BTreeMap<String, Option<f64>>>,
}

read_from_object!(PriceBody);

impl PriceBody {
    fn set(self, draft: &mut Draft, mut price: PricingOverride) -> Result<PricingOverride, ApiError> {
        if let Some(name) = self.name.value() {
            name.trim().clone_into(&mut price.name);
        }
        if price.name.is_empty() {
            return Err(ApiError::invalid("name is required"));
        }
        if let Some(scope) = self.scope_kind.value() {
            // Another scope has other ids.
            price.scope_kind = scope;
            price.virtual_key_id = None;
            price.provider_id = None;
            price.provider_key_id = None;
        }
        self.virtual_key_id.set_text(&mut price.virtual_key_id);
        self.provider_id.set_text(&mut price.provider_id);
        self.provider_key_id.set_text(&mut price.provider_key_id);
        price.match_type = self.match_type.value().unwrap_or(price.match_type);
        if let Some(pattern) = self.pattern.value() {
            pattern.trim().clone_into(&mut price.pattern);
        }
        let is_prefix = price.pattern.strip_suffix('*').is_some_and(|start| !start.contains('*'));
        match price.match_type {
            _ if price.pattern.is_empty() => return Err(ApiError::invalid("pattern is required")),
            MatchType::Exact if price.pattern.contains('*') => {
                return Err(ApiError::invalid("exact pattern must not contain wildcards"));
            }
            MatchType::Wildcard if !is_prefix => {
                return Err(ApiError::invalid("wildcard pattern must end with its only *"));
            }
            MatchType::Exact | MatchType::Wildcard => {}
        }
        price.request_types = self.request_types.value().unwrap_or(price.request_types);
        if price.request_types.is_empty() {
            return Err(ApiError::invalid("request_types is required and must contain at least one value"));
        }
        if let Some(patch) = self.patch.value() {
            price.patch = patch.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        }
        if let Some((name, _)) = price.patch.iter().find(|(_, value)| !(value.is_finite() && **value >= 0.0))
        {
            return Err(ApiError::invalid(format!("patch.{name}: a price cannot be negative")));
        }
        draft.put(price.clone())?;
        Ok(price)
    }
}

/// `GET /api/governance/pricing-overrides`: without a page, all of them.
pub(super) async fn list(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let query = Query::of(&http)?;
    let page = query.page(&["search"])?;
    let known = state.governance.known().await?;
    let found = known.all().pricing_overrides.iter().filter(|price| {
        query.finds(&[&price.name, &price.pattern])
            && query.is("scope_kind", Some(price.scope_kind.as_str()))
            && query.is("virtual_key_id", price.virtual_key_id.as_deref())
            && query.is("provider_id", price.provider_id.as_deref())
            && query.is("provider_key_id", price.provider_key_id.as_deref())
    });
    let paged = page.of(found.collect());
    let shown = Shown::defined(known.all(), state.governance.live.file());
    let prices = paged.shown.iter().map(|price| shown.pricing_override(price)).collect();
    Ok(HttpResponse::Ok().json(paged.answer("pricing_overrides", prices)))
}

/// `POST /api/governance/pricing-overrides`
pub(super) async fn create(
    http: HttpRequest,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: PriceBody = read(&text_of(&http, payload, &state).await?)?;
    let (scope_kind, match_type) = (body.scope_kind.clone().value(), body.match_type.clone().value());
    let (Some(scope_kind), Some(match_type)) = (scope_kind, match_type) else {
        return Err(ApiError::invalid("scope_kind and match_type are required").into());
    };
    let governance = &state.governance;
    let (price, draft) = governance
        .change(|draft| {
            let price = PricingOverride {
                id: new_id(),
                name: String::new(),
                scope_kind,
                virtual_key_id: None,
                provider_id: None,
                provider_key_id: None,
                match_type,
                pattern: String::new(),
                request_types: Vec::new(),
                patch: BTreeMap::new(),
            };
            body.clone().set(draft, price)
        })
        .await?;
    let shown = Shown::defined(&draft.all, governance.live.file()).pricing_override(&price);
    changed(&actor, "created a pricing override", &price.id, &price.name, None, Some(&shown));
    let message = "Pricing override created successfully";
    Ok(HttpResponse::Ok().json(json!({"message": message, "pricing_override": shown})))
}

/// `GET /api/governance/pricing-overrides/{id}`
pub(super) async fn get(id: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let known = state.governance.known().await?;
    let price = find::<PricingOverride>(known.all(), &id)?;
    let shown = Shown::defined(known.all(), state.governance.live.file()).pricing_override(price);
    Ok(HttpResponse::Ok().json(json!({"pricing_override": shown})))
}

/// `PUT /api/governance/pricing-overrides/{id}`: what is absent stays; a patch is the whole new one.
pub(super) async fn update(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: PriceBody = read(&text_of(&http, payload, &state).await?)?;
    let governance = &state.governance;
    let ((old, price), draft) = governance
        .change(|draft| {
            let old = draft.changeable::<PricingOverride>(&id)?;
            let price = body.clone().set(draft, old.clone())?;
            Ok((old, price))
        })
        .await?;
    let shown = Shown::defined(&draft.all, governance.live.file());
    let (old, new) = (shown.pricing_override(&old), shown.pricing_override(&price));
    changed(&actor, "changed a pricing override", &price.id, &price.name, Some(&old), Some(&new));
    let message = "Pricing override updated successfully";
    Ok(HttpResponse::Ok().json(json!({"message": message, "pricing_override": new})))
}

/// `DELETE /api/governance/pricing-overrides/{id}`
pub(super) async fn delete(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let (price, draft) = governance
        .change(|draft| {
            let price = draft.changeable::<PricingOverride>(&id)?;
            draft.remove::<PricingOverride>(&id);
            Ok(price)
        })
        .await?;
    let old = Shown::defined(&draft.all, governance.live.file()).pricing_override(&price);
    changed(&actor, "deleted a pricing override", &id, &price.name, Some(&old), None);
    Ok(HttpResponse::Ok().json(json!({"message": "Pricing override deleted successfully"})))
}
