use redis::Connection;
use serde::{Deserialize, Serialize};
use time::{Date, Duration as Days, Month, OffsetDateTime};

use super::Server;

#[derive(Serialize)]
struct Args<'a> {
    limits: Vec<(&'a str, u64, &'a str, &'a str, u8)>,
    now: i64,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Row {
    used: u64,
    reserved: u64,
    since: i64,
    #[serde(default)]
    ends: Option<i64>,
}

/// The windows that a moment is in, as the script says that all others use.
fn windows(redis: &mut Connection, definitions: &[&str], now: i64) -> Vec<Row> {
    let parts = [
        include_str!("../../lua/lib.lua"),
        include_str!("../../lua/governance.lua"),
        include_str!("../../lua/gov_usage.lua"),
    ];
    let script = redis::Script::new(&format!("#!lua\n{}", parts.join("\n")));
    let limits = definitions.iter().map(|window| ("unused", 1, *window, "tokens", 0)).collect();
    let args = Args { limits, now };
    let args = rmp_serde::to_vec_named(&args).unwrap();
    let reply: Vec<u8> = script.key("{hermod:0}:queue").arg(args).invoke(redis).unwrap();
    rmp_serde::from_slice(&reply).unwrap()
}

fn millis(date: Date) -> i64 {
    date.midnight().assume_utc().unix_timestamp() * 1000
}

/// The first of the month that is so many months after this date's.
fn month(date: Date, after: i32) -> Date {
    let index = date.year() * 12 + i32::from(u8::from(date.month())) - 1 + after;
    let month = u8::try_from(index.rem_euclid(12) + 1).unwrap();
    Date::from_calendar_date(index.div_euclid(12), Month::try_from(month).unwrap(), 1).unwrap()
}

fn row(from: Date, to: Date) -> Row {
    Row { used: 0, reserved: 0, since: millis(from), ends: Some(millis(to)) }
}

#[test]
fn calendar_windows_are_those_of_the_calendar() {
    let server = Server::start();
    let mut redis = server.connect();
    let definitions = ["d", "w", "m", "q1", "q2", "q3", "q11", "y"];
    let mut date = Date::from_calendar_date(1999, Month::December, 1).unwrap();
    let last = Date::from_calendar_date(2101, Month::March, 1).unwrap();
    while date < last {
        let of_month = i32::from(u8::from(date.month()));
        let monday = date - Days::days(i64::from(date.weekday().number_days_from_monday()));
        let quarter = |first: i32| {
            let start = month(date, -((of_month - first).rem_euclid(3)));
            row(start, month(start, 3))
        };
        let year = month(date, 1 - of_month);
        let expected = [
            row(date, date + Days::days(1)),
            row(monday, monday + Days::days(7)),
            row(month(date, 0), month(date, 1)),
            quarter(1),
            quarter(2),
            quarter(3),
            quarter(11),
            row(year, month(year, 12)),
        ];
        // Its first and its last millisecond.
        for now in [millis(date), millis(date + Days::days(1)) - 1] {
            let found = windows(&mut redis, &definitions, now);
            let at = OffsetDateTime::from_unix_timestamp(now / 1000).unwrap();
            assert_eq!(found, expected, "{at}");
        }
        // Each day around a month's end, and some of the others.
        date += Days::days(if (3..24).contains(&date.day()) { 10 } else { 1 });
    }
}

#[test]
fn a_rolling_window_begins_with_its_first_use_and_others_follow_it() {
    let server = Server::start();
    let mut redis = server.connect();
    let now = 1_790_000_000_123;
    assert_eq!(
        windows(&mut redis, &["r60000", "n"], now),
        [
            Row { used: 0, reserved: 0, since: now, ends: Some(now + 60_000) },
            Row { used: 0, reserved: 0, since: now, ends: None }
        ]
    );
    let set = |redis: &mut Connection, window: &str, start: i64, end: i64| {
        let fields = [
            ("s", start.to_string()),
            ("e", end.to_string()),
            ("u", "7".to_owned()),
            ("w", window.to_owned()),
        ];
        redis::Commands::hset_multiple::<_, _, _, ()>(redis, "{hermod:0}:limit:unused", &fields).unwrap();
    };
    set(&mut redis, "r60000", now, now + 60_000);
    for (later, window) in [(0, 0), (59_999, 0), (60_000, 60_000), (119_999, 60_000), (6_000_001, 6_000_000)]
    {
        let used = if window == 0 { 7 } else { 0 };
        let expected = Row { used, reserved: 0, since: now + window, ends: Some(now + window + 60_000) };
        assert_eq!(windows(&mut redis, &["r60000"], now + later), [expected], "{later}");
    }
    let back = Row { used: 7, reserved: 0, since: now, ends: Some(now + 60_000) };
    assert_eq!(
        windows(&mut redis, &["r60000"], now - 3_600_000),
        [back],
        "a clock that is set back opens nothing"
    );
}
