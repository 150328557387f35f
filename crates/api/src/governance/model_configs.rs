//! `/api/governance/model-configs`: limits of models.

use hermod_types::governance::{BudgetOwner, ModelConfig, ModelScope, RateLimit};
use serde::Deserialize;
use serde_json::Value;

use super::body::{
    BudgetBody, Given, LimitsBody, MetricBody, RateLimitBody, set_rate_limit, set_rate_limits,
};
use super::draft::Draft;
use super::limited::Limited;
use super::page::Query;
use super::shown::Shown;
use crate::error::ApiError;
use crate::object::read_from_object;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub(super) struct ConfigBody {
    model_name: Given<String>,
    provider: Given<String>,
    scope: Given<String>,
    scope_id: Given<String>,
    calendar_aligned: Given<bool>,
    budgets: Given<Vec<BudgetBody>>,
    budget: Given<serde_json::Map<String, Value>>,
    rate_limit: Given<RateLimitBody>,
    rate_limits: Given<Vec<MetricBody>>,
}

read_from_object!(ConfigBody);

impl Limited for ModelConfig {
    type Body = ConfigBody;
    const TITLE: &'static str = "Model config";
    const MEMBER: &'static str = "model_config";
    const MEMBERS: &'static str = "model_configs";
    const FILTERS: &'static [&'static str] = &["search", "scope", "scope_id", "provider"];

    fn new(id: String) -> Self {
        Self {
            id,
            model_name: String::new(),
            provider: None,
            scope: ModelScope::Global,
            calendar_aligned: false,
            rate_limit_ids: Vec::new(),
        }
    }

    fn name(&self) -> &str {
        &self.model_name
    }

    fn budget_owner(&self) -> BudgetOwner {
        BudgetOwner::ModelConfig(self.id.clone())
    }

    fn rate_limits(&self) -> Vec<&str> {
        self.rate_limit_ids.iter().map(String::as_str).collect()
    }

    fn is_found(&self, query: &Query) -> bool {
        let (scope, id) = match &self.scope {
            ModelScope::Global => ("global", None),
            ModelScope::VirtualKey(id) => ("virtual_key", Some(id.as_str())),
        };
        query.finds(&[&self.model_name, &self.id])
            && query.is("provider", self.provider.as_deref())
            && query.is("scope", Some(scope))
            && query.is("scope_id", id)
    }

    fn set(&mut self, body: ConfigBody, draft: &mut Draft) -> Result<(), ApiError> {
        let ConfigBody { model_name, provider, scope, scope_id, calendar_aligned, .. } = body;
        let ConfigBody { budgets, budget, rate_limit, rate_limits, .. } = body;
        if let Some(name) = model_name.value() {
            self.model_name = name;
        }
        if self.model_name.trim().is_empty() {
            return Err(ApiError::invalid("Model name is required"));
        }
        provider.set_text(&mut self.provider);
        set_scope(self, scope, scope_id)?;
        self.calendar_aligned = calendar_aligned.value().unwrap_or(self.calendar_aligned);
        if let Some(other) = draft.all.model_configs.iter().find(|other| is_same(other, self)) {
            return Err(exists(other));
        }
        let owner = BudgetOwner::ModelConfig(self.id.clone());
        LimitsBody { budgets, budget, rate_limit: Given::Absent }.set(draft, &owner, &mut None)?;
        match (rate_limit.value(), rate_limits.value()) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid("rate_limits and rate_limit cannot both be given"));
            }
            (None, Some(limits)) => set_rate_limits(draft, &mut self.rate_limit_ids, limits)?,
            (Some(limit), None) => {
                let mut ids = std::mem::take(&mut self.rate_limit_ids).into_iter();
                let mut first = ids.next();
                for id in ids {
                    draft.remove::<RateLimit>(&id);
                }
                set_rate_limit(draft, &mut first, limit)?;
                self.rate_limit_ids.extend(first);
            }
            (None, None) => {}
        }
        draft.put(self.clone())
    }

    fn shown(&self, shown: &Shown<'_>) -> Value {
        shown.model_config(self)
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
