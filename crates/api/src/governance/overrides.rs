//! `/api/governance/virtual-keys/{id}/budgets/{id}/override`: what is added to a budget for some time.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_governance::Window;
use hermod_types::Timestamp;
use hermod_types::governance::{Budget, BudgetOverride, BudgetOwner, Money, OverrideMode, VirtualKey};
use serde::Deserialize;
use serde_json::json;

use super::body::read;
use super::calendar::next_start;
use super::draft::{Draft, in_file};
use super::shown::{Shown, budget_name, effective_max};
use super::state::Governance;
use crate::admin::{Actor, text_of};
use crate::error::{ApiError, Failure};
use crate::object::read_from_object;
use crate::state::State;

/// Windows that an override may count for.
const MOST_CYCLES: u32 = 1000;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct OverrideBody {
    amount: f64,
    mode: OverrideMode,
    #[serde(default)]
    cycles: Option<u32>,
}

read_from_object!(OverrideBody);

/// `PUT …/override`: it takes the place of the one that is there.
pub(super) async fn set(
    http: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: OverrideBody = read(&text_of(&http, payload, &state).await?)?;
    let amount = Money::from_dollars(body.amount).filter(|amount| *amount > Money::default());
    let amount = amount.ok_or_else(|| ApiError::invalid("amount must be above 0"))?;
    let cycles = match (body.mode, body.cycles) {
        (OverrideMode::Forever, None) => None,
        (OverrideMode::Forever, Some(_)) => {
            return Err(ApiError::invalid("cycles is for mode \"cycles\" only").into());
        }
        (OverrideMode::Cycles, Some(cycles)) if (1..=MOST_CYCLES).contains(&cycles) => Some(cycles),
        (OverrideMode::Cycles, _) => {
            return Err(ApiError::invalid(format!("cycles must be between 1 and {MOST_CYCLES}")).into());
        }
    };
    let (key, budget) = path.into_inner();
    let until = match cycles {
        Some(cycles) => Some(state.governance.end_of_cycles(&budget, cycles).await?),
        None => None,
    };
    let added = Some(BudgetOverride { amount, mode: body.mode, cycles, until });
    changed(&key, &budget, added, &actor, &state.governance).await
}

/// `DELETE …/override`
pub(super) async fn remove(
    path: web::Path<(String, String)>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let (key, budget) = path.into_inner();
    changed(&key, &budget, None, &actor, &state.governance).await
}

async fn changed(
    key: &str,
    budget: &str,
    added: Option<BudgetOverride>,
    actor: &Actor,
    governance: &Governance,
) -> Result<HttpResponse, Failure> {
    let ((old, budget), draft) = governance
        .change(|draft| {
            let old = budget_of(draft, key, budget)?;
            let budget = Budget { added, ..old.clone() };
            draft.put(budget.clone())?;
            Ok((old, budget))
        })
        .await?;
    let action = if added.is_some() { "raised a budget" } else { "took back what a budget was raised by" };
    actor.changed(
        action,
        &budget.id,
        "",
        &json!({"override": old.added}),
        &json!({"override": budget.added}),
    );
    let name = budget_name(&budget.id);
    let used = governance.used(vec![name]).await?;
    let now = Timestamp::now();
    let shown = Shown::defined(&draft.all, governance.live.file()).with(used).budget(&budget, now);
    let max = effective_max(&budget, now);
    Ok(HttpResponse::Ok().json(json!({"budget": shown, "effective_max_limit": max})))
}

/// The budget of this key, or of one of its provider configs.
fn budget_of(draft: &Draft, key: &str, id: &str) -> Result<Budget, ApiError> {
    let key = draft.changeable::<VirtualKey>(key)?;
    let budget = super::draft::find::<Budget>(&draft.all, id)?;
    let is_its = match &budget.owner {
        Some(BudgetOwner::VirtualKey(owner)) => *owner == key.id,
        Some(BudgetOwner::ProviderConfig(config)) => key.grants.iter().any(|grant| grant.id == Some(*config)),
        Some(_) | None => false,
    };
    if !is_its {
        return Err(ApiError::NotFound("Budget not found"));
    }
    if draft.is_of_file(hermod_types::governance::Kind::Budgets, id) {
        return Err(in_file::<Budget>(id));
    }
    Ok(budget.clone())
}

impl Governance {
    /// When so many windows of a budget are over, the current one among them.
    async fn end_of_cycles(&self, budget: &str, cycles: u32) -> Result<Timestamp, ApiError> {
        let name = budget_name(budget);
        let Some(limit) = self.limits_named([name.clone()]).pop() else {
            return Err(ApiError::NotFound("Budget not found"));
        };
        let (now, used) = (Timestamp::now(), self.used(vec![name.clone()]).await?.of(&name));
        let after =
            |from: Timestamp, millis: u64| Timestamp::from_millis(from.as_millis().saturating_add(millis));
        Ok(match limit.window {
            Window::Never => Timestamp::from_millis(u64::MAX),
            Window::Rolling(length) => {
                let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
                // One that was not used yet begins with its first use.
                let first = used.ends.unwrap_or_else(|| after(now, length));
                after(first, length.saturating_mul(u64::from(cycles - 1)))
            }
            Window::Calendar(unit) => (0..cycles).fold(now, |at, _| next_start(unit, at)),
        })
    }
}

#[cfg(test)]
mod tests {
    use hermod_governance::Calendar;

    use super::*;

    #[test]
    fn calendars_go_on() {
        let at = |text: &str| Timestamp::from_rfc3339(text).unwrap();
        let month = (0..3).fold(at("2030-11-15T12:00:00Z"), |at, _| next_start(Calendar::Month, at));
        assert_eq!(month, at("2031-02-01T00:00:00Z"));
    }
}
