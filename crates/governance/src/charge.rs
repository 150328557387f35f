use hermod_types::governance::Money;
use hermod_types::{Target, UsageCharged};
use serde::{Deserialize, Serialize};

use crate::{Limit, Measure};

/// Calls that a charge tells apart; of more, those to one target are one.
const MOST_CALLS: usize = 100;

/// What a job may use at most, as far as that is known before it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Bytes of its prompt / 4, and the most that it may generate.
    pub tokens: u64,
    /// In billionths of a dollar, at the price of its dearest target; 0 for one without a price.
    pub cost: u64,
}

impl Estimate {
    /// How much of a limit is reserved.
    pub const fn amount(self, limit: &Limit) -> u64 {
        match limit.measure {
            Measure::Requests | Measure::Running => 1,
            Measure::Tokens => self.tokens,
            Measure::Cost => self.cost,
        }
    }
}

/// What one call has used, as its provider says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCharge {
    pub target: Target,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// In billionths of a dollar; none for a model without a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
}

/// What a job has used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Charge {
    /// Calls that have used something, failed ones and those of fallbacks among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallCharge>,
    /// Calls whose worker has died, or that were cut off: nobody knows what they have used.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown_calls: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Charge {
    /// Whether nothing is noted.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.unknown_calls == 0
    }

    /// Adds a call. Of very many, those to one target are summed up, so that it stays small.
    pub fn add(&mut self, call: CallCharge) {
        if self.calls.len() >= MOST_CALLS {
            let is_like = |other: &&mut CallCharge| {
                other.target == call.target && other.cost.is_some() == call.cost.is_some()
            };
            if let Some(sum) = self.calls.iter_mut().rev().find(is_like) {
                sum.input_tokens = sum.input_tokens.saturating_add(call.input_tokens);
                sum.output_tokens = sum.output_tokens.saturating_add(call.output_tokens);
                sum.cost = sum.cost.zip(call.cost).map(|(a, b)| a.saturating_add(b));
                return;
            }
        }
        self.calls.push(call);
    }

    /// The sum of what its calls have cost; none if one of them has no price.
    pub fn cost(&self) -> Option<Money> {
        let costs = self.calls.iter().map(|call| call.cost);
        costs.sum::<Option<u64>>().map(Money::from_nanos)
    }

    /// What a client is told that its job has used, if that is anything.
    pub fn usage_charged(&self) -> Option<UsageCharged> {
        let is_nothing =
            |call: &CallCharge| call.input_tokens == 0 && call.output_tokens == 0 && call.cost == Some(0);
        if self.calls.iter().all(is_nothing) {
            return None;
        }
        Some(UsageCharged {
            requests: 1,
            input_tokens: self.calls.iter().map(|call| call.input_tokens).sum(),
            output_tokens: self.calls.iter().map(|call| call.output_tokens).sum(),
            cost: self.cost(),
        })
    }

    /// How much of a limit was used.
    pub fn amount(&self, limit: &Limit) -> u64 {
        let counted = self.calls.iter().filter(|call| limit.scope.covers(&call.target));
        match limit.measure {
            Measure::Requests => 1,
            Measure::Running => 0,
            Measure::Tokens => counted.map(|call| call.input_tokens.saturating_add(call.output_tokens)).sum(),
            Measure::Cost => counted.filter_map(|call| call.cost).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(target: &str, cost: Option<u64>) -> CallCharge {
        CallCharge { target: target.parse().unwrap(), input_tokens: 3, output_tokens: 2, cost }
    }

    #[test]
    fn the_cost_is_the_sum_or_unknown() {
        let mut charge = Charge::default();
        assert_eq!((charge.usage_charged(), charge.cost()), (None, Some(Money::default())));
        charge.add(CallCharge { input_tokens: 0, output_tokens: 0, ..call("a/b", Some(0)) });
        assert_eq!(charge.usage_charged(), None, "nothing was used");
        charge.add(call("a/b", Some(5)));
        charge.add(call("c/d", Some(7)));
        assert_eq!(charge.cost(), Some(Money::from_nanos(12)));
        let used = UsageCharged { requests: 1, input_tokens: 6, output_tokens: 4, cost: charge.cost() };
        assert_eq!(charge.usage_charged(), Some(used));
        charge.add(call("c/d", None));
        assert_eq!(charge.cost(), None);
        assert_eq!(charge.usage_charged().unwrap().input_tokens, 9);
    }

    #[test]
    fn it_comes_back_from_a_record_as_it_was() {
        let charge = Charge { calls: vec![call("a/b", Some(5)), call("c/d", None)], unknown_calls: 1 };
        let text = serde_json::to_string(&charge).unwrap();
        assert_eq!(serde_json::from_str::<Charge>(&text).unwrap(), charge);
        assert_eq!(serde_json::to_string(&Charge::default()).unwrap(), "{}");
    }

    #[test]
    fn very_many_calls_are_summed_up() {
        let mut charge = Charge::default();
        for number in 0..1000 {
            charge.add(call(if number % 2 == 0 { "a/b" } else { "c/d" }, (number % 3 > 0).then_some(1)));
        }
        assert!(charge.calls.len() <= MOST_CALLS, "{}", charge.calls.len());
        let tokens: u64 = charge.calls.iter().map(|call| call.input_tokens).sum();
        let cost: u64 = charge.calls.iter().filter_map(|call| call.cost).sum();
        assert_eq!((tokens, cost, charge.cost()), (3000, 666, None));
    }
}
