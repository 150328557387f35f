//! What became of deliveries: a row an attempt.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::Timestamp;
use hermod_types::webhook::Row;
use serde::Serialize;

use super::query::{Page, Query};
use crate::error::{ApiError, Failure};
use crate::state::State;

#[derive(Serialize)]
struct Rows {
    deliveries: Vec<Row>,
    pagination: Pagination,
}

#[derive(Serialize)]
struct Pagination {
    limit: usize,
    offset: usize,
    total_count: usize,
    /// Whether there are more rows than one search looks at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_partial: bool,
}

/// `GET /api/webhooks/{id}/deliveries`: rows of one endpoint, the newest first. One that is unknown has none.
pub(super) async fn of_one(
    http: HttpRequest,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let Page { limit, offset } = Query::of(&http)?.page()?;
    let id = match id.parse() {
        Ok(id) => Some(id),
        Err(_) => match state.endpoints.find(&id).await {
            Ok(known) => Some(known.endpoint.id),
            Err(ApiError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        },
    };
    let found = match id {
        Some(id) => state.endpoints.stored.history(id, offset, limit, state.config.webhook_history).await,
        None => Ok(hermod_queue::webhooks::Page::default()),
    };
    let found = found.map_err(ApiError::Unavailable)?;
    let pagination = Pagination { limit, offset, total_count: found.total, is_partial: false };
    Ok(HttpResponse::Ok().json(Rows { deliveries: found.rows, pagination }))
}

/// `GET /api/webhooks/deliveries`: deliveries over all endpoints, each with all of its rows.
pub(super) async fn of_all(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let query = Query::of(&http)?;
    let (Page { limit, offset }, filter) = (query.page()?, query.filter(Timestamp::now())?);
    let found = state.endpoints.stored.search(&filter, offset, limit, state.config.webhook_history).await;
    let found = found.map_err(ApiError::Unavailable)?;
    let pagination =
        Pagination { limit, offset, total_count: found.deliveries, is_partial: found.is_partial };
    Ok(HttpResponse::Ok().json(Rows { deliveries: found.rows, pagination }))
}
