//! `/api/governance/model-configs`: limits of models.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::governance::{BudgetOwner, Definitions, ModelConfig, ModelScope, RateLimit};
use serde::Deserialize;
use serde_json::json;

use super::body::{
    BudgetBody, Given, LimitsBody, MetricBody, RateLimitBody, read, set_rate_limit, set_rate_limits,
};
use super::draft::{Draft, find};
use super::key_body::remove_budgets;
use super::log::changed;
use super::page::Query;
use super::shown::{Shown, names_of};
use super::state::{Governance, new_id};
use crate::admin::{Actor, text_of};
use crate::error::{ApiError, Failure};
use crate::state::State;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigBody {
    model_name: Given<String>,
    provider: Given<String>,
    scope: Given<String>,
    scope_id: Given<String>,
    calendar_aligned: Given<bool>,
    budgets: Given<Vec<BudgetBody>>,
    budget: Given<serde_json::Map<String, serde_json::Value>>,
    rate_limit: Given<RateLimitBody>,
    rate_limits: Given<Vec<MetricBody>>,
}

impl ConfigBody {
    fn set(self, draft: &mut Draft, config: &mut ModelConfig) -> Result<(), ApiError> {
        let Self { model_name, provider, scope, scope_id, calendar_aligned, .. } = self;
        let Self { budgets, budget, rate_limit, rate_limits, .. } = self;
        if let Some(name) = model_name.value() {
            config.model_name = name;
        }
        if config.model_name.trim().is_empty() {
            return Err(ApiError::invalid("Model name is required"));
        }
        provider.set_text(&mut config.provider);
        set_scope(config, scope, scope_id)?;
        config.calendar_aligned = calendar_aligned.value().unwrap_or(config.calendar_aligned);
        if let Some(other) = draft.all.model_configs.iter().find(|other| is_same(other, config)) {
            return Err(exists(other));
        }
        let owner = BudgetOwner::ModelConfig(config.id.clone());
        LimitsBody { budgets, budget, rate_limit: Given::Absent }.set(draft, &owner, &mut None)?;
        match (rate_limit.value(), rate_limits.value()) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid("rate_limits and rate_limit cannot both be given"));
            }
            (None, Some(limits)) => set_rate_limits(draft, &mut config.rate_limit_ids, limits)?,
            (Some(limit), None) => {
                let mut ids = std::mem::take(&mut config.rate_limit_ids).into_iter();
                let mut first = ids.next();
                for id in ids {
                    draft.remove::<RateLimit>(&id);
                }
                set_rate_limit(draft, &mut first, limit)?;
                config.rate_limit_ids.extend(first);
            }
            (None, None) => {}
        }
        draft.put(config.clone())
    }
}

fn set_scope(config: &mut ModelConfig, scope: Given<String>, id: Given<String>) -> Result<(), ApiError> {
    let (mut word, mut of) = match &config.scope {
        ModelScope::Global => ("global".to_owned(), None),
        ModelScope::VirtualKey(id) => ("virtual_key".to_owned(), Some(id.clone())),
    };
    if let Some(scope) = scope.value().filter(|scope| !scope.is_empty()) {
        word = scope;
    }
    id.set_text(&mut of);
    config.scope = match (word.as_str(), of) {
        ("global", _) => ModelScope::Global,
        ("virtual_key", Some(id)) => ModelScope::VirtualKey(id),
        ("virtual_key", None) => {
            return Err(ApiError::invalid("scope_id field is required when scope is not global"));
        }
        (other, _) => {
            return Err(ApiError::invalid(format!(
                "invalid scope {other:?}: must be one of: global, virtual_key"
            )));
        }
    };
    Ok(())
}

/// Whether both are of the same model, provider and scope.
fn is_same(other: &ModelConfig, config: &ModelConfig) -> bool {
    other.id != config.id
        && (&other.model_name, &other.provider, &other.scope)
            == (&config.model_name, &config.provider, &config.scope)
}

/// Bifrost's text.
fn exists(other: &ModelConfig) -> ApiError {
    let model = &other.model_name;
    ApiError::Conflict(match (&other.scope, &other.provider) {
        (ModelScope::Global, Some(provider)) => {
            format!("Model config for model '{model}' with provider '{provider}' already exists")
        }
        (ModelScope::Global, None) => format!("Model config for model '{model}' (global) already exists"),
        (ModelScope::VirtualKey(key), _) => {
            format!("Model config for model '{model}' of virtual key '{key}' already exists")
        }
    })
}

/// `GET /api/governance/model-configs`: without a page, all of them.
pub(super) async fn list(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let query = Query::of(&http)?;
    let page = query.page(&["search", "scope", "scope_id", "provider"])?;
    let governance = &state.governance;
    let known = governance.known().await?;
    let found = known.all().model_configs.iter().filter(|config| {
        let (scope, id) = match &config.scope {
            ModelScope::Global => ("global", None),
            ModelScope::VirtualKey(id) => ("virtual_key", Some(id.as_str())),
        };
        query.finds(&[&config.model_name, &config.id])
            && query.is("provider", config.provider.as_deref())
            && query.is("scope", Some(scope))
            && query.is("scope_id", id)
    });
    let paged = page.of(found.collect());
    let names = paged.shown.iter().flat_map(|config| names_of_config(known.all(), config)).collect();
    let shown = Shown::defined(known.all(), governance.live.file()).with(governance.used(names).await?);
    let configs = paged.shown.iter().map(|config| shown.model_config(config)).collect();
    Ok(HttpResponse::Ok().json(paged.answer("model_configs", configs)))
}

/// `POST /api/governance/model-configs`
pub(super) async fn create(
    http: HttpRequest,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: ConfigBody = read(&text_of(&http, payload, &state).await?)?;
    let governance = &state.governance;
    let (config, draft) = governance
        .change(|draft| {
            let mut config = ModelConfig {
                id: new_id(),
                model_name: String::new(),
                provider: None,
                scope: ModelScope::Global,
                calendar_aligned: false,
                rate_limit_ids: Vec::new(),
            };
            body.clone().set(draft, &mut config)?;
            Ok(config)
        })
        .await?;
    let described = Shown::defined(&draft.all, governance.live.file()).model_config(&config);
    changed(&actor, "created a model config", &config.id, &config.model_name, None, Some(&described));
    answer(Some("Model config created successfully"), &draft.all, governance, &config).await
}

/// `GET /api/governance/model-configs/{id}`
pub(super) async fn get(id: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    answer(None, known.all(), governance, find(known.all(), &id)?).await
}

/// `PUT /api/governance/model-configs/{id}`: what is absent stays.
pub(super) async fn update(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: ConfigBody = read(&text_of(&http, payload, &state).await?)?;
    let governance = &state.governance;
    let file = governance.live.file();
    let ((old, config), draft) = governance
        .change(|draft| {
            let mut config = draft.changeable::<ModelConfig>(&id)?;
            let old = Shown::defined(&draft.all, file).model_config(&config);
            body.clone().set(draft, &mut config)?;
            Ok((old, config))
        })
        .await?;
    let new = Shown::defined(&draft.all, file).model_config(&config);
    changed(&actor, "changed a model config", &config.id, &config.model_name, Some(&old), Some(&new));
    answer(Some("Model config updated successfully"), &draft.all, governance, &config).await
}

/// `DELETE /api/governance/model-configs/{id}`: with its limits.
pub(super) async fn delete(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let ((old, name), _) = governance
        .change(|draft| {
            let config = draft.changeable::<ModelConfig>(&id)?;
            let old = Shown::defined(&draft.all, governance.live.file()).model_config(&config);
            remove_model_config(draft, &config);
            Ok((old, config.model_name))
        })
        .await?;
    changed(&actor, "deleted a model config", &id, &name, Some(&old), None);
    Ok(HttpResponse::Ok().json(json!({"message": "Model config deleted successfully"})))
}

pub(super) fn remove_model_config(draft: &mut Draft, config: &ModelConfig) {
    remove_budgets(draft, &BudgetOwner::ModelConfig(config.id.clone()));
    for id in &config.rate_limit_ids {
        draft.remove::<RateLimit>(id);
    }
    draft.remove::<ModelConfig>(&config.id);
}

pub(super) fn names_of_config(all: &Definitions, config: &ModelConfig) -> Vec<String> {
    let rates: Vec<_> = config.rate_limit_ids.iter().map(String::as_str).collect();
    names_of(all, &BudgetOwner::ModelConfig(config.id.clone()), &rates)
}

async fn answer(
    message: Option<&str>,
    all: &Definitions,
    governance: &Governance,
    config: &ModelConfig,
) -> Result<HttpResponse, Failure> {
    let used = governance.used(names_of_config(all, config)).await?;
    let shown = Shown::defined(all, governance.live.file()).with(used).model_config(config);
    let mut answer = json!({"model_config": shown});
    if let Some(message) = message {
        answer["message"] = json!(message);
    }
    Ok(HttpResponse::Ok().json(answer))
}
