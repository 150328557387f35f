use actix_web::{HttpRequest, HttpResponse, web};
use hermod_queue::{ListedJob, Owner};
use hermod_types::{JobId, JobView};
use serde::Serialize;

use super::query::{self, Include};
use crate::admin::Admin;
use crate::caller::{self, Caller};
use crate::error::{ApiError, Failure};
use crate::state::State;

#[derive(Serialize)]
struct Page<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_id: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_id: Option<JobId>,
    has_more: bool,
}

#[derive(Serialize)]
struct Item<'a> {
    #[serde(flatten)]
    view: &'a JobView,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
}

impl<'a> Item<'a> {
    fn of(job: &'a ListedJob, include: Include) -> Self {
        Self {
            view: &job.view,
            endpoint: include.endpoint.then(|| job.operation.polled_as().path()),
            model: job.model.as_deref().filter(|_| include.model),
        }
    }
}

/// `GET /v1/async/jobs`: the jobs of a virtual key, or all of them to an administrator, the newest first.
pub(crate) async fn list(
    http: HttpRequest,
    admin: web::Data<Admin>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    page(&http, &admin, &state).await.map_err(ApiError::of_no_operation)
}

async fn page(http: &HttpRequest, admin: &Admin, state: &State) -> Result<HttpResponse, ApiError> {
    let lists = state.lists.as_ref().ok_or(ApiError::NoLists)?;
    let owner = owner(http, admin, state).await?;
    let asked = query::read(owner, http.query_string())?;
    let page = lists.page(&asked.query).await.map_err(ApiError::from_find)?;
    let last = page.jobs.last().map(|job| job.view.id);
    Ok(HttpResponse::Ok().json(Page {
        object: "list",
        data: page.jobs.iter().map(|job| Item::of(job, asked.include)).collect(),
        first_id: page.jobs.first().map(|job| job.view.id),
        last_id: page.next.or(last),
        has_more: page.next.is_some(),
    }))
}

/// Whose jobs are listed.
///
/// # Errors
/// If the caller shows neither a valid key nor an administrator's login.
async fn owner(http: &HttpRequest, admin: &Admin, state: &State) -> Result<Owner, ApiError> {
    match caller::authenticate(http.headers(), state).await {
        Ok(Caller { owner: Some(owner), .. }) => return Ok(Owner::Key(owner)),
        Ok(Caller { owner: None, .. }) | Err(ApiError::VirtualKeyRequired) => {}
        Err(error) => return Err(error),
    }
    let address = http.peer_addr().map(|peer| peer.ip());
    match admin.authenticate(http.headers(), address).await {
        Ok(_) => Ok(Owner::Anybody),
        Err(error) if admin.is_tried(http.headers()) => Err(error),
        Err(_) => Err(ApiError::VirtualKeyRequired),
    }
}
