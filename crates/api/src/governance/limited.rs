//! The routes of what has limits of its own: teams, customers, and configs of models.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::governance::{BudgetOwner, Definitions, RateLimit};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::body::read;
use super::draft::{Called, Draft, find};
use super::key_body::remove_budgets;
use super::log::changed;
use super::page::Query;
use super::shown::{Shown, names_of};
use super::state::{Governance, new_id};
use crate::admin::{Actor, text_of};
use crate::error::{ApiError, Failure};
use crate::state::State;

/// A kind of definition that has limits of its own.
pub(super) trait Limited: Called {
    /// A request's body.
    type Body: DeserializeOwned + Clone;
    /// How messages begin that are about it.
    const TITLE: &'static str;
    /// The member of answers that has one of them, and the one that has many.
    const MEMBER: &'static str;
    const MEMBERS: &'static str;
    /// What a list can be asked for.
    const FILTERS: &'static [&'static str];

    /// One with nothing set.
    fn new(id: String) -> Self;

    fn name(&self) -> &str;

    fn budget_owner(&self) -> BudgetOwner;

    fn rate_limits(&self) -> Vec<&str>;

    /// Whether a list with these filters has it.
    fn is_found(&self, query: &Query) -> bool;

    /// Sets what the body says, and defines it so.
    ///
    /// # Errors
    /// If the body cannot be followed.
    fn set(&mut self, body: Self::Body, draft: &mut Draft) -> Result<(), ApiError>;

    fn shown(&self, shown: &Shown<'_>) -> Value;

    /// Adds what only the answer about this one alone has.
    fn join(&self, _all: &Definitions, _shown: &mut Value) {}

    /// Lets what is of it go on without it.
    ///
    /// # Errors
    /// If that cannot be written.
    fn detach(&self, _draft: &mut Draft) -> Result<(), ApiError> {
        Ok(())
    }
}

/// `GET`: without a page, all of them.
pub(super) async fn list<T: Limited>(
    http: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let query = Query::of(&http)?;
    let page = query.page(T::FILTERS)?;
    let governance = &state.governance;
    let known = governance.known().await?;
    let found = T::list(known.all()).iter().filter(|one| one.is_found(&query));
    let paged = page.of(found.collect());
    let names = paged.shown.iter().flat_map(|one| names_of_limits(known.all(), *one)).collect();
    let shown = Shown::defined(known.all(), governance.live.file()).with(governance.used(names).await?);
    let all = paged.shown.iter().map(|one| one.shown(&shown)).collect();
    Ok(HttpResponse::Ok().json(paged.answer(T::MEMBERS, all)))
}

/// `POST`
pub(super) async fn create<T: Limited>(
    http: HttpRequest,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: T::Body = read(&text_of(&http, payload, &state).await?)?;
    let governance = &state.governance;
    let (one, draft) = governance
        .change(|draft| {
            let mut one = T::new(new_id());
            one.set(body.clone(), draft)?;
            Ok(one)
        })
        .await?;
    let described = one.shown(&Shown::defined(&draft.all, governance.live.file()));
    changed(&actor, &format!("created a {}", T::WHAT), one.id(), one.name(), None, Some(&described));
    told("created", &draft.all, governance, &one).await
}

/// `GET` of one.
pub(super) async fn get<T: Limited>(
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let known = governance.known().await?;
    let one = find::<T>(known.all(), &id)?;
    let mut shown = with_usage(known.all(), governance, one).await?;
    one.join(known.all(), &mut shown);
    Ok(HttpResponse::Ok().json(json!({T::MEMBER: shown})))
}

/// `PUT`: what is absent stays.
pub(super) async fn update<T: Limited>(
    http: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body: T::Body = read(&text_of(&http, payload, &state).await?)?;
    let governance = &state.governance;
    let file = governance.live.file();
    let ((old, one), draft) = governance
        .change(|draft| {
            let mut one = draft.changeable::<T>(&id)?;
            let old = one.shown(&Shown::defined(&draft.all, file));
            one.set(body.clone(), draft)?;
            Ok((old, one))
        })
        .await?;
    let new = one.shown(&Shown::defined(&draft.all, file));
    changed(&actor, &format!("changed a {}", T::WHAT), one.id(), one.name(), Some(&old), Some(&new));
    told("updated", &draft.all, governance, &one).await
}

/// `DELETE`: with its limits.
pub(super) async fn delete<T: Limited>(
    id: web::Path<String>,
    actor: Actor,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let governance = &state.governance;
    let ((old, one), _) = governance
        .change(|draft| {
            let one = draft.changeable::<T>(&id)?;
            let old = one.shown(&Shown::defined(&draft.all, governance.live.file()));
            one.detach(draft)?;
            remove(draft, &one);
            Ok((old, one))
        })
        .await?;
    changed(&actor, &format!("deleted a {}", T::WHAT), &id, one.name(), Some(&old), None);
    Ok(HttpResponse::Ok().json(json!({"message": format!("{} deleted successfully", T::TITLE)})))
}

/// Removes it, with its limits.
pub(super) fn remove<T: Limited>(draft: &mut Draft, one: &T) {
    remove_budgets(draft, &one.budget_owner());
    for limit in one.rate_limits() {
        draft.remove::<RateLimit>(limit);
    }
    draft.remove::<T>(one.id());
}

/// The names of its limits.
pub(super) fn names_of_limits<T: Limited>(all: &Definitions, one: &T) -> Vec<String> {
    names_of(all, &one.budget_owner(), &one.rate_limits())
}

async fn with_usage<T: Limited>(
    all: &Definitions,
    governance: &Governance,
    one: &T,
) -> Result<Value, ApiError> {
    let used = governance.used(names_of_limits(all, one)).await?;
    Ok(one.shown(&Shown::defined(all, governance.live.file()).with(used)))
}

/// The answer to a change: `what` was done.
async fn told<T: Limited>(
    what: &str,
    all: &Definitions,
    governance: &Governance,
    one: &T,
) -> Result<HttpResponse, Failure> {
    let shown = with_usage(all, governance, one).await?;
    let message = format!("{} {what} successfully", T::TITLE);
    Ok(HttpResponse::Ok().json(json!({"message": message, T::MEMBER: shown})))
}
