//! The metrics of each model, looked up once: their labels are made and hashed for the first call, not for each.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use hermod_types::Target;
use metrics::{Counter, Histogram};

use crate::counters::CallOutcome;

/// Models that metrics tell apart in a process: names are the clients' choice.
const MOST_MODELS: usize = 200;
/// What metrics call all others.
const OTHERS: &str = "other";

/// The metrics of all models that were called. A model has its own once the configuration names it, or its provider has answered
/// for it, as long as there is room.
pub(crate) struct Models {
    named: RwLock<HashMap<Target, ModelMetrics>>,
    /// Of each configured provider.
    others: HashMap<String, ModelMetrics>,
}

/// The metrics of one model. What did not happen yet is not there.
pub(crate) struct ModelMetrics {
    provider: String,
    model: String,
    seconds: [OnceLock<Histogram>; 3],
    input: OnceLock<Counter>,
    output: OnceLock<Counter>,
    unpriced: OnceLock<Counter>,
}

impl Models {
    pub(crate) fn new<'a>(providers: impl Iterator<Item = &'a str>) -> Self {
        let others = providers.map(|provider| (provider.to_owned(), ModelMetrics::new(provider, OTHERS)));
        Self { named: RwLock::default(), others: others.collect() }
    }

    /// Calls `count` with the target's metrics, or with those of its provider's other models. `is_known`: the name is more than a
    /// client's word. Nothing is counted of a provider that is not configured.
    pub(crate) fn with(&self, target: &Target, is_known: bool, count: impl FnOnce(&ModelMetrics)) {
        if let Some(model) = self.named.read().unwrap_or_else(PoisonError::into_inner).get(target) {
            return count(model);
        }
        let Some(others) = self.others.get(target.provider()) else { return };
        if is_known {
            let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
            if named.len() < MOST_MODELS || named.contains_key(target) {
                let new = || ModelMetrics::new(target.provider(), target.model());
                return count(named.entry(target.clone()).or_insert_with(new));
            }
        }
        count(others);
    }
}

impl ModelMetrics {
    fn new(provider: &str, model: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            seconds: Default::default(),
            input: OnceLock::new(),
            output: OnceLock::new(),
            unpriced: OnceLock::new(),
        }
    }

    /// Counts a call that took so long.
    pub(crate) fn call(&self, outcome: CallOutcome, elapsed: Duration) {
        let [success, error, cancelled] = &self.seconds;
        let seconds = match outcome {
            CallOutcome::Success => success,
            CallOutcome::Error => error,
            CallOutcome::Cancelled => cancelled,
        };
        let new = || metrics::histogram!("hermod_provider_call_duration_seconds", "provider" => self.provider.clone(), "model" => self.model.clone(), "outcome" => outcome.as_str());
        seconds.get_or_init(new).record(elapsed);
    }

    /// Counts the tokens of a call.
    pub(crate) fn tokens(&self, input: u64, output: u64) {
        for (counter, kind, tokens) in [(&self.input, "input", input), (&self.output, "output", output)] {
            let new = || metrics::counter!("hermod_tokens_total", "provider" => self.provider.clone(), "model" => self.model.clone(), "kind" => kind);
            if tokens > 0 {
                counter.get_or_init(new).increment(tokens);
            }
        }
    }

    /// Counts a call that has used something without a known price.
    pub(crate) fn unpriced(&self) {
        let new = || metrics::counter!("hermod_unpriced_calls_total", "provider" => self.provider.clone(), "model" => self.model.clone());
        self.unpriced.get_or_init(new).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_more_than_a_clients_word() {
        let models = Models::new(["a"].into_iter());
        let name = |target: &str, is_known| {
            let mut name = None;
            models.with(&target.parse().unwrap(), is_known, |model| name = Some(model.model.clone()));
            name
        };
        assert_eq!(name("a/invented", false).as_deref(), Some(OTHERS));
        assert_eq!(name("a/0", true).as_deref(), Some("0"));
        assert_eq!(name("a/0", false).as_deref(), Some("0"), "it was known before");
        for number in 1..1000 {
            let expected = if number < MOST_MODELS { number.to_string() } else { OTHERS.to_owned() };
            assert_eq!(name(&format!("a/{number}"), true), Some(expected));
        }
        assert_eq!(name("b/0", true), None, "its provider is not configured");
    }
}
