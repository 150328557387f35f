//! `/api/governance/teams`

use hermod_types::governance::{BudgetOwner, Definitions, Team, VirtualKey};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{BudgetBody, Given, LimitsBody, RateLimitBody};
use super::draft::Draft;
use super::limited::Limited;
use super::page::Query;
use super::shown::Shown;
use crate::error::ApiError;
use crate::object::read_from_object;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub(super) struct TeamBody {
    name: Given<String>,
    customer_id: Given<String>,
    calendar_aligned: Given<bool>,
    budgets: Given<Vec<BudgetBody>>,
    budget: Given<serde_json::Map<String, Value>>,
    rate_limit: Given<RateLimitBody>,
}

read_from_object!(TeamBody);

impl Limited for Team {
    type Body = TeamBody;
    const TITLE: &'static str = "Team";
    const MEMBER: &'static str = "team";
    const MEMBERS: &'static str = "teams";
    const FILTERS: &'static [&'static str] = &["search", "customer_id"];

    fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn budget_owner(&self) -> BudgetOwner {
        BudgetOwner::Team(self.id.clone())
    }

    fn rate_limits(&self) -> Vec<&str> {
        self.rate_limit_id.iter().map(String::as_str).collect()
    }

    fn is_found(&self, query: &Query) -> bool {
        query.finds(&[&self.name, &self.id]) && query.is("customer_id", self.customer_id.as_deref())
    }

    fn set(&mut self, body: TeamBody, draft: &mut Draft) -> Result<(), ApiError> {
        let TeamBody { name, customer_id, calendar_aligned, budgets, budget, rate_limit } = body;
        if let Some(name) = name.value() {
            self.name = name;
        }
        if self.name.trim().is_empty() {
            return Err(ApiError::invalid("Team name is required"));
        }
        customer_id.set_text(&mut self.customer_id);
        self.calendar_aligned = calendar_aligned.value().unwrap_or(self.calendar_aligned);
        let owner = BudgetOwner::Team(self.id.clone());
        LimitsBody { budgets, budget, rate_limit }.set(draft, &owner, &mut self.rate_limit_id)?;
        draft.put(self.clone())
    }

    fn shown(&self, shown: &Shown<'_>) -> Value {
        shown.team(self)
    }

    fn join(&self, all: &Definitions, shown: &mut Value) {
        let keys = all.virtual_keys.iter().filter(|key| key.team_id.as_deref() == Some(&self.id));
        shown["virtual_keys"] = keys.map(|key| json!({"id": key.id, "name": key.name})).collect();
    }

    /// Its keys go on without it.
    fn detach(&self, draft: &mut Draft) -> Result<(), ApiError> {
        let keys: Vec<VirtualKey> = (draft.all.virtual_keys.iter())
            .filter(|key| key.team_id.as_deref() == Some(&self.id))
            .cloned()
            .collect();
        for key in keys {
            draft.put(VirtualKey { team_id: None, ..key })?;
        }
        Ok(())
    }
}
