//! `/api/governance/budgets` and `/api/governance/rate-limits`: all of them, and what was used of them set to 0.

use actix_web::{HttpResponse, web};
use hermod_types::Timestamp;
use hermod_types::governance::{Budget, RateLimit};
use serde_json::json;

use super::draft::find;
use super::shown::{Shown, budget_name, requests_name, tokens_name};
use super::state::Governance;
use crate::admin::Actor;
use crate::error::{ApiError, Failure};
use crate::state::State;

/// `GET /api/governance/budgets`
pub(super) async fn budgets(state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    let names = known.all().budgets.iter().map(|budget| budget_name(&budget.id)).collect();
    let shown = Shown::defined(known.all(), governance.live.file()).with(governance.used(names).await?);
    let now = Timestamp::now();
    let budgets: Vec<_> = known.all().budgets.iter().map(|budget| shown.budget(budget, now)).collect();
    Ok(HttpResponse::Ok().json(json!({"count": budgets.len(), "budgets": budgets})))
}

/// `GET /api/governance/rate-limits`
pub(super) async fn rate_limits(state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    let names =
        known.all().rate_limits.iter().flat_map(|limit| [tokens_name(&limit.id), requests_name(&limit.id)]);
    let used = governance.used(names.collect()).await?;
    let shown = Shown::defined(known.all(), governance.live.file()).with(used);
    let limits: Vec<_> = known.all().rate_limits.iter().map(|limit| shown.rate_limit(limit)).collect();
    Ok(HttpResponse::Ok().json(json!({"count": limits.len(), "rate_limits": limits})))
}

/// `POST /api/governance/budgets/{id}/reset`: also one of the file.
pub(super) async fn reset_budget(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    let budget = find::<Budget>(known.all(), &id)?;
    let name = budget_name(&budget.id);
    let was = governance.used(vec![name.clone()]).await?.of(&name).used;
    governance.reset([name.clone()]).await?;
    actor.changed(
        "reset the usage of a budget",
        &budget.id,
        "",
        &json!({"used_nanodollars": was}),
        &json!({"used": 0}),
    );
    let shown = Shown::defined(known.all(), governance.live.file()).with(governance.used(vec![name]).await?);
    let budget = shown.budget(budget, Timestamp::now());
    Ok(HttpResponse::Ok().json(json!({"message": "Budget usage reset successfully", "budget": budget})))
}

/// `POST /api/governance/rate-limits/{id}/reset`: its tokens and its requests.
pub(super) async fn reset_rate_limit(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    let limit = find::<RateLimit>(known.all(), &id)?;
    let [tokens, requests] = [tokens_name(&limit.id), requests_name(&limit.id)];
    let was = governance.used(vec![tokens.clone(), requests.clone()]).await?;
    governance.reset([tokens.clone(), requests.clone()]).await?;
    let old = json!({"tokens": was.of(&tokens).used, "requests": was.of(&requests).used});
    actor.changed(
        "reset the usage of a rate limit",
        &limit.id,
        "",
        &old,
        &json!({"tokens": 0, "requests": 0}),
    );
    let used = governance.used(vec![tokens, requests]).await?;
    let limit = Shown::defined(known.all(), governance.live.file()).with(used).rate_limit(limit);
    Ok(HttpResponse::Ok()
        .json(json!({"message": "Rate limit usage reset successfully", "rate_limit": limit})))
}

impl Governance {
    /// Sets what was used of these limits to 0; their windows stay. Jobs that wait for them are looked at again.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(super) async fn reset(&self, names: impl IntoIterator<Item = String>) -> Result<(), ApiError> {
        for limit in self.limits_named(names) {
            self.limits.reset(&limit).await.map_err(ApiError::Unavailable)?;
        }
        self.live.store().touch().await.map_err(ApiError::Unavailable)
    }
}
