//! Lines over time, as SVG that the server draws.

use std::fmt::Write;

use askama::Template;
use askama::filters::HtmlSafe;
use hermod_queue::Minute;
use hermod_types::Timestamp;

use super::show::count;

const WIDTH: usize = 600;
const HEIGHT: u64 = 120;

/// Jobs accepted, completed and failed, over time.
#[derive(Template)]
#[template(path = "chart.html")]
pub(super) struct Chart {
    title: &'static str,
    /// What one point is of.
    step: &'static str,
    lines: [Line; 3],
    slots: Vec<Slot>,
    width: usize,
    height: u64,
    /// The value at the upper edge.
    top: String,
    /// The times at both ends, and in the middle.
    times: [String; 3],
}

struct Line {
    name: &'static str,
    class: &'static str,
    total: String,
    points: String,
    /// The same down to the axis.
    area: String,
}

/// A step of time, and what is said of it under the pointer.
struct Slot {
    x: String,
    width: String,
    text: String,
}

impl HtmlSafe for Chart {}

impl Chart {
    /// One point for each `per_point` of `minutes`, which are the latest ones.
    pub(super) fn new(title: &'static str, step: &'static str, minutes: &[Minute], per_point: usize) -> Self {
        let sums: Vec<Minute> = minutes.chunks(per_point.max(1)).map(sum).collect();
        let values: [(&str, &str, Vec<u64>); 3] = [
            ("accepted", "accepted", sums.iter().map(|point| point.accepted).collect()),
            ("completed", "completed", sums.iter().map(|point| point.completed).collect()),
            ("failed", "failed", sums.iter().map(|point| point.failed).collect()),
        ];
        let highest = values.iter().flat_map(|(_, _, values)| values).max().copied().unwrap_or_default();
        let top = round_up(highest);
        let lines = values.map(|(name, class, values)| {
            let points = points(&values, top);
            Line {
                name,
                class,
                total: count(values.iter().sum::<u64>()),
                area: format!("0,{HEIGHT} {points} {WIDTH},{HEIGHT}"),
                points,
            }
        });
        let clock = |index: usize| sums.get(index).map(|point| clock(point.at)).unwrap_or_default();
        let last = sums.len().saturating_sub(1);
        Self {
            title,
            step,
            lines,
            slots: slots(&sums),
            width: WIDTH,
            height: HEIGHT,
            top: count(top),
            times: [clock(0), clock(last / 2), clock(last)],
        }
    }
}

fn sum(minutes: &[Minute]) -> Minute {
    let mut sum = Minute { at: minutes.first().map_or(0, |first| first.at), ..Minute::default() };
    for minute in minutes {
        sum.accepted += minute.accepted;
        sum.completed += minute.completed;
        sum.failed += minute.failed;
        sum.cancelled += minute.cancelled;
    }
    sum
}

/// The next number that is easy to read.
fn round_up(highest: u64) -> u64 {
    if highest <= 10 {
        return highest.max(4);
    }
    let mut unit = 1_u64;
    loop {
        for step in [10, 12, 15, 20, 25, 30, 40, 50, 60, 80] {
            let top = unit.saturating_mul(step);
            if top >= highest || top == u64::MAX {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// Where step `index` of `all` is, in tenths of a pixel.
fn x(index: usize, all: usize) -> usize {
    (index * WIDTH * 10).checked_div(all.saturating_sub(1)).unwrap_or_default()
}

fn points(values: &[u64], top: u64) -> String {
    let mut points = String::new();
    for (index, value) in values.iter().enumerate() {
        let (x, y) = (x(index, values.len()), (HEIGHT - 2) * 10 - value * (HEIGHT - 4) * 10 / top.max(1));
        // Writing to a string has no way to fail.
        let _written = write!(points, "{}{},{}", if index > 0 { " " } else { "" }, tenths(x), tenths(y));
    }
    points
}

fn tenths(number: impl TryInto<u64>) -> String {
    let number = number.try_into().unwrap_or_default();
    format!("{}.{}", number / 10, number % 10)
}

fn slots(sums: &[Minute]) -> Vec<Slot> {
    let step = (WIDTH * 10).checked_div(sums.len().saturating_sub(1)).unwrap_or_default();
    let slot = |(index, point): (usize, &Minute)| Slot {
        x: tenths(x(index, sums.len()).saturating_sub(step / 2)),
        width: tenths(step),
        text: format!(
            "{} UTC: {} accepted, {} completed, {} failed, {} cancelled",
            clock(point.at),
            count(point.accepted),
            count(point.completed),
            count(point.failed),
            count(point.cancelled)
        ),
    };
    sums.iter().enumerate().map(slot).collect()
}

/// The time of day of seconds since the epoch.
fn clock(at: u64) -> String {
    let text = Timestamp::from_millis(at.saturating_mul(1000)).to_string();
    text.get(11..16).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_is_a_round_number() {
        assert_eq!([0, 1, 4, 5, 6, 11, 107, 501, 1000].map(round_up), [4, 4, 4, 5, 6, 12, 120, 600, 1000]);
        assert_eq!(round_up(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_line_goes_from_edge_to_edge() {
        let minutes: Vec<Minute> =
            (0..60).map(|index| Minute { at: index * 60, accepted: index, ..Minute::default() }).collect();
        let chart = Chart::new("Hour", "minute", &minutes, 1);
        let points: Vec<_> = chart.lines[0].points.split(' ').collect();
        assert_eq!((points.len(), points[0]), (60, "0.0,118.0"));
        assert!(points[59].starts_with("600.0,"), "{}", points[59]);
        assert_eq!(chart.lines[0].total, "1,770");
        assert_eq!(chart.times, ["00:00", "00:29", "00:59"]);
        let day = Chart::new("Day", "15 minutes", &minutes, 15);
        assert_eq!(day.slots.len(), 4);
        assert!(Chart::new("None", "minute", &[], 1).render().is_ok());
        assert!(Chart::new("One", "minute", &minutes[..1], 1).render().is_ok());
    }
}
