//! Bodies of requests, and the limits that stand in them.

use std::str::FromStr;

use hermod_types::Timestamp;
use hermod_types::governance::{Budget, BudgetOwner, Money, Rate, RateLimit, ResetDuration};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::draft::{Draft, find, in_file};
use super::state::new_id;
use crate::error::ApiError;
use crate::object::read_from_object;

/// A member of a body. One that is absent leaves all as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Given<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

impl<T> Given<T> {
    /// The value, if there is one: for what cannot be cleared.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// Sets what can be cleared.
    pub(super) fn set(self, place: &mut Option<T>) {
        match self {
            Self::Absent => {}
            Self::Null => *place = None,
            Self::Value(value) => *place = Some(value),
        }
    }
}

impl Given<String> {
    /// The same; an empty text is none.
    pub(super) fn set_text(self, place: &mut Option<String>) {
        match self {
            Self::Value(text) if text.is_empty() => *place = None,
            given @ (Self::Absent | Self::Null | Self::Value(_)) => given.set(place),
        }
    }

    /// # Errors
    /// For what is no time.
    pub(super) fn set_time(self, name: &str, place: &mut Option<Timestamp>) -> Result<(), ApiError> {
        let mut text = place.map(|time| time.to_string());
        self.set_text(&mut text);
        let wrong = || ApiError::invalid(format!("{name} must be a time such as 2030-01-31T00:00:00Z"));
        *place = text.map(|text| Timestamp::from_rfc3339(&text).ok_or_else(wrong)).transpose()?;
        Ok(())
    }
}

/// Reads a body. Bifrost's text begins what is said of one that cannot be read; a member that nobody knows is named.
///
/// # Errors
/// If it is none.
pub(super) fn read<T: DeserializeOwned>(body: &str) -> Result<T, ApiError> {
    serde_json::from_str(body).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        ApiError::invalid(if error.is_data() {
            format!("Invalid JSON: {message}")
        } else {
            "Invalid JSON".to_owned()
        })
    })
}

/// A budget in a body.
#[derive(Clone, Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub(super) struct BudgetBody {
    #[serde(default)]
    id: Option<String>,
    max_limit: f64,
    reset_duration: String,
    #[serde(default)]
    calendar_aligned: bool,
    #[serde(default)]
    reset_config: Option<ResetConfig>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct ResetConfig {
    #[serde(default)]
    quarter_start_month: Option<u8>,
}

/// A rate limit in a body; an empty one removes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub(super) struct RateLimitBody {
    token_max_limit: Given<i64>,
    token_reset_duration: Given<String>,
    request_max_limit: Given<i64>,
    request_reset_duration: Given<String>,
}

/// One limit of a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub(super) struct MetricBody {
    metric: Metric,
    max_limit: i64,
    reset_duration: String,
}

read_from_object!(BudgetBody, ResetConfig, RateLimitBody, MetricBody);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Metric {
    Requests,
    Tokens,
}

/// The limits in the body of a team, a customer, a model config or a provider.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LimitsBody {
    pub(super) budgets: Given<Vec<BudgetBody>>,
    /// The only one; an empty one removes it.
    pub(super) budget: Given<serde_json::Map<String, serde_json::Value>>,
    pub(super) rate_limit: Given<RateLimitBody>,
}

impl BudgetBody {
    fn read(self, is: Option<&Budget>, owner: &BudgetOwner) -> Result<Budget, ApiError> {
        let Self { max_limit, reset_duration, calendar_aligned, reset_config, .. } = self;
        if max_limit <= 0.0 {
            return Err(ApiError::invalid(format!(
                "budget max limit cannot be negative or zero: {max_limit:.2}"
            )));
        }
        let max_limit = Money::from_dollars(max_limit).filter(|money| *money > Money::default());
        let Some(max_limit) = max_limit else {
            return Err(ApiError::invalid("budget max_limit must be between a billionth and 9000000"));
        };
        let quarter_start_month = reset_config.and_then(|config| config.quarter_start_month);
        if quarter_start_month.is_some_and(|month| !(1..=12).contains(&month)) {
            return Err(ApiError::invalid("quarter_start_month must be between 1 and 12"));
        }
        Ok(Budget {
            id: is.map_or_else(new_id, |is| is.id.clone()),
            max_limit,
            reset_duration: duration(&reset_duration, "Invalid reset duration format")?,
            owner: Some(owner.clone()),
            calendar_aligned,
            quarter_start_month,
            added: is.and_then(|is| is.added),
        })
    }
}

fn duration(text: &str, wrong: &str) -> Result<ResetDuration, ApiError> {
    ResetDuration::from_str(text).map_err(|_| ApiError::invalid(format!("{wrong}: {text}")))
}

/// Gives an owner these budgets and no others. One with the id or the duration of one that is there takes its place, and with it
/// what was used of it.
///
/// # Errors
/// If one is not what it should be.
pub(super) fn set_budgets(
    draft: &mut Draft,
    owner: &BudgetOwner,
    bodies: Vec<BudgetBody>,
) -> Result<(), ApiError> {
    let mut left = draft.budgets_of(owner);
    if let Some(budget) =
        left.iter().find(|budget| draft.is_of_file(hermod_types::governance::Kind::Budgets, &budget.id))
    {
        return Err(in_file::<Budget>(&budget.id));
    }
    let mut durations: Vec<ResetDuration> = Vec::new();
    for body in bodies {
        let reset = duration(&body.reset_duration, "Invalid reset duration format")?;
        if durations.iter().any(|other| other.is_same(&reset)) {
            return Err(ApiError::invalid(format!("Duplicate reset_duration in budgets: {reset}")));
        }
        let place = match &body.id {
            Some(id) => match left.iter().position(|is| is.id == *id) {
                Some(place) => Some(place),
                None => return Err(ApiError::invalid(format!("budget {id:?} does not belong here"))),
            },
            None => left.iter().position(|is| is.reset_duration.is_same(&reset)),
        };
        let is = place.map(|place| left.swap_remove(place));
        draft.put(body.read(is.as_ref(), owner)?)?;
        durations.push(reset);
    }
    for budget in left {
        draft.remove::<Budget>(&budget.id);
    }
    Ok(())
}

/// Gives the owner of `current`, the id of a rate limit, what the body says; what is absent there stays. What was used stays, too.
///
/// # Errors
/// If it is not what it should be.
pub(super) fn set_rate_limit(
    draft: &mut Draft,
    current: &mut Option<String>,
    body: RateLimitBody,
) -> Result<(), ApiError> {
    let RateLimitBody { token_max_limit, token_reset_duration, request_max_limit, request_reset_duration } =
        body;
    let is_removal = token_max_limit == Given::Absent
        && token_reset_duration == Given::Absent
        && request_max_limit == Given::Absent
        && request_reset_duration == Given::Absent;
    if let Some(id) = current {
        draft.changeable::<RateLimit>(id)?;
    }
    let is = match current {
        Some(id) if !is_removal => find::<RateLimit>(&draft.all, id)?.clone(),
        _ => RateLimit { id: current.clone().unwrap_or_else(new_id), tokens: None, requests: None },
    };
    let limit = RateLimit {
        tokens: rate(is.tokens, token_max_limit, token_reset_duration, "token")?,
        requests: rate(is.requests, request_max_limit, request_reset_duration, "request")?,
        id: is.id,
    };
    if limit.tokens.is_none() && limit.requests.is_none() {
        if let Some(id) = current.take() {
            draft.remove::<RateLimit>(&id);
        }
        return Ok(());
    }
    *current = Some(limit.id.clone());
    draft.put(limit)
}

fn rate(
    is: Option<Rate>,
    max: Given<i64>,
    reset: Given<String>,
    what: &str,
) -> Result<Option<Rate>, ApiError> {
    let (mut new_max, mut new_reset) =
        is.map(|rate| (i64::try_from(rate.max).unwrap_or(i64::MAX), rate.reset.as_str().to_owned())).unzip();
    max.set(&mut new_max);
    reset.set_text(&mut new_reset);
    let Some(max) = new_max else { return Ok(None) };
    let Some(reset) = new_reset else {
        return Err(ApiError::invalid(format!("rate limit {what} reset duration is required")));
    };
    rate_of(max, &reset, what).map(Some)
}

fn rate_of(max: i64, reset: &str, what: &str) -> Result<Rate, ApiError> {
    let number = u64::try_from(max).ok().filter(|max| (1..=1 << 53).contains(max)).ok_or_else(|| {
        ApiError::invalid(format!("rate limit {what} max limit cannot be negative or zero: {max}"))
    })?;
    let wrong = format!("invalid rate limit {what} reset duration format");
    Ok(Rate { max: number, reset: duration(reset, &wrong)? })
}

/// The same for a list, each with one measure: the whole new set. One with the measure and the duration of one that is there takes
/// its place.
///
/// # Errors
/// If one is not what it should be.
pub(super) fn set_rate_limits(
    draft: &mut Draft,
    current: &mut Vec<String>,
    bodies: Vec<MetricBody>,
) -> Result<(), ApiError> {
    let mut left = Vec::new();
    for id in current.drain(..) {
        left.push(draft.changeable::<RateLimit>(&id)?);
    }
    for MetricBody { metric, max_limit, reset_duration } in bodies {
        let what = if metric == Metric::Tokens { "token" } else { "request" };
        let rate = rate_of(max_limit, &reset_duration, what)?;
        let part = |limit: &RateLimit| match metric {
            Metric::Tokens if limit.requests.is_none() => limit.tokens.clone(),
            Metric::Requests if limit.tokens.is_none() => limit.requests.clone(),
            Metric::Tokens | Metric::Requests => None,
        };
        let place = left.iter().position(|is| part(is).is_some_and(|is| is.reset.is_same(&rate.reset)));
        let id = place.map_or_else(new_id, |place| left.swap_remove(place).id);
        let (tokens, requests) = match metric {
            Metric::Tokens => (Some(rate), None),
            Metric::Requests => (None, Some(rate)),
        };
        draft.put(RateLimit { id: id.clone(), tokens, requests })?;
        current.push(id);
    }
    for limit in left {
        draft.remove::<RateLimit>(&limit.id);
    }
    Ok(())
}

impl LimitsBody {
    /// Gives the owner of these budgets and of this rate limit what the body says.
    ///
    /// # Errors
    /// If one is not what it should be.
    pub(super) fn set(
        self,
        draft: &mut Draft,
        owner: &BudgetOwner,
        rate_limit: &mut Option<String>,
    ) -> Result<(), ApiError> {
        if let Some(budgets) = self.budgets()? {
            set_budgets(draft, owner, budgets)?;
        }
        if let Some(limit) = self.rate_limit.value() {
            set_rate_limit(draft, rate_limit, limit)?;
        }
        Ok(())
    }

    /// The budgets that are given, one or many.
    ///
    /// # Errors
    /// If both forms are, or one is none.
    pub(super) fn budgets(&self) -> Result<Option<Vec<BudgetBody>>, ApiError> {
        match (self.budgets.clone().value(), self.budget.clone().value()) {
            (Some(_), Some(_)) => Err(ApiError::invalid("budgets and budget cannot both be given")),
            (budgets, None) => Ok(budgets),
            (None, Some(budget)) if budget.is_empty() => Ok(Some(Vec::new())),
            (None, Some(budget)) => Ok(Some(vec![read(&serde_json::Value::Object(budget).to_string())?])),
        }
    }
}
