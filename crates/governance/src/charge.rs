use hermod_types::Target;

use crate::{Limit, Measure};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallCharge {
    pub target: Target,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// In billionths of a dollar; none for a model without a price.
    pub cost: Option<u64>,
}

/// What a job has used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Calls that have used something, failed ones and those of fallbacks among them.
    pub calls: Vec<CallCharge>,
    /// Calls whose worker has died, or that were cut off: nobody knows what they have used.
    pub unknown_calls: u64,
}

impl Charge {
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
