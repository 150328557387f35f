//! `/api/governance/customers`

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::governance::{BudgetOwner, Customer, RateLimit, Team, VirtualKey};
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
struct CustomerBody {
    name: Given<String>,
    calendar_aligned: Given<bool>,
    budgets: Given<Vec<BudgetBody>>,
    budget: Given<serde_json::Map<String, serde_json::Value>>,
    rate_limit: Given<RateLimitBody>,
}

impl CustomerBody {
    fn set(self, draft: &mut super::draft::Draft, customer: &mut Customer) -> Result<(), ApiError> {
        let Self { name, calendar_aligned, budgets, budget, rate_limit } = self;
        if let Some(name) = name.value() {
            customer.name = name;
        }
        if customer.name.trim().is_empty() {
            return Err(ApiError::invalid("Customer name is required"));
        }
        customer.calendar_aligned = calendar_aligned.value().unwrap_or(customer.calendar_aligned);
        let owner = BudgetOwner::Customer(customer.id.clone());
        LimitsBody { budgets, budget, rate_limit }.set(draft, &owner, &mut customer.rate_limit_id)?;
        draft.put(customer.clone())
    }
}

/// `GET /api/governance/customers`: without a page, all of them.
pub(super) async fn list(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let query = Query::of(&http)?;
    let page = query.page(&["search"])?;
    let governance = &state.governance;
    let known = governance.known().await?;
    let found = known.all().customers.iter().filter(|customer| query.finds(&[&customer.name, &customer.id]));
    let paged = page.of(found.collect());
    let names = paged.shown.iter().flat_map(|customer| names_of_customer(known.all(), customer)).collect();
    let shown = Shown::defined(known.all(), governance.live.file()).with(governance.used(names).await?);
    let customers = paged.shown.iter().map(|customer| shown.customer(customer)).collect();
    Ok(HttpResponse::Ok().json(paged.answer("customers", customers)))
}

/// `POST /api/governance/customers`
pub(super) async fn create(
    http: HttpRequest,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: CustomerBody = read(&text_of(&http, payload, &state).await?)?;
    let governance = &state.governance;
    let (customer, draft) = governance
        .change(|draft| {
            let mut customer = Customer { id: new_id(), ..Customer::default() };
            body.clone().set(draft, &mut customer)?;
            Ok(customer)
        })
        .await?;
    let described = Shown::defined(&draft.all, governance.live.file()).customer(&customer);
    changed(&actor, "created a customer", &customer.id, &customer.name, None, Some(&described));
    answer("Customer created successfully", &draft.all, governance, &customer).await
}

/// `GET /api/governance/customers/{id}`
pub(super) async fn get(id: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    let customer = find::<Customer>(known.all(), &id)?;
    let used = governance.used(names_of_customer(known.all(), customer)).await?;
    let mut shown = Shown::defined(known.all(), governance.live.file()).with(used).customer(customer);
    let keys = known.all().virtual_keys.iter().filter(|key| key.customer_id.as_deref() == Some(&customer.id));
    shown["virtual_keys"] = keys.map(|key| json!({"id": key.id, "name": key.name})).collect();
    Ok(HttpResponse::Ok().json(json!({"customer": shown})))
}

/// `PUT /api/governance/customers/{id}`: what is absent stays.
pub(super) async fn update(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: CustomerBody = read(&text_of(&http, payload, &state).await?)?;
    let governance = &state.governance;
    let file = governance.live.file();
    let ((old, customer), draft) = governance
        .change(|draft| {
            let mut customer = draft.changeable::<Customer>(&id)?;
            let old = Shown::defined(&draft.all, file).customer(&customer);
            body.clone().set(draft, &mut customer)?;
            Ok((old, customer))
        })
        .await?;
    let new = Shown::defined(&draft.all, file).customer(&customer);
    changed(&actor, "changed a customer", &customer.id, &customer.name, Some(&old), Some(&new));
    answer("Customer updated successfully", &draft.all, governance, &customer).await
}

/// `DELETE /api/governance/customers/{id}`: its teams and keys go on without it.
pub(super) async fn delete(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let ((old, name), _) = governance
        .change(|draft| {
            let customer = draft.changeable::<Customer>(&id)?;
            let old = Shown::defined(&draft.all, governance.live.file()).customer(&customer);
            remove_budgets(draft, &BudgetOwner::Customer(customer.id.clone()));
            if let Some(limit) = &customer.rate_limit_id {
                draft.remove::<RateLimit>(limit);
            }
            let keys: Vec<VirtualKey> = (draft.all.virtual_keys.iter())
                .filter(|key| key.customer_id.as_deref() == Some(&customer.id))
                .cloned()
                .collect();
            for key in keys {
                draft.put(VirtualKey { customer_id: None, ..key })?;
            }
            let teams: Vec<Team> = (draft.all.teams.iter())
                .filter(|team| team.customer_id.as_deref() == Some(&customer.id))
                .cloned()
                .collect();
            for team in teams {
                draft.put(Team { customer_id: None, ..team })?;
            }
            draft.remove::<Customer>(&customer.id);
            Ok((old, customer.name))
        })
        .await?;
    changed(&actor, "deleted a customer", &id, &name, Some(&old), None);
    Ok(HttpResponse::Ok().json(json!({"message": "Customer deleted successfully"})))
}

fn names_of_customer(all: &hermod_types::governance::Definitions, customer: &Customer) -> Vec<String> {
    let rates: Vec<_> = customer.rate_limit_id.iter().map(String::as_str).collect();
    names_of(all, &BudgetOwner::Customer(customer.id.clone()), &rates)
}

async fn answer(
    message: &str,
    all: &hermod_types::governance::Definitions,
    governance: &Governance,
    customer: &Customer,
) -> Result<HttpResponse, Failure> {
    let used = governance.used(names_of_customer(all, customer)).await?;
    let shown = Shown::defined(all, governance.live.file()).with(used).customer(customer);
    Ok(HttpResponse::Ok().json(json!({"message": message, "customer": shown})))
}
