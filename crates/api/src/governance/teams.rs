//! `/api/governance/teams`

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::governance::{BudgetOwner, RateLimit, Team, VirtualKey};
use serde::Deserialize;
use serde_json::json;

use super::body::{BudgetBody, Given, LimitsBody, RateLimitBody, read};
use super::draft::find;
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
struct TeamBody {
    name: Given<String>,
    customer_id: Given<String>,
    calendar_aligned: Given<bool>,
    budgets: Given<Vec<BudgetBody>>,
    budget: Given<serde_json::Map<String, serde_json::Value>>,
    rate_limit: Given<RateLimitBody>,
}

impl TeamBody {
    fn set(self, draft: &mut super::draft::Draft, team: &mut Team) -> Result<(), ApiError> {
        let Self { name, customer_id, calendar_aligned, budgets, budget, rate_limit } = self;
        if let Some(name) = name.value() {
            team.name = name;
        }
        if team.name.trim().is_empty() {
            return Err(ApiError::invalid("Team name is required"));
        }
        customer_id.set_text(&mut team.customer_id);
        team.calendar_aligned = calendar_aligned.value().unwrap_or(team.calendar_aligned);
        let owner = BudgetOwner::Team(team.id.clone());
        LimitsBody { budgets, budget, rate_limit }.set(draft, &owner, &mut team.rate_limit_id)?;
        draft.put(team.clone())
    }
}

/// `GET /api/governance/teams`: without a page, all of them.
pub(super) async fn list(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let query = Query::of(&http)?;
    let page = query.page(&["search", "customer_id"])?;
    let governance = &state.governance;
    let known = governance.known().await?;
    let found = known.all().teams.iter().filter(|team| {
        query.finds(&[&team.name, &team.id]) && query.is("customer_id", team.customer_id.as_deref())
    });
    let paged = page.of(found.collect());
    let names = paged.shown.iter().flat_map(|team| names_of_team(known.all(), team)).collect();
    let shown = Shown::defined(known.all(), governance.live.file()).with(governance.used(names).await?);
    let teams = paged.shown.iter().map(|team| shown.team(team)).collect();
    Ok(HttpResponse::Ok().json(paged.answer("teams", teams)))
}

/// `POST /api/governance/teams`
pub(super) async fn create(
    http: HttpRequest,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: TeamBody = read(&text_of(&http, payload, &state).await?)?;
    let governance = &state.governance;
    let (team, draft) = governance
        .change(|draft| {
            let mut team = Team { id: new_id(), ..Team::default() };
            body.clone().set(draft, &mut team)?;
            Ok(team)
        })
        .await?;
    let described = Shown::defined(&draft.all, governance.live.file()).team(&team);
    changed(&actor, "created a team", &team.id, &team.name, None, Some(&described));
    answer("Team created successfully", &draft.all, governance, &team).await
}

/// `GET /api/governance/teams/{id}`
pub(super) async fn get(id: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    let team = find::<Team>(known.all(), &id)?;
    let used = governance.used(names_of_team(known.all(), team)).await?;
    let mut shown = Shown::defined(known.all(), governance.live.file()).with(used).team(team);
    let keys = known.all().virtual_keys.iter().filter(|key| key.team_id.as_deref() == Some(&team.id));
    shown["virtual_keys"] = keys.map(|key| json!({"id": key.id, "name": key.name})).collect();
    Ok(HttpResponse::Ok().json(json!({"team": shown})))
}

/// `PUT /api/governance/teams/{id}`: what is absent stays.
pub(super) async fn update(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: TeamBody = read(&text_of(&http, payload, &state).await?)?;
    let governance = &state.governance;
    let file = governance.live.file();
    let ((old, team), draft) = governance
        .change(|draft| {
            let mut team = draft.changeable::<Team>(&id)?;
            let old = Shown::defined(&draft.all, file).team(&team);
            body.clone().set(draft, &mut team)?;
            Ok((old, team))
        })
        .await?;
    let new = Shown::defined(&draft.all, file).team(&team);
    changed(&actor, "changed a team", &team.id, &team.name, Some(&old), Some(&new));
    answer("Team updated successfully", &draft.all, governance, &team).await
}

/// `DELETE /api/governance/teams/{id}`: its keys go on without it.
pub(super) async fn delete(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let ((old, name), _) = governance
        .change(|draft| {
            let team = draft.changeable::<Team>(&id)?;
            let old = Shown::defined(&draft.all, governance.live.file()).team(&team);
            remove_budgets(draft, &BudgetOwner::Team(team.id.clone()));
            if let Some(limit) = &team.rate_limit_id {
                draft.remove::<RateLimit>(limit);
            }
            let keys: Vec<VirtualKey> = (draft.all.virtual_keys.iter())
                .filter(|key| key.team_id.as_deref() == Some(&team.id))
                .cloned()
                .collect();
            for key in keys {
                draft.put(VirtualKey { team_id: None, ..key })?;
            }
            draft.remove::<Team>(&team.id);
            Ok((old, team.name))
        })
        .await?;
    changed(&actor, "deleted a team", &id, &name, Some(&old), None);
    Ok(HttpResponse::Ok().json(json!({"message": "Team deleted successfully"})))
}

fn names_of_team(all: &hermod_types::governance::Definitions, team: &Team) -> Vec<String> {
    let rates: Vec<_> = team.rate_limit_id.iter().map(String::as_str).collect();
    names_of(all, &BudgetOwner::Team(team.id.clone()), &rates)
}

async fn answer(
    message: &str,
    all: &hermod_types::governance::Definitions,
    governance: &Governance,
    team: &Team,
) -> Result<HttpResponse, Failure> {
    let used = governance.used(names_of_team(all, team)).await?;
    let shown = Shown::defined(all, governance.live.file()).with(used).team(team);
    Ok(HttpResponse::Ok().json(json!({"message": message, "team": shown})))
}
