//! Days in UTC.

use hermod_governance::Calendar;
use hermod_types::Timestamp;
use time::{Date, Duration, Month, OffsetDateTime, Weekday};

/// When the unit of the calendar begins that follows on the one of `at`.
pub(super) fn next_start(unit: Calendar, at: Timestamp) -> Timestamp {
    let today = day_of(at);
    let first = |year: i32, month: u8| {
        let (year, month) = if month > 12 { (year + 1, month - 12) } else { (year, month) };
        Month::try_from(month).ok().and_then(|month| Date::from_calendar_date(year, month, 1).ok())
    };
    let next = match unit {
        Calendar::Day => today.next_day(),
        Calendar::Week => Some(today.next_occurrence(Weekday::Monday)),
        Calendar::Month => first(today.year(), u8::from(today.month()) + 1),
        Calendar::Quarter(start) => {
            let month = u8::from(today.month());
            // Months since the quarter began.
            let since = (month + 12 - start.clamp(1, 12)) % 3;
            first(today.year(), month + 3 - since)
        }
        Calendar::Year => first(today.year() + 1, 1),
    };
    let start = next.unwrap_or(Date::MAX).midnight().assume_utc();
    Timestamp::from_millis(u64::try_from(start.unix_timestamp_nanos() / 1_000_000).unwrap_or(u64::MAX))
}

/// The day of a moment.
pub(super) fn day_of(at: Timestamp) -> Date {
    let nanos = i128::from(at.as_millis()) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).map_or(Date::MAX, OffsetDateTime::date)
}

/// `2030-01-31`
pub(super) fn parse_day(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_whole = year.len() == 4 && month.len() == 2 && day.len() == 2;
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok().filter(|_| is_whole)
}

/// `2030-01-31`, or with nothing between, `20300131`.
pub(super) fn written(day: Date, between: &str) -> String {
    let (year, month, day) = day.to_calendar_date();
    format!("{year:04}{between}{:02}{between}{day:02}", u8::from(month))
}

/// All days from the first to the last.
pub(super) fn days(from: Date, to: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(from), |day| day.next_day()).take_while(move |day| *day <= to)
}

/// The day so many before.
pub(super) fn days_before(day: Date, days: i64) -> Date {
    day.checked_sub(Duration::days(days)).unwrap_or(Date::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_unit_begins() {
        let at = |text: &str| Timestamp::from_rfc3339(text).unwrap();
        for (unit, from, to) in [
            (Calendar::Day, "2030-12-31T23:59:59Z", "2031-01-01T00:00:00Z"),
            (Calendar::Week, "2030-01-06T00:00:00Z", "2030-01-07T00:00:00Z"),
            (Calendar::Week, "2030-01-07T00:00:00Z", "2030-01-14T00:00:00Z"),
            (Calendar::Month, "2030-12-05T00:00:00Z", "2031-01-01T00:00:00Z"),
            (Calendar::Quarter(1), "2030-11-05T00:00:00Z", "2031-01-01T00:00:00Z"),
            (Calendar::Quarter(2), "2030-01-31T00:00:00Z", "2030-02-01T00:00:00Z"),
            (Calendar::Quarter(12), "2030-12-01T00:00:00Z", "2031-03-01T00:00:00Z"),
            (Calendar::Year, "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"),
        ] {
            assert_eq!(next_start(unit, at(from)), at(to), "{unit:?} {from}");
        }
    }

    #[test]
    fn days_are_read_and_written() {
        let day = parse_day("2030-02-28").unwrap();
        assert_eq!((written(day, "-").as_str(), written(day, "").as_str()), ("2030-02-28", "20300228"));
        assert_eq!(days(day, parse_day("2030-03-02").unwrap()).count(), 3);
        assert_eq!(days_before(day, 29), parse_day("2030-01-30").unwrap());
        for wrong in ["", "2030-02-30", "2030-2-1", "2030-02", "30-02-01", "x-y-z", "2030-02-01T"] {
            assert_eq!(parse_day(wrong), None, "{wrong}");
        }
    }
}
