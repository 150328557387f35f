//! `/api/governance/customers`

use hermod_types::governance::{BudgetOwner, Customer, Definitions, Team, VirtualKey};
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
pub(super) struct CustomerBody {
    name: Given<String>,
    calendar_aligned: Given<bool>,
    budgets: Given<Vec<BudgetBody>>,
    budget: Given<serde_json::Map<String, Value>>,
    rate_limit: Given<RateLimitBody>,
}

read_from_object!(CustomerBody);

impl Limited for Customer {
    type Body = CustomerBody;
    const TITLE: &'static str = "Customer";
    const MEMBER: &'static str = "customer";
    const MEMBERS: &'static str = "customers";
    const FILTERS: &'static [&'static str] = &["search"];

    fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn budget_owner(&self) -> BudgetOwner {
        BudgetOwner::Customer(self.id.clone())
    }

    fn rate_limits(&self) -> Vec<&str> {
        self.rate_limit_id.iter().map(String::as_str).collect()
    }

    fn is_found(&self, query: &Query) -> bool {
        query.finds(&[&self.name, &self.id])
    }

    fn set(&mut self, body: CustomerBody, draft: &mut Draft) -> Result<(), ApiError> {
        let CustomerBody { name, calendar_aligned, budgets, budget, rate_limit } = body;
        if let Some(name) = name.value() {
            self.name = name;
        }
        if self.name.trim().is_empty() {
            return Err(ApiError::invalid("Customer name is required"));
        }
        self.calendar_aligned = calendar_aligned.value().unwrap_or(self.calendar_aligned);
        let owner = BudgetOwner::Customer(self.id.clone());
        LimitsBody { budgets, budget, rate_limit }.set(draft, &owner, &mut self.rate_limit_id)?;
        draft.put(self.clone())
    }

    fn shown(&self, shown: &Shown<'_>) -> Value {
        shown.customer(self)
    }

    fn join(&self, all: &Definitions, shown: &mut Value) {
        let keys = all.virtual_keys.iter().filter(|key| key.customer_id.as_deref() == Some(&self.id));
        shown["virtual_keys"] = keys.map(|key| json!({"id": key.id, "name": key.name})).collect();
    }

    /// Its teams and keys go on without it.
    fn detach(&self, draft: &mut Draft) -> Result<(), ApiError> {
        let keys: Vec<VirtualKey> = (draft.all.virtual_keys.iter())
            .filter(|key| key.customer_id.as_deref() == Some(&self.id))
            .cloned()
            .collect();
        for key in keys {
            draft.put(VirtualKey { customer_id: None, ..key })?;
        }
        let teams: Vec<Team> = (draft.all.teams.iter())
            .filter(|team| team.customer_id.as_deref() == Some(&self.id))
            .cloned()
            .collect();
        for team in teams {
            draft.put(Team { customer_id: None, ..team })?;
        }
        Ok(())
    }
}
