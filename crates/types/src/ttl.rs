use std::time::Duration;

/// How long a result is kept after its job has ended, in whole seconds; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Ttl(u64);

impl Ttl {
    /// The longest that a result is kept, ten years; a client that asks for more gets this.
    pub const MAX: Self = Self(10 * 365 * 24 * 3600);

    /// The longest, unless its client says so, of a Response that is not to be stored. `OpenAI` keeps one that runs in the background
    /// for about as long: <https://platform.openai.com/docs/guides/background>.
    pub const OF_UNSTORED: Self = Self(600);

    /// This many seconds, at most [`Ttl::MAX`]; none for zero.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        (seconds > 0).then(|| Self(seconds.min(Self::MAX.0)))
    }

    /// Reads the header `x-bf-async-job-result-ttl`; none (so the default holds) for what is not a
    /// whole number, zero or negative, as in Bifrost.
    pub fn from_header(value: &str) -> Option<Self> {
        let digits = value.trim();
        let digits = digits.strip_prefix('+').unwrap_or(digits);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Self::from_seconds(digits.parse().unwrap_or(u64::MAX))
    }

    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl TryFrom<u64> for Ttl {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        Self::from_seconds(seconds).ok_or("a time to live is at least one second")
    }
}

impl From<Ttl> for u64 {
    fn from(ttl: Ttl) -> Self {
        ttl.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_whole_seconds_or_nothing() {
        let seconds = |value| Ttl::from_header(value).map(u64::from);
        assert_eq!(seconds("60"), Some(60));
        assert_eq!(seconds(" 7200 "), Some(7200));
        for value in ["", "0", "-5", "1.5", "soon", "1e3", "0x10", "١"] {
            assert_eq!(seconds(value), None, "{value}");
        }
    }

    #[test]
    fn more_than_the_longest_is_the_longest() {
        assert_eq!(Ttl::from_header("99999999999999999999999"), Some(Ttl::MAX));
        assert_eq!(Ttl::from_seconds(u64::MAX), Some(Ttl::MAX));
    }
}
