//! What a call has used, and what that costs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use hermod_governance::{CallCharge, Charge, Estimate, PricedCall, Prices, estimate};
use hermod_providers::{Bill, Key};
use hermod_queue::JobRequest;
use hermod_types::{CallUsage, Operation, Target};

use crate::models::Models;

/// Models that are warned of in a process: names are the clients' choice.
const MOST_MODELS: usize = 200;

/// What all jobs of a worker have in common to account for their calls.
pub(crate) struct Spending {
    prices: Prices,
    models: Arc<Models>,
    /// Targets that were warned of.
    unpriced: Mutex<HashSet<String>>,
}

/// A call that has ended, in whatever way.
pub(crate) struct EndedCall<'a> {
    pub(crate) operation: Operation,
    pub(crate) target: &'a Target,
    pub(crate) key: &'a Key,
    /// The id of the job's virtual key.
    pub(crate) owner: Option<&'a str>,
    pub(crate) bill: &'a Bill,
    /// Whether the provider may charge for it though it gave no result.
    pub(crate) may_be_billed: bool,
}

impl Spending {
    pub(crate) fn new(prices: Prices, models: Arc<Models>) -> Self {
        Self { prices, models, unpriced: Mutex::default() }
    }

    /// What a job may use at most.
    pub(crate) fn estimate(&self, request: &JobRequest, body: &str) -> Estimate {
        let prices = self.prices.for_owner(request.owner.as_deref());
        estimate(request.operation, body, request.media_bytes, &request.targets, &prices)
    }

    /// What a call has used, if its provider says so, and of how many requests nobody knows.
    pub(crate) fn of_call(&self, call: &EndedCall<'_>) -> (Option<CallCharge>, u64) {
        let usages = call.bill.usages();
        let unknown = call.bill.unknown();
        if usages.is_empty() {
            // An answer that is none and says nothing may have its price, too.
            let unknown = if call.may_be_billed { unknown.max(1) } else { unknown };
            return (None, unknown);
        }
        let priced = PricedCall {
            operation: call.operation,
            target: call.target,
            resolved: Some(call.key.model(call.target.model())),
            provider_key: call.key.name(),
        };
        let cost = self.prices.for_owner(call.owner).cost(&priced, &usages);
        let sum = |tokens: fn(&CallUsage) -> Option<u64>| usages.iter().filter_map(tokens).sum::<u64>();
        let (input, output) = (sum(|usage| usage.input_tokens), sum(|usage| usage.output_tokens));
        self.count(call.target, input, output, cost.is_some());
        let target = call.target.clone();
        (Some(CallCharge { target, input_tokens: input, output_tokens: output, cost }), unknown)
    }

    fn count(&self, target: &Target, input: u64, output: u64, is_priced: bool) {
        // Its provider has answered for it.
        self.models.with(target, true, |model| {
            model.tokens(input, output);
            if !is_priced {
                model.unpriced();
            }
        });
        if is_priced {
            return;
        }
        if is_new(&self.unpriced, target) {
            tracing::warn!(%target, "the model has no price: its calls cost null, and count towards no budget");
        }
    }
}

/// Whether it was not among them, and there was room for it.
fn is_new(targets: &Mutex<HashSet<String>>, target: &Target) -> bool {
    let mut targets = targets.lock().unwrap_or_else(PoisonError::into_inner);
    targets.len() < MOST_MODELS && targets.insert(target.to_string())
}

/// Counts what a job that has ended has used, by the name of its virtual key.
pub(crate) fn count_charged(key: &str, charge: &Charge) {
    let sum = |tokens: fn(&CallCharge) -> u64| charge.calls.iter().map(tokens).sum::<u64>();
    let key = || key.to_owned();
    for (kind, tokens) in
        [("input", sum(|call| call.input_tokens)), ("output", sum(|call| call.output_tokens))]
    {
        if tokens > 0 {
            metrics::counter!("hermod_charged_tokens_total", "key" => key(), "kind" => kind)
                .increment(tokens);
        }
    }
    let cost: u64 = charge.calls.iter().filter_map(|call| call.cost).sum();
    if cost > 0 {
        metrics::counter!("hermod_charged_nanodollars_total", "key" => key()).increment(cost);
    }
    if charge.unknown_calls > 0 {
        metrics::counter!("hermod_unknown_calls_total", "key" => key()).increment(charge.unknown_calls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_bounded() {
        let warned = Mutex::default();
        let target = |number: usize| format!("a/{number}").parse::<Target>().unwrap();
        for number in 0..1000 {
            assert_eq!(is_new(&warned, &target(number)), number < MOST_MODELS);
        }
        assert!(!is_new(&warned, &target(0)));
    }
}
