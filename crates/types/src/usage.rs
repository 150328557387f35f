use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Billionths of a dollar in one.
const NANOS: f64 = 1e9;

/// An amount of money: whole billionths of a dollar. On the wire it is a number of dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dollars(u64);

impl Dollars {
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// In billionths of a dollar.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The nearest to a number of dollars; none for one that is no amount.
    pub fn from_f64(dollars: f64) -> Option<Self> {
        let nanos = (dollars * NANOS).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number within these bounds"
        )]
        (0.0..NANOS * NANOS).contains(&nanos).then_some(Self(nanos as u64))
    }

    /// As a number of dollars.
    #[expect(clippy::cast_precision_loss, reason = "what comes back is exact below 2 million dollars")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / NANOS
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_f64().fmt(out)
    }
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_f64())
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        Self::from_f64(dollars).ok_or_else(|| serde::de::Error::custom("expected an amount of dollars"))
    }
}

/// What a provider says that one answer of it has used. What it does not say is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallUsage {
    /// Tokens of the prompt, with all of those that are told apart below.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer, with all of those that are told apart below.
    pub output_tokens: Option<u64>,
    /// Read from a cache.
    pub cache_read_tokens: u64,
    /// Written to a cache, those that stay there for an hour included.
    pub cache_write_tokens: u64,
    /// Written to a cache where they stay for an hour.
    pub cache_hour_tokens: u64,
    /// Of audio in the prompt.
    pub input_audio_tokens: u64,
    /// Of images in the prompt.
    pub input_image_tokens: u64,
    /// Of thinking.
    pub reasoning_tokens: u64,
    /// Of audio in the answer.
    pub output_audio_tokens: u64,
    /// Of images in the answer.
    pub output_image_tokens: u64,
    /// Characters that were spoken.
    pub characters: Option<u64>,
    /// Milliseconds of audio that were heard.
    pub audio_ms: Option<u64>,
    /// Images that were made.
    pub images: Option<u64>,
    /// Searches of a rerank, as Cohere counts them.
    pub searches: Option<u64>,
    /// Pages that were read.
    pub pages: Option<u64>,
    /// What it costs, where the provider itself says so.
    pub cost: Option<Dollars>,
    pub service_tier: ServiceTier,
}

/// How soon a provider serves, which has its price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServiceTier {
    #[default]
    Standard,
    /// Later, for less.
    Flex,
    /// Sooner, for more.
    Priority,
}

/// What a job's calls have used, as a failed job's `extra_fields` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageCharged {
    /// 1: what a limit of requests counts.
    pub requests: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// None if one of the calls has no price.
    pub cost: Option<Dollars>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_as_a_number_of_dollars() {
        for (nanos, text) in
            [(0, "0.0"), (1, "1e-9"), (1500, "1.5e-6"), (2_500_000, "0.0025"), (4_000_000_000, "4.0")]
        {
            assert_eq!(serde_json::to_string(&Dollars::from_nanos(nanos)).unwrap(), text);
        }
        for nanos in (0..1000).chain((1..1000).map(|number| number * 1_999_999_999_991)) {
            let text = serde_json::to_string(&Dollars::from_nanos(nanos)).unwrap();
            assert_eq!(serde_json::from_str::<Dollars>(&text).unwrap().nanos(), nanos, "{text}");
        }
        assert_eq!(serde_json::from_str::<Dollars>("3").unwrap().nanos(), 3_000_000_000);
        for text in ["-1", "1e30", "null", "\"1\""] {
            assert!(serde_json::from_str::<Dollars>(text).is_err(), "{text}");
        }
    }
}
