use std::fmt;
use std::str::FromStr;

/// Where a request goes: `provider/model`, split at the first `/`, so a model's name may contain more.
///
/// Its text is at most [`Target::MAX_BYTES`] long: it is kept in records, journals and cooldowns, and every worker
/// reads the latter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    provider: String,
    model: String,
}

/// Why a string is not a [`Target`]. The texts are the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// One half is missing, or there is a control character in it.
    #[error("model should be in provider/model format")]
    Format,
    /// It has more than [`Target::MAX_BYTES`].
    #[error("model name is longer than {} bytes", Target::MAX_BYTES)]
    TooLong,
}

impl Target {
    /// The longest `provider/model`.
    pub const MAX_BYTES: usize = 256;

    /// The provider's name in the configuration.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The model's name, as the client wrote it.
    pub fn model(&self) -> &str {
        &self.model
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    /// Refuses an empty half, and control characters: a target is printed in logs and tables.
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidTarget::TooLong);
        }
        match text.split_once('/') {
            Some((provider, model))
                if !provider.is_empty() && !model.is_empty() && !text.contains(char::is_control) =>
            {
                Ok(Self { provider: provider.to_owned(), model: model.to_owned() })
            }
            _ => Err(InvalidTarget::Format),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.provider, self.model)
    }
}

impl serde::Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_first_slash() {
        let target: Target = "openrouter/meta/llama-3".parse().unwrap();
        assert_eq!((target.provider(), target.model()), ("openrouter", "meta/llama-3"));
        assert_eq!(target.to_string(), "openrouter/meta/llama-3");
    }

    #[test]
    fn both_halves_are_needed() {
        for text in ["", "/", "a/", "/b", "gpt-4", "a/b\0", "a\n/b"] {
            assert_eq!(text.parse::<Target>(), Err(InvalidTarget::Format), "{text:?}");
        }
    }

    #[test]
    fn the_whole_text_has_at_most_256_bytes() {
        let longest = format!("openai/{}", "x".repeat(249));
        assert_eq!(longest.parse::<Target>().unwrap().to_string(), longest);
        for text in [format!("{longest}x"), format!("openai/{}", "ü".repeat(125)), "x".repeat(257)] {
            assert_eq!(text.parse::<Target>(), Err(InvalidTarget::TooLong), "{}", text.len());
        }
        assert_eq!(InvalidTarget::TooLong.to_string(), "model name is longer than 256 bytes");
    }
}
