use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use hermod_types::config::ProviderKind;
use hermod_types::{RawObject, ServiceTier};
use serde_json::value::RawValue;

use super::price::{Price, Rate, Unit};

/// The table that ships, made by `deploy/prices.py`.
const SHIPPED: &str = include_str!("../../data/prices.json");
/// It is read when the first price is asked for.
pub(super) static SHIPPED_TABLE: LazyLock<PriceTable> =
    LazyLock::new(|| PriceTable::parse(SHIPPED).unwrap_or_default());
/// Digits behind the point of a dollar that are kept.
const DIGITS: i32 = 12;

/// What lists call a unit's price; the rest of the name says for whom.
const NAMES: [(&str, Unit); 19] = [
    ("input_cost_per_token", Unit::Input),
    ("cache_read_input_token_cost", Unit::CacheRead),
    ("cache_creation_input_token_cost", Unit::CacheWrite),
    ("cache_creation_input_token_cost_above_1hr", Unit::CacheHour),
    ("input_cost_per_audio_token", Unit::InputAudio),
    ("input_cost_per_image_token", Unit::InputImage),
    ("output_cost_per_token", Unit::Output),
    ("output_cost_per_reasoning_token", Unit::Reasoning),
    ("output_cost_per_audio_token", Unit::OutputAudio),
    ("output_cost_per_image_token", Unit::OutputImage),
    ("input_cost_per_character", Unit::Character),
    ("input_cost_per_second", Unit::Second),
    ("output_cost_per_second", Unit::SecondOfOutput),
    ("output_cost_per_image", Unit::Image),
    ("input_cost_per_image", Unit::ImageOfInput),
    ("input_cost_per_query", Unit::Search),
    ("ocr_cost_per_page", Unit::Page),
    ("input_cost_per_request", Unit::Request),
    ("cost_per_request", Unit::Request),
];

/// A list of prices, by provider and model.
#[derive(Clone, Debug, Default)]
pub struct PriceTable {
    /// By `provider/model`.
    prices: HashMap<String, Arc<Price>>,
}

/// Why a text is no list of prices.
#[derive(Debug, thiserror::Error)]
#[error("not a list of prices: {0}")]
pub struct InvalidPrices(String);

impl PriceTable {
    /// Reads a list in Bifrost's form (`provider/model` → `{"provider", …}`) or `LiteLLM`'s (`model` → `{"litellm_provider", …}`). An
    /// entry that cannot be read is passed over.
    ///
    /// # Errors
    /// If it is no JSON object, or has no price.
    pub fn parse(text: &str) -> Result<Self, InvalidPrices> {
        let list: RawObject<'_> =
            serde_json::from_str(text).map_err(|error| InvalidPrices(error.to_string()))?;
        let mut table = Self::default();
        let mut bases = Vec::new();
        for (name, entry) in list.members() {
            let Ok(entry) = serde_json::from_str::<RawObject<'_>>(entry.get()) else { continue };
            let Some(price) = price(&entry) else { continue };
            let text = |member: &str| serde_json::from_str::<String>(entry.get(member)?.get()).ok();
            let price = Arc::new(price);
            let provider = match (text("provider"), text("litellm_provider")) {
                (Some(provider), _) => provider,
                (None, Some(theirs)) => provider_of(&theirs).to_owned(),
                (None, None) => continue,
            };
            let model = model_of(name, &provider);
            table.prices.insert(format!("{provider}/{model}"), Arc::clone(&price));
            bases.extend(text("base_model").map(|base| (format!("{provider}/{base}"), price)));
        }
        for (name, price) in bases {
            table.prices.entry(name).or_insert(price);
        }
        if table.prices.is_empty() { Err(InvalidPrices("it has no price".to_owned())) } else { Ok(table) }
    }

    /// How many models it has.
    pub fn len(&self) -> usize {
        self.prices.len()
    }

    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }

    pub(super) fn get(&self, provider: &str, model: &str) -> Option<&Arc<Price>> {
        self.prices.get(&format!("{provider}/{model}"))
    }
}

/// A model's name in a list, without what says the provider.
fn model_of<'a>(name: &'a str, provider: &str) -> &'a str {
    let Some((first, rest)) = name.split_once('/') else { return name };
    if first == provider || provider_of(first) == provider { rest } else { name }
}

/// The kind of provider that `LiteLLM` calls so; what is none of ours stays as it is.
fn provider_of(theirs: &str) -> &str {
    let kind = match theirs {
        "text-completion-openai" => ProviderKind::OpenAi,
        "azure_text" => ProviderKind::Azure,
        "together_ai" => ProviderKind::Together,
        "codestral" | "text-completion-codestral" => ProviderKind::Mistral,
        "cohere_chat" => ProviderKind::Cohere,
        "bedrock_converse" => ProviderKind::Bedrock,
        "jina_ai" => ProviderKind::Jina,
        "hosted_vllm" => ProviderKind::Vllm,
        _ if theirs.starts_with("vertex_ai") => ProviderKind::Vertex,
        _ if theirs.starts_with("fireworks_ai") => ProviderKind::Fireworks,
        _ => return theirs,
    };
    kind.name()
}

/// The prices that an entry of a list, or a patch, has; none if there is none.
pub(super) fn price(entry: &RawObject<'_>) -> Option<Price> {
    let rates: Vec<Rate> = entry.members().filter_map(|(name, value)| rate(name, value)).collect();
    let count = |name: &str| entry.get(name)?.get().parse::<u64>().ok();
    let max_output = count("max_output_tokens").or_else(|| count("max_tokens"));
    (!rates.is_empty()).then_some(Price { rates, max_output })
}

fn rate(name: &str, value: &RawValue) -> Option<Rate> {
    let (name, tier) = match name.strip_suffix("_priority") {
        Some(name) => (name, ServiceTier::Priority),
        None => match name.strip_suffix("_flex") {
            Some(name) => (name, ServiceTier::Flex),
            None => (name, ServiceTier::Standard),
        },
    };
    let above = |name: &str| {
        let (name, thousands) = name.strip_suffix("k_tokens")?.rsplit_once("_above_")?;
        Some((NAMES.iter().find(|(known, _)| *known == name)?.1, thousands.parse().ok()?))
    };
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, unit)| (*unit, 0));
    let (unit, above) = known.or_else(|| above(name))?;
    Some(Rate { unit, tier, above, picos: picos(value.get())? })
}

/// Trillionths of a dollar in a JSON number of dollars, exactly; what is finer is rounded.
fn picos(number: &str) -> Option<u64> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 30 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: u128 = digits.parse().ok()?;
    let shift = exponent.checked_add(DIGITS)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = |shift: u32| 10_u128.checked_pow(shift);
    let picos = if digits == 0 {
        0
    } else if shift >= 0 {
        digits.checked_mul(power(shift.unsigned_abs())?)?
    } else {
        power(shift.unsigned_abs()).map_or(0, |power| (digits + power / 2) / power)
    };
    u64::try_from(picos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("0.0", Some(0)),
            ("1e-06", Some(1_000_000)),
            ("1.5e-07", Some(150_000)),
            ("0.000003", Some(3_000_000)),
            ("2.75E-8", Some(27_500)),
            ("0.04", Some(40_000_000_000)),
            ("3", Some(3_000_000_000_000)),
            ("3.3333333333333e-07", Some(333_333)),
            ("1e-13", Some(0)),
            ("5e-13", Some(1)),
            ("1e-300", Some(0)),
            ("1e300", None),
            ("-1", None),
            ("\"1\"", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(picos(text), wanted, "{text}");
        }
    }

    #[test]
    fn both_forms_of_lists_are_read() {
        let table = PriceTable::parse(
            r#"{"sample_spec":{"mode":"chat"},"broken":7,
            "gpt-x":{"litellm_provider":"openai","input_cost_per_token":1e-06},
            "azure/gpt-x":{"litellm_provider":"azure","input_cost_per_token":2e-06},
            "vertex_ai/claude-x@1":{"litellm_provider":"vertex_ai-anthropic_models","input_cost_per_token":3e-06},
            "together_ai/a/b":{"litellm_provider":"together_ai","input_cost_per_token":3e-06},
            "deepinfra/a/b":{"litellm_provider":"deepinfra","input_cost_per_token":3e-06},
            "groq/llama":{"provider":"groq","base_model":"llama-base","mode":"chat","input_cost_per_token":4e-06},
            "no-price":{"litellm_provider":"openai","mode":"chat"}}"#,
        )
        .unwrap();
        for (provider, model) in [
            ("openai", "gpt-x"),
            ("azure", "gpt-x"),
            ("vertex", "claude-x@1"),
            ("together", "a/b"),
            ("deepinfra", "a/b"),
            ("groq", "llama"),
            ("groq", "llama-base"),
        ] {
            assert!(table.get(provider, model).is_some(), "{provider}/{model}");
        }
        assert_eq!(table.len(), 7);
        for text in ["", "[]", "{}", r#"{"a":{"litellm_provider":"openai"}}"#] {
            assert!(PriceTable::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_table_that_ships_is_of_our_providers() {
        let table = &*SHIPPED_TABLE;
        assert!(table.len() > 1000, "{}", table.len());
        for name in table.prices.keys() {
            let provider = name.split_once('/').unwrap().0;
            assert!(ProviderKind::from_name(provider).is_some(), "{name}");
        }
        for (provider, model) in [
            ("openai", "gpt-4o"),
            ("openai", "whisper-1"),
            ("openai", "gpt-3.5-turbo-instruct"),
            ("azure", "gpt-4o"),
            ("anthropic", "claude-sonnet-4-5"),
            ("vertex", "claude-sonnet-4-5"),
            ("gemini", "gemini-2.5-pro"),
            ("vertex", "gemini-2.5-pro"),
            ("bedrock", "amazon.nova-lite-v1:0"),
            ("cohere", "rerank-v3.5"),
            ("mistral", "codestral-latest"),
            ("voyage", "rerank-2"),
            ("elevenlabs", "scribe_v1"),
            ("jina", "jina-reranker-m0"),
            ("together", "openai/gpt-oss-120b"),
            ("xai", "grok-4.3"),
        ] {
            assert!(table.get(provider, model).is_some(), "{provider}/{model}");
        }
        let sonnet = table.get("anthropic", "claude-sonnet-4-5").unwrap();
        assert_eq!(sonnet.max_output(), Some(64_000));
    }
}
