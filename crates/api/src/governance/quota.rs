//! `/api/governance/virtual-keys/quota`: what a key has left. The key itself asks, also where the administration is closed.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::Timestamp;
use hermod_types::governance::ModelScope;
use serde_json::{Value, json};

use super::limited::names_of_limits;
use super::shown::Shown;
use crate::caller;
use crate::error::{ApiError, Failure};
use crate::state::State;

/// `GET /api/governance/virtual-keys/quota`
pub(super) async fn quota(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let value =
        caller::virtual_key_of(http.headers()).ok_or(ApiError::Unauthorized("a virtual key is needed"))?;
    let governance = &state.governance;
    let known = governance.known().await?;
    let rules = governance.rules.current();
    let Some(key) = rules.key_of_value(value, Timestamp::now()) else {
        return Err(ApiError::Unauthorized("virtual key not found").into());
    };
    let configs: Vec<_> = (known.all().model_configs.iter())
        .filter(|config| config.scope == ModelScope::VirtualKey(key.id.clone()))
        .collect();
    let running = format!("key:{}", key.id);
    let shown = Shown::defined(known.all(), governance.live.file());
    let mut names = shown.names_of_key(key);
    names.extend(configs.iter().flat_map(|config| names_of_limits(known.all(), *config)));
    names.push(running.clone());
    let used = governance.used(names).await?;
    let running = used.find(&running).map(|usage| usage.used);
    let waiting = governance.waiting.of(&key.id).await.map_err(ApiError::Unavailable)?;
    let total = governance.usage.total(&key.id).await.map_err(ApiError::Unavailable)?;
    let shown = shown.with(used);
    let own = shown.virtual_key(key);
    let mut budgets = own["budgets"].clone();
    for budget in budgets.as_array_mut().into_iter().flatten() {
        budget["models"] = json!(["*"]);
    }
    let limits: Vec<&Value> = Some(&own["rate_limit"]).filter(|limit| !limit.is_null()).into_iter().collect();
    let configs: Vec<_> = configs.iter().map(|config| shown.model_config(config)).collect();
    Ok(HttpResponse::Ok().json(json!({
        "virtual_key_name": key.name,
        "is_active": key.is_active,
        "expires_at": key.expires_at,
        "budgets": budgets,
        "rate_limit": own["rate_limit"],
        "rate_limits": limits,
        "provider_configs": own["provider_configs"],
        "model_configs": configs,
        "max_concurrent": key.options.max_concurrent,
        "max_waiting": key.options.max_waiting,
        "running": running,
        "waiting": waiting,
        "requests": total.requests,
        "unknown_calls": total.unknown_calls,
        "unpriced_calls": total.unpriced_calls,
    })))
}
