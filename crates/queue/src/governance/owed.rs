use std::collections::BTreeMap;
use std::sync::Arc;

use hermod_governance::{CallCharge, Charge, Limit};
use hermod_types::Target;
use serde::{Deserialize, Serialize};

/// What a job has used, to be counted once: it stands beside the job's end, in the outbox of its shard, until that is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// Of the start that has ended.
    pub fence: u64,
    /// How much was used of each limit, by its name; of those that the job holds and that are not here, nothing.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    #[serde(default)]
    pub rows: Vec<OwedRow>,
}

/// What a job has used of one model. In Redis it is a list in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Row", from = "Row")]
pub struct OwedRow {
    /// As `provider/model`; empty where nobody knows.
    pub model: String,
    /// Jobs that were admitted.
    pub requests: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// In billionths of a dollar.
    pub cost: u64,
    /// Calls to models without a price.
    pub unpriced_calls: u64,
    /// Calls of which nobody knows what they have used.
    pub unknown_calls: u64,
}

type Row = (String, u64, u64, u64, u64, u64, u64);

impl From<OwedRow> for Row {
    fn from(row: OwedRow) -> Self {
        let OwedRow { model, requests, input_tokens, output_tokens, cost, unpriced_calls, unknown_calls } =
            row;
        (model, requests, input_tokens, output_tokens, cost, unpriced_calls, unknown_calls)
    }
}

impl From<Row> for OwedRow {
    fn from(row: Row) -> Self {
        let (model, requests, input_tokens, output_tokens, cost, unpriced_calls, unknown_calls) = row;
        Self { model, requests, input_tokens, output_tokens, cost, unpriced_calls, unknown_calls }
    }
}

impl Owed {
    /// That of a job whose first target is `primary`: the job itself counts there, as do its unknown calls.
    pub fn new(fence: u64, primary: Option<&Target>, limits: &[Arc<Limit>], charge: &Charge) -> Self {
        let amounts = limits.iter().map(|limit| (limit.name.clone(), charge.amount(limit)));
        let mut rows = vec![OwedRow {
            model: primary.map(Target::to_string).unwrap_or_default(),
            requests: 1,
            unknown_calls: charge.unknown_calls,
            ..OwedRow::default()
        }];
        for call in &charge.calls {
            add(&mut rows, call);
        }
        Self { fence, limits: amounts.filter(|(_, amount)| *amount > 0).collect(), rows }
    }

    /// That of a job of which nobody knows what it has done.
    pub(super) fn unknown(fence: u64) -> Self {
        let row = OwedRow { unknown_calls: 1, ..OwedRow::default() };
        Self { fence, limits: BTreeMap::new(), rows: vec![row] }
    }

    /// As it stands in Redis.
    pub fn to_json(&self) -> String {
        // Strings and integers have no way to fail to be written to memory.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn add(rows: &mut Vec<OwedRow>, call: &CallCharge) {
    let model = call.target.to_string();
    let index = rows.iter().position(|row| row.model == model).unwrap_or_else(|| {
        rows.push(OwedRow { model, ..OwedRow::default() });
        rows.len() - 1
    });
    if let Some(row) = rows.get_mut(index) {
        row.input_tokens = row.input_tokens.saturating_add(call.input_tokens);
        row.output_tokens = row.output_tokens.saturating_add(call.output_tokens);
        row.cost = row.cost.saturating_add(call.cost.unwrap_or_default());
        row.unpriced_calls += u64::from(call.cost.is_none());
    }
}

#[cfg(test)]
mod tests {
    use hermod_governance::{Measure, Scope, Window};

    use super::*;

    fn call(target: &str, tokens: u64, cost: Option<u64>) -> CallCharge {
        CallCharge { target: target.parse().unwrap(), input_tokens: tokens, output_tokens: 1, cost }
    }

    fn limit(name: &str, measure: Measure, scope: Scope) -> Arc<Limit> {
        let (name, id) = (name.to_owned(), name.to_owned());
        Arc::new(Limit { name, id, measure, max: 10, window: Window::Never, scope })
    }

    #[test]
    fn each_call_counts_for_its_model_and_for_the_limits_that_cover_it() {
        let charge = Charge {
            calls: vec![call("a/b", 10, Some(5)), call("c/d", 20, None), call("a/b", 30, Some(6))],
            unknown_calls: 2,
        };
        let limits = [
            limit("requests:k", Measure::Requests, Scope::Key("k".to_owned())),
            limit("tokens:a", Measure::Tokens, Scope::Provider("a".to_owned())),
            limit("budget:k", Measure::Cost, Scope::Key("k".to_owned())),
            limit("key:k", Measure::Running, Scope::Key("k".to_owned())),
            limit("tokens:x", Measure::Tokens, Scope::Provider("x".to_owned())),
        ];
        let owed = Owed::new(3, Some(&"a/b".parse().unwrap()), &limits, &charge);
        assert_eq!(
            owed.to_json(),
            r#"{"fence":3,"limits":{"budget:k":11,"requests:k":1,"tokens:a":42},"rows":[["a/b",1,40,2,11,0,2],["c/d",0,20,1,0,1,0]]}"#
        );
        assert_eq!(serde_json::from_str::<Owed>(&owed.to_json()).unwrap(), owed);
    }
}
