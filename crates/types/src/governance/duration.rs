use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DAY: u64 = 24 * 3600;
/// The shortest and the longest window, in seconds: what is shorter cannot be counted in, and what is longer never ends.
const SHORTEST: f64 = 1.0;
const LONGEST: f64 = 100.0 * 365.0 * DAY as f64;

/// How long a limit's window is, as Bifrost writes it: Go's durations (`30s`, `1h30m`), and `d`, `w`, `M` (30 days), `Q` (90), `Y` (365).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetDuration {
    text: String,
    length: Duration,
    unit: Option<CalendarUnit>,
}

/// A unit of the calendar, with which a window may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// A text that is no [`ResetDuration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration of a second or more, such as 30s, 1h30m, 1d, 1w, 1M, 1Q, 1Y or monthly")]
pub struct InvalidDuration;

impl ResetDuration {
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// What its window begins with where its owner is aligned to the calendar; none for one that has no such unit. How many of them
    /// it is does not count.
    pub const fn unit(&self) -> Option<CalendarUnit> {
        self.unit
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether both are the same window.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.length, self.unit) == (other.length, other.unit)
    }
}

impl FromStr for ResetDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let written = match text {
            "daily" => "1d",
            "weekly" => "1w",
            "monthly" => "1M",
            "quarterly" => "1Q",
            "yearly" => "1Y",
            other => other,
        };
        let (seconds, unit) =
            in_units(written).or_else(|| Some((in_go(written)?, None))).ok_or(InvalidDuration)?;
        if !(SHORTEST..=LONGEST).contains(&seconds) {
            return Err(InvalidDuration);
        }
        // Whole milliseconds, as Redis's clock is asked for.
        let length = Duration::try_from_secs_f64((seconds * 1000.0).round() / 1000.0);
        Ok(Self { text: text.to_owned(), length: length.map_err(|_| InvalidDuration)?, unit })
    }
}

/// A time that may be nothing, in the same words.
pub(crate) fn span_of(text: &str) -> Option<Duration> {
    let seconds = in_units(text).map(|(seconds, _)| seconds).or_else(|| in_go(text));
    seconds
        .filter(|seconds| *seconds <= LONGEST)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// A number of days, weeks, and so on.
fn in_units(text: &str) -> Option<(f64, Option<CalendarUnit>)> {
    let number = text.get(..text.len().checked_sub(1)?)?;
    let (days, unit) = match text.get(number.len()..)? {
        "d" => (1.0, CalendarUnit::Day),
        "w" => (7.0, CalendarUnit::Week),
        "M" => (30.0, CalendarUnit::Month),
        "Q" => (90.0, CalendarUnit::Quarter),
        "Y" => (365.0, CalendarUnit::Year),
        _ => return None,
    };
    Some((decimal(number)? * days * 24.0 * 3600.0, Some(unit)))
}

/// A sum of hours, minutes and so on, in seconds.
fn in_go(text: &str) -> Option<f64> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let one = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += decimal(number)? * one;
        rest = behind;
    }
    (!text.is_empty()).then_some(seconds)
}

/// Digits, with a point among them.
fn decimal(text: &str) -> Option<f64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_decimal)
}

impl fmt::Display for ResetDuration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Serialize for ResetDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ResetDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
