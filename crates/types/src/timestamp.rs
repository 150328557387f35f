use std::borrow::Cow;
use std::fmt;

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// RFC 3339 in UTC with milliseconds, as in `2026-02-19T08:10:17.831Z`.
const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The last moment that [`FORMAT`] can show: the end of the year 9999.
const MAX_MILLIS: u64 = 253_402_300_799_999;

/// A moment in milliseconds since the Unix epoch, as Redis stores it; RFC 3339 on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// This many milliseconds after the Unix epoch, at most the end of the year 9999.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis < MAX_MILLIS { millis } else { MAX_MILLIS })
    }

    /// This moment, by this machine's clock.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads RFC 3339 with any offset; none for what is not, or lies before the Unix epoch.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Self::from_millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .map_err(|_| fmt::Error)?;
        out.write_str(&at.format(FORMAT).map_err(|_| fmt::Error)?)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let at = PrimitiveDateTime::parse(&text, FORMAT).map_err(serde::de::Error::custom)?;
        let millis = at.assume_utc().unix_timestamp_nanos() / 1_000_000;
        Ok(Self::from_millis(u64::try_from(millis).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows() {
        let at = Timestamp::from_millis(1_771_488_617_831);
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), at);
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }

    #[test]
    fn reads_rfc_3339_with_any_offset() {
        let read = |text| Timestamp::from_rfc3339(text).map(Timestamp::as_millis);
        assert_eq!(read("2026-02-19T08:10:17.831Z"), Some(1_771_488_617_831));
        assert_eq!(read("2026-02-19T10:10:17+02:00"), Some(1_771_488_617_000));
        assert_eq!((read("2026-02-19"), read("1969-12-31T23:59:59Z")), (None, None));
    }

    #[test]
    fn shows_milliseconds_in_utc() {
        let shown = |millis| Timestamp::from_millis(millis).to_string();
        assert_eq!(shown(1_771_488_617_831), "2026-02-19T08:10:17.831Z");
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
