use std::collections::BTreeMap;

use serde::Serialize;

use super::HISTORY_MINUTES;
use super::calls::middle_ms;
use crate::script::SCRIPTS;
use crate::{Admin, QueueError};

/// Minutes that are summed up together.
const PERIOD_MINUTES: u32 = 5;

/// What calls to a provider's model have come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderFigures {
    pub provider: String,
    /// As the provider was asked for it; `other` for those beyond a bound.
    pub model: String,
    /// Calls that have ended, less those that were cancelled.
    pub calls: u64,
    pub errors: u64,
    /// How long half of them took at most, exact to a tenth.
    pub p50_ms: Option<u64>,
    /// The same of 95 in 100.
    pub p95_ms: Option<u64>,
}

#[derive(Serialize)]
struct ProvidersArgs {
    periods: u32,
}

impl Admin {
    /// What calls have come to in the last `span_minutes`, up to [`HISTORY_MINUTES`], by provider and model. They are summed up in
    /// periods of five minutes, so the span is exact to that; the last some seconds are still in the workers.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn providers(&self, span_minutes: u32) -> Result<Vec<ProviderFigures>, QueueError> {
        let periods = span_minutes.clamp(1, HISTORY_MINUTES).div_ceil(PERIOD_MINUTES);
        let sums: Vec<(String, u64)> =
            self.on_first_shard(&SCRIPTS.history_providers, &ProvidersArgs { periods }).await?;
        Ok(figures(&sums))
    }
}

fn figures(sums: &[(String, u64)]) -> Vec<ProviderFigures> {
    type Calls = (u64, BTreeMap<u32, u64>);
    let mut by_name: BTreeMap<(&str, &str), Calls> = BTreeMap::new();
    for (field, number) in sums {
        let mut parts = field.splitn(3, '\n');
        let (Some(what), Some(provider), Some(model)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (errors, took) = by_name.entry((provider, model)).or_default();
        match what.parse() {
            Ok(bucket) => *took.entry(bucket).or_default() += number,
            Err(_) => *errors += number,
        }
    }
    let figures = |((provider, model), (errors, took)): ((&str, &str), Calls)| ProviderFigures {
        provider: provider.to_owned(),
        model: model.to_owned(),
        calls: took.values().sum(),
        errors,
        p50_ms: quantile(&took, 50),
        p95_ms: quantile(&took, 95),
    };
    by_name.into_iter().map(figures).collect()
}

/// What so many in a hundred took at most.
fn quantile(took: &BTreeMap<u32, u64>, percent: u64) -> Option<u64> {
    let rank = (took.values().sum::<u64>() * percent).div_ceil(100).max(1);
    let mut passed = 0;
    took.iter()
        .find(|(_, number)| {
            passed += **number;
            passed >= rank
        })
        .map(|(bucket, _)| middle_ms(*bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_all_workers_make_quantiles() {
        let sum = |field: &str, number| (field.to_owned(), number);
        // Bucket 26 is from 90 ms on, bucket 40 from 1024 ms.
        let sums = [
            sum("26\nopenai\na/b", 94),
            sum("40\nopenai\na/b", 6),
            sum("e\nopenai\na/b", 3),
            sum("0\nz\nx", 1),
            sum("odd", 1),
        ];
        let figures = figures(&sums);
        assert_eq!(figures.len(), 2);
        assert_eq!(
            figures[0],
            ProviderFigures {
                provider: "openai".to_owned(),
                model: "a/b".to_owned(),
                calls: 100,
                errors: 3,
                p50_ms: Some(middle_ms(26)),
                p95_ms: Some(middle_ms(40)),
            }
        );
        assert_eq!((figures[1].calls, figures[1].p95_ms), (1, Some(middle_ms(0))));
        assert_eq!(quantile(&BTreeMap::new(), 50), None);
    }
}
