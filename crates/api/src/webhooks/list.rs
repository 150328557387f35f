use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use serde_json::value::RawValue;

use super::known::Known;
use super::query::Query;
use crate::error::Failure;
use crate::state::State;

/// `GET /api/webhooks`
pub(super) async fn list(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let query = Query::of(&http)?;
    let (page, event, disabled) = (query.page()?, query.event()?, query.boolean("disabled")?);
    let search = query.text("search").map(str::to_lowercase);
    let matches = |known: &Known<'_>| {
        let endpoint = &known.endpoint;
        let has = |part: &String| {
            endpoint.name.to_lowercase().contains(part) || endpoint.url.as_str().to_lowercase().contains(part)
        };
        search.as_ref().is_none_or(has)
            && event.is_none_or(|event| endpoint.events.contains(&event))
            && disabled.is_none_or(|disabled| known.is_disabled() == disabled)
    };
    let matching: Vec<_> = state.endpoints.all().await?.into_iter().filter(matches).collect();
    let shown = matching.iter().skip(page.offset).take(page.limit);
    let shown: Vec<_> = shown.filter_map(|known| RawValue::from_string(known.json()).ok()).collect();
    Ok(HttpResponse::Ok().json(json!({
        "endpoints": shown, "count": shown.len(), "total_count": matching.len(), "limit": page.limit, "offset": page.offset,
    })))
}
