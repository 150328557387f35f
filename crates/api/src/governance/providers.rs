//! `/api/governance/providers`: limits of what is sent to a provider, of all keys together.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::governance::{BudgetOwner, Definitions, ProviderLimits, RateLimit};
use serde::Deserialize;
use serde_json::json;

use super::body::{BudgetBody, Given, LimitsBody, RateLimitBody, read};
use super::draft::{Draft, find};
use super::key_body::remove_budgets;
use super::log::changed;
use super::shown::{Shown, names_of};
use crate::admin::{Actor, text_of};
use crate::error::{ApiError, Failure};
use crate::object::read_from_object;
use crate::state::State;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
struct ProviderBody {
    calendar_aligned: Given<bool>,
    budgets: Given<Vec<BudgetBody>>,
    budget: Given<serde_json::Map<String, serde_json::Value>>,
    rate_limit: Given<RateLimitBody>,
}

read_from_object!(ProviderBody);

impl ProviderBody {
    fn set(self, draft: &mut Draft, provider: &mut ProviderLimits) -> Result<(), ApiError> {
        let Self { calendar_aligned, budgets, budget, rate_limit } = self;
        provider.calendar_aligned = calendar_aligned.value().unwrap_or(provider.calendar_aligned);
        let owner = BudgetOwner::Provider(provider.name.clone());
        LimitsBody { budgets, budget, rate_limit }.set(draft, &owner, &mut provider.rate_limit_id)?;
        draft.put(provider.clone())
    }
}

/// `GET /api/governance/providers`: those that have limits.
pub(super) async fn list(state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    let all = &known.all().providers;
    let names = all.iter().flat_map(|provider| names_of_provider(known.all(), provider)).collect();
    let shown = Shown::defined(known.all(), governance.live.file()).with(governance.used(names).await?);
    let providers: Vec<_> = all.iter().map(|provider| shown.provider(provider)).collect();
    Ok(HttpResponse::Ok().json(json!({"count": providers.len(), "providers": providers})))
}

/// `PUT /api/governance/providers/{name}`: what is absent stays.
pub(super) async fn update(
    http: HttpRequest,
    name: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: ProviderBody = read(&text_of(&http, payload, &state).await?)?;
    if !state.config.providers.contains_key(name.as_str()) {
        return Err(ApiError::NotFound("Provider not found").into());
    }
    let governance = &state.governance;
    let file = governance.live.file();
    let ((old, provider), draft) = governance
        .change(|draft| {
            let mut provider = match draft.changeable::<ProviderLimits>(&name) {
                Err(ApiError::NotFound(_)) => {
                    ProviderLimits { name: name.to_string(), ..ProviderLimits::default() }
                }
                found => found?,
            };
            let old = Shown::defined(&draft.all, file).provider(&provider);
            body.clone().set(draft, &mut provider)?;
            Ok((old, provider))
        })
        .await?;
    let new = Shown::defined(&draft.all, file).provider(&provider);
    changed(&actor, "changed the limits of a provider", &name, "", Some(&old), Some(&new));
    let used = governance.used(names_of_provider(&draft.all, &provider)).await?;
    let shown = Shown::defined(&draft.all, file).with(used).provider(&provider);
    let message = "Provider governance updated successfully";
    Ok(HttpResponse::Ok().json(json!({"message": message, "provider": shown})))
}

/// `DELETE /api/governance/providers/{name}`: the provider's limits, not itself.
pub(super) async fn delete(
    name: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let (old, _) = governance
        .change(|draft| {
            let provider = draft.changeable::<ProviderLimits>(&name)?;
            let old = Shown::defined(&draft.all, governance.live.file()).provider(&provider);
            remove_budgets(draft, &BudgetOwner::Provider(provider.name.clone()));
            if let Some(limit) = &provider.rate_limit_id {
                draft.remove::<RateLimit>(limit);
            }
            draft.remove::<ProviderLimits>(&provider.name);
            Ok(old)
        })
        .await?;
    changed(&actor, "deleted the limits of a provider", &name, "", Some(&old), None);
    Ok(HttpResponse::Ok().json(json!({"message": "Provider governance deleted successfully"})))
}

fn names_of_provider(all: &Definitions, provider: &ProviderLimits) -> Vec<String> {
    let rates: Vec<_> = provider.rate_limit_id.iter().map(String::as_str).collect();
    names_of(all, &BudgetOwner::Provider(provider.name.clone()), &rates)
}

/// `GET /api/governance/providers/{name}`
pub(super) async fn get(name: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    let provider = find::<ProviderLimits>(known.all(), &name)?;
    let used = governance.used(names_of_provider(known.all(), provider)).await?;
    let shown = Shown::defined(known.all(), governance.live.file()).with(used).provider(provider);
    Ok(HttpResponse::Ok().json(json!({"provider": shown})))
}
