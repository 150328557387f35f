use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount of money in billionths of a US dollar. On the wire it is a number of dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u64);

const NANOS: u64 = 1_000_000_000;

impl Money {
    /// 9 million dollars: what a double holds exactly in billionths, as Redis's Lua counts.
    pub const MAX: Self = Self(9_000_000 * NANOS);

    /// This many billionths of a dollar, at most [`Money::MAX`].
    pub const fn from_nanos(nanos: u64) -> Self {
        if nanos < Self::MAX.0 { Self(nanos) } else { Self::MAX }
    }

    /// To the nearest billionth; none for what is negative, no number, or more than [`Money::MAX`].
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        const MAX_DOLLARS: f64 = 9_000_000.0;
        if !(0.0..=MAX_DOLLARS).contains(&dollars) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, and between 0 and 9e15"
        )]
        let nanos = (dollars * 1e9).round() as u64;
        Some(Self::from_nanos(nanos))
    }

    /// Billionths of a dollar.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    pub fn as_dollars(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a double holds it exactly")]
        let nanos = self.0 as f64;
        nanos / 1e9
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self::from_nanos(self.0.saturating_add(other.0))
    }
}

/// With four decimals, as Bifrost's messages have it.
impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.4}", self.as_dollars())
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(NANOS) {
            serializer.serialize_u64(self.0 / NANOS)
        } else {
            serializer.serialize_f64(self.as_dollars())
        }
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        Self::from_dollars(dollars).ok_or_else(|| de::Error::custom("expected 0 to 9,000,000 dollars"))
    }
}
