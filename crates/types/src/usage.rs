use serde::{Deserialize, Serialize};

use crate::governance::Money;

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
    pub cost: Option<Money>,
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
    pub cost: Option<Money>,
}
