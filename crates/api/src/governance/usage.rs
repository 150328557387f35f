//! `/api/governance/usage`: what was used, by day, virtual key and model.

use actix_web::{HttpRequest, HttpResponse, web};
use hermod_types::Timestamp;
use hermod_types::governance::Money;
use serde::Serialize;
use serde_json::json;

use super::calendar::{day_of, days, days_before, parse_day, written};
use super::page::Query;
use crate::error::{ApiError, Failure};
use crate::state::State;

/// Days that are shown where none are named.
const DEFAULT_DAYS: i64 = 30;
/// Days for which usage is kept.
const MOST_DAYS: usize = 400;
/// Rows of one answer.
const MOST_ROWS: usize = 100_000;

#[derive(Serialize)]
struct Row<'a> {
    date: &'a str,
    virtual_key_id: String,
    /// Empty for a key that is gone.
    name: &'a str,
    model: String,
    requests: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost: Money,
    unpriced_calls: u64,
    unknown_calls: u64,
}

/// `GET /api/governance/usage?from=2030-01-01&to=2030-01-31&virtual_key_id=…`: the last 30 days, where no days are named.
pub(super) async fn usage(http: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Failure> {
    let query = Query::of(&http)?;
    let day = |name: &str| {
        let wrong = || ApiError::invalid(format!("{name} must be a day such as 2030-01-31"));
        query.text(name).map(|text| parse_day(text).ok_or_else(wrong)).transpose()
    };
    let to = day("to")?.unwrap_or_else(|| day_of(Timestamp::now()));
    let from = day("from")?.unwrap_or_else(|| days_before(to, DEFAULT_DAYS - 1));
    let days: Vec<_> = days(from, to).take(MOST_DAYS + 1).collect();
    if days.is_empty() || days.len() > MOST_DAYS {
        return Err(ApiError::invalid(format!("from must be before to, and at most {MOST_DAYS} days")).into());
    }
    let governance = &state.governance;
    let known = governance.known().await?;
    let dates: Vec<_> = days.iter().map(|day| written(*day, "-")).collect();
    let mut rows = Vec::new();
    for (day, date) in days.iter().zip(&dates) {
        let used = governance.usage.of_day(&written(*day, ""), query.text("virtual_key_id")).await;
        for used in used.map_err(ApiError::Unavailable)? {
            rows.push(Row {
                date,
                name: known.all().virtual_key(&used.owner).map_or("", |key| &key.name),
                virtual_key_id: used.owner,
                model: used.model,
                requests: used.requests,
                input_tokens: used.input_tokens,
                output_tokens: used.output_tokens,
                cost: Money::from_nanos(used.cost),
                unpriced_calls: used.unpriced_calls,
                unknown_calls: used.unknown_calls,
            });
        }
        if rows.len() > MOST_ROWS {
            let message = format!("more than {MOST_ROWS} rows: name fewer days, or a virtual_key_id");
            return Err(ApiError::invalid(message).into());
        }
    }
    Ok(HttpResponse::Ok().json(json!({"rows": rows})))
}
