use hermod_types::{CallUsage, ServiceTier};

/// Trillionths of a dollar in a billionth: prices of a token are finer than amounts.
const PICOS: u128 = 1000;
/// Tokens in what lists call `k`.
const THOUSAND: u64 = 1000;

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A token of a prompt.
    Input,
    CacheRead,
    CacheWrite,
    /// Written to a cache for an hour.
    CacheHour,
    InputAudio,
    InputImage,
    Output,
    Reasoning,
    OutputAudio,
    OutputImage,
    Character,
    Second,
    /// A second, as lists of transcriptions say it a second time.
    SecondOfOutput,
    /// An image that is made.
    Image,
    /// The same, in lists that count it as input.
    ImageOfInput,
    /// A search of a rerank.
    Search,
    Page,
    Request,
}

/// The price of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) unit: Unit,
    pub(super) tier: ServiceTier,
    /// From how many thousands of tokens of the prompt on; 0 for all.
    pub(super) above: u32,
    /// In trillionths of a dollar.
    pub(super) picos: u64,
}

/// What a model costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    pub(super) rates: Vec<Rate>,
    /// The most tokens that it generates.
    pub(super) max_output: Option<u64>,
}

impl Price {
    /// The most tokens that the model generates, if that is known.
    pub const fn max_output(&self) -> Option<u64> {
        self.max_output
    }

    /// Whether tokens have a price, and not only calls, images or what else.
    pub fn is_by_tokens(&self) -> bool {
        use Unit::{Input, InputAudio, InputImage, Output, OutputAudio, OutputImage};
        let of_tokens = [Input, Output, InputAudio, InputImage, OutputAudio, OutputImage];
        self.rates.iter().any(|rate| rate.picos > 0 && of_tokens.contains(&rate.unit))
    }

    /// What this has cost in billionths of a dollar, rounded once; none where it cannot be said.
    pub fn cost(&self, usage: &CallUsage) -> Option<u64> {
        if let Some(stated) = usage.cost {
            return Some(stated.as_nanos());
        }
        let picos = self.picos(usage)?;
        u64::try_from((picos + PICOS / 2) / PICOS).ok()
    }

    fn picos(&self, usage: &CallUsage) -> Option<u128> {
        if !self.rates.is_empty() && self.rates.iter().all(|rate| rate.picos == 0) {
            return Some(0);
        }
        let has_tokens = usage.input_tokens.is_some() || usage.output_tokens.is_some();
        let by_tokens = if has_tokens && self.is_by_tokens() { Some(self.of_tokens(usage)?) } else { None };
        let by_units = [
            usage.searches.and_then(|searches| self.of(searches, &[Unit::Search], usage)),
            usage.pages.and_then(|pages| self.of(pages, &[Unit::Page], usage)),
            self.of(1, &[Unit::Request], usage),
            // What is sold by tokens is not sold by the piece as well, though lists have both.
            usage
                .characters
                .filter(|_| by_tokens.is_none())
                .and_then(|characters| self.of(characters, &[Unit::Character], usage)),
            usage
                .images
                .filter(|_| by_tokens.is_none())
                .and_then(|images| self.of(images, &[Unit::Image, Unit::ImageOfInput], usage)),
            usage.audio_ms.filter(|_| by_tokens.is_none()).and_then(|millis| {
                self.of(millis, &[Unit::Second, Unit::SecondOfOutput], usage).map(|picos| picos / 1000)
            }),
        ];
        by_units.into_iter().chain([by_tokens]).flatten().reduce(u128::saturating_add)
    }

    /// What so many units cost, by the first of these that has a price.
    fn of(&self, count: u64, units: &[Unit], usage: &CallUsage) -> Option<u128> {
        let rate = units.iter().find_map(|unit| self.rate(*unit, usage))?;
        Some(u128::from(count) * u128::from(rate))
    }

    /// None if there are tokens without a price.
    fn of_tokens(&self, usage: &CallUsage) -> Option<u128> {
        let mut sum = 0_u128;
        let mut left = usage.input_tokens.unwrap_or(0);
        let mut take = |left: &mut u64, tokens: u64, units: &[Unit]| {
            let tokens = tokens.min(*left);
            if tokens == 0 {
                return Some(());
            }
            *left -= tokens;
            sum = sum.saturating_add(self.of(tokens, units, usage)?);
            Some(())
        };
        let hour = usage.cache_hour_tokens.min(usage.cache_write_tokens);
        take(&mut left, usage.cache_read_tokens, &[Unit::CacheRead, Unit::Input])?;
        take(&mut left, hour, &[Unit::CacheHour, Unit::CacheWrite, Unit::Input])?;
        take(&mut left, usage.cache_write_tokens - hour, &[Unit::CacheWrite, Unit::Input])?;
        take(&mut left, usage.input_audio_tokens, &[Unit::InputAudio, Unit::Input])?;
        take(&mut left, usage.input_image_tokens, &[Unit::InputImage, Unit::Input])?;
        take(&mut left, u64::MAX, &[Unit::Input, Unit::InputAudio])?;
        let mut left = usage.output_tokens.unwrap_or(0);
        take(&mut left, usage.output_audio_tokens, &[Unit::OutputAudio, Unit::Output])?;
        take(&mut left, usage.output_image_tokens, &[Unit::OutputImage, Unit::Output])?;
        take(&mut left, usage.reasoning_tokens, &[Unit::Reasoning, Unit::Output])?;
        take(&mut left, u64::MAX, &[Unit::Output, Unit::OutputImage, Unit::OutputAudio])?;
        Some(sum)
    }

    /// The price of a unit for this prompt: rather that for its length than that for its tier.
    pub(super) fn rate(&self, unit: Unit, usage: &CallUsage) -> Option<u64> {
        let input = usage.input_tokens.unwrap_or(0);
        let applies = |rate: &&Rate| {
            rate.unit == unit
                && (rate.tier == usage.service_tier || rate.tier == ServiceTier::Standard)
                && (rate.above == 0 || input > u64::from(rate.above) * THOUSAND)
        };
        let best = self.rates.iter().filter(applies);
        let best = best.max_by_key(|rate| (rate.above, rate.tier == usage.service_tier))?;
        Some(best.picos)
    }

    /// The same with what `patch` has in its place.
    #[must_use]
    pub(super) fn patched(&self, patch: &Self) -> Self {
        let is_replaced = |rate: &Rate| {
            patch
                .rates
                .iter()
                .any(|new| (new.unit, new.tier, new.above) == (rate.unit, rate.tier, rate.above))
        };
        let kept = self.rates.iter().filter(|rate| !is_replaced(rate));
        Self {
            rates: kept.chain(&patch.rates).copied().collect(),
            max_output: patch.max_output.or(self.max_output),
        }
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::governance::Money;

    use super::*;
    use crate::prices::table::price;

    fn of(json: &str) -> Price {
        price(&serde_json::from_str(json).unwrap()).unwrap()
    }

    fn tokens(input: u64, output: u64) -> CallUsage {
        CallUsage { input_tokens: Some(input), output_tokens: Some(output), ..CallUsage::default() }
    }

    #[test]
    fn tokens_cost_what_their_kind_costs() {
        let price = of(
            r#"{"input_cost_per_token":3e-06,"output_cost_per_token":1.5e-05,"cache_read_input_token_cost":3e-07,"cache_creation_input_token_cost":3.75e-06,"cache_creation_input_token_cost_above_1hr":6e-06}"#,
        );
        assert_eq!(price.cost(&tokens(1000, 100)), Some(3_000_000 + 1_500_000));
        let cached = CallUsage { cache_read_tokens: 600, cache_write_tokens: 300, ..tokens(1000, 0) };
        assert_eq!(price.cost(&cached), Some(600 * 300 + 300 * 3750 + 100 * 3000));
        let hour = CallUsage { cache_hour_tokens: 200, ..cached };
        assert_eq!(price.cost(&hour), Some(600 * 300 + 200 * 6000 + 100 * 3750 + 100 * 3000));
        let more = CallUsage { cache_read_tokens: 5000, ..tokens(1000, 0) };
        assert_eq!(price.cost(&more), Some(1000 * 300), "no more than there are");
        let thinks = CallUsage { reasoning_tokens: 40, ..tokens(0, 100) };
        assert_eq!(price.cost(&thinks), Some(100 * 15_000), "thoughts cost what words do");
        let price = of(
            r#"{"output_cost_per_token":1e-06,"output_cost_per_reasoning_token":2e-06,"input_cost_per_token":0}"#,
        );
        assert_eq!(price.cost(&thinks), Some(60 * 1000 + 40 * 2000));
    }

    #[test]
    fn a_long_prompt_has_its_own_price_and_so_has_a_tier() {
        let price = of(
            r#"{"input_cost_per_token":1e-06,"input_cost_per_token_above_128k_tokens":2e-06,"input_cost_per_token_above_272k_tokens":4e-06,"input_cost_per_token_priority":3e-06,"output_cost_per_token":0.00001,"output_cost_per_token_above_272k_tokens":0.00002,"input_cost_per_token_above_272k_tokens_flex":1e-06}"#,
        );
        let cost = |input, tier| price.cost(&CallUsage { service_tier: tier, ..tokens(input, 1) }).unwrap();
        let standard = ServiceTier::Standard;
        assert_eq!(cost(128_000, standard), 128_000 * 1000 + 10_000, "only above");
        assert_eq!(cost(128_001, standard), 128_001 * 2000 + 10_000);
        assert_eq!(cost(300_000, standard), 300_000 * 4000 + 20_000);
        assert_eq!(cost(1000, ServiceTier::Priority), 1000 * 3000 + 10_000);
        assert_eq!(cost(1000, ServiceTier::Flex), 1000 * 1000 + 10_000, "no price of its own");
        assert_eq!(cost(300_000, ServiceTier::Flex), 300_000 * 1000 + 20_000);
    }

    #[test]
    fn what_is_no_text_has_units_of_its_own() {
        let none = CallUsage::default();
        for (price, usage, cost) in [
            (
                r#"{"input_cost_per_character":1.5e-05}"#,
                CallUsage { characters: Some(100), ..none.clone() },
                Some(1_500_000),
            ),
            (
                r#"{"input_cost_per_second":0.0001,"output_cost_per_second":0.0001}"#,
                CallUsage { audio_ms: Some(2500), ..none.clone() },
                Some(250_000),
            ),
            (
                r#"{"output_cost_per_image":0.04}"#,
                CallUsage { images: Some(3), ..none.clone() },
                Some(120_000_000),
            ),
            (
                r#"{"input_cost_per_image":0.04}"#,
                CallUsage { images: Some(1), ..none.clone() },
                Some(40_000_000),
            ),
            (
                r#"{"input_cost_per_query":0.002,"input_cost_per_token":0.0}"#,
                CallUsage { searches: Some(2), ..none.clone() },
                Some(4_000_000),
            ),
            (
                r#"{"ocr_cost_per_page":0.004}"#,
                CallUsage { pages: Some(5), ..none.clone() },
                Some(20_000_000),
            ),
            (
                r#"{"input_cost_per_request":0.001,"input_cost_per_token":1e-06,"output_cost_per_token":0}"#,
                tokens(1000, 9),
                Some(2_000_000),
            ),
            // Sold by tokens, where they are counted.
            (
                r#"{"input_cost_per_token":3e-07,"output_cost_per_token":2.5e-06,"output_cost_per_image":0.039,"output_cost_per_image_token":3e-05}"#,
                CallUsage { images: Some(1), output_image_tokens: 1290, ..tokens(10, 1300) },
                Some(10 * 300 + 1290 * 30_000 + 10 * 2500),
            ),
            (
                r#"{"input_cost_per_token":5e-06,"input_cost_per_image_token":1e-05,"output_cost_per_image_token":4e-05}"#,
                CallUsage { input_image_tokens: 50, ..tokens(60, 100) },
                Some(10 * 5000 + 50 * 10_000 + 100 * 40_000),
            ),
            // What was used is not said, or has no price.
            (r#"{"input_cost_per_token":3e-07}"#, none.clone(), None),
            (r#"{"input_cost_per_token":3e-07}"#, tokens(5, 1), None),
            (r#"{"output_cost_per_image":0.04}"#, none.clone(), None),
            (r#"{"output_cost_per_image":0.04}"#, tokens(5, 5), None),
            // What is free is free, whatever was used; and what the provider says counts.
            (r#"{"input_cost_per_token":0,"output_cost_per_token":0.0}"#, none, Some(0)),
            (
                r#"{"input_cost_per_token":1}"#,
                CallUsage { cost: Some(Money::from_nanos(7)), ..tokens(5, 5) },
                Some(7),
            ),
        ] {
            assert_eq!(of(price).cost(&usage), cost, "{price} {usage:?}");
        }
    }

    #[test]
    fn a_sum_is_rounded_once() {
        // 0.4 billionths each.
        let price = of(r#"{"input_cost_per_token":4e-10,"output_cost_per_token":4e-10}"#);
        assert_eq!(price.cost(&tokens(1, 1)), Some(1));
        assert_eq!(price.cost(&tokens(1, 0)), Some(0));
        assert_eq!(price.cost(&tokens(10_000_000_000, 5)), Some(4_000_000_002));
    }

    #[test]
    fn sums_are_exact() {
        // Against fractions of whole numbers: a linear congruence, so that it is the same each time.
        let mut seed = 7_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 20) % below
        };
        for _ in 0..10_000 {
            let (input, output) = (next(100_000_000), next(100_000_000));
            let (in_tokens, out_tokens, read) = (next(2_000_000), next(200_000), next(3_000_000));
            let json =
                format!(r#"{{"input_cost_per_token":{input}e-12,"output_cost_per_token":{output}E-12}}"#);
            let usage = CallUsage { cache_read_tokens: read, ..tokens(in_tokens, out_tokens) };
            let picos =
                u128::from(input) * u128::from(in_tokens) + u128::from(output) * u128::from(out_tokens);
            let nanos = picos / 1000 + u128::from(picos % 1000 >= 500);
            assert_eq!(of(&json).cost(&usage).map(u128::from), Some(nanos), "{json} {usage:?}");
        }
    }
}
